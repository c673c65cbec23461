//! One watch: keeps the objects of one kind in the world equal to the API server's.
//!
//! Enters: list pages and watch events. Leaves: edits of the world, one per object that really changed; why the kind cannot be read.
//! Never: takes an error for an empty list; stops; keeps a second copy of the objects.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::{Config, Error, Event};
use kube::runtime::{WatchStreamExt, watcher};

use super::wire::Wire;
use crate::collect::backoff::Backoff;
use crate::collect::with_sources;
use crate::collect::world::{Change, World};
use crate::snapshot::kubernetes::{SYSTEM, Stored};
use crate::snapshot::{Source, Unknown};

/// A page of a list that takes longer than this will not come.
const PAGE_TIMEOUT: Duration = Duration::from_secs(120);

/// How often a kind that is refused or not installed is asked for again.
const REFUSED_RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// Namespace and name; the namespace of a cluster-scoped object is empty.
type Key = (Box<str>, Box<str>);

/// One watch.
pub(super) struct Watch<T> {
    world: Arc<World>,
    client: Client,
    /// Empty: all namespaces, or a cluster-scoped kind.
    namespace: Box<str>,
    fields: Option<String>,
    keep: fn(&T) -> bool,
    malformed: HashSet<Key>,
    /// Whether the kind was listed since it was last refused.
    listed: bool,
    reported: String,
}

/// Why a stream of events is given up.
enum End {
    /// An object could not be decoded, and which one is not known.
    Undecodable(String),
    /// The API server does not serve the kind.
    NotInstalled,
    /// The API server does not let us read the kind.
    Forbidden(String),
    /// A list page did not come.
    Stalled,
}

impl<T: Stored + PartialEq> Watch<T> {
    /// A watch of all objects of a kind, or of those of one namespace.
    pub(super) fn new(world: &Arc<World>, client: &Client, namespace: &str) -> Self {
        world.await_kind::<T>(namespace);
        Self {
            world: world.clone(),
            client: client.clone(),
            namespace: namespace.into(),
            fields: None,
            keep: |_| true,
            malformed: HashSet::new(),
            listed: false,
            reported: String::new(),
        }
    }

    /// Only the object of this name.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.fields = Some(format!("metadata.name={name}"));
        self
    }

    /// Only what `keep` says yes to is kept.
    pub(super) fn keeping(mut self, keep: fn(&T) -> bool) -> Self {
        self.keep = keep;
        self
    }

    /// Watches for ever.
    pub(super) async fn run(mut self) {
        let mut careful = !T::CHECKED;
        let mut backoff = Backoff::new(REFUSED_RETRY.0, REFUSED_RETRY.1);
        loop {
            let end = if careful { self.follow::<true>(&mut backoff).await } else { self.follow::<false>(&mut backoff).await };
            match end {
                End::Undecodable(message) => {
                    self.report(&format!("an object cannot be decoded, objects are read one by one from now on: {message}"));
                    careful = true;
                    continue;
                }
                End::Stalled => {
                    self.failed("Timeout", &format!("no list page within {} s", PAGE_TIMEOUT.as_secs()));
                }
                End::NotInstalled => {
                    self.forget();
                    self.world.set_unread::<T>(&self.namespace, None);
                    self.world.settle_kind::<T>(&self.namespace);
                    if self.reported.is_empty() {
                        self.reported = "not installed".to_owned();
                        tracing::info!(kind = T::resource(), "the API server does not serve this kind: taken as empty");
                    }
                }
                End::Forbidden(message) => {
                    self.forget();
                    self.listed = false;
                    let why = self.unknown("Forbidden", &message);
                    self.world.set_unread::<T>(&self.namespace, Some(why));
                    self.world.settle_kind::<T>(&self.namespace);
                    self.report(&message);
                }
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// Follows one stream of events until it has to be given up.
    async fn follow<const CAREFUL: bool>(&mut self, backoff: &mut Backoff) -> End {
        let client = self.client.clone();
        let api: Api<Wire<T, CAREFUL>> = match &*self.namespace {
            "" => Api::all(client),
            namespace => Api::namespaced_with(client, namespace, &()),
        };
        let config = Config { field_selector: self.fields.clone(), ..Config::default() };
        let mut events = pin!(watcher(api, config).default_backoff());
        let mut listed: Option<HashSet<Key>> = None;
        loop {
            let event = match listed {
                Some(_) => match tokio::time::timeout(PAGE_TIMEOUT, events.next()).await {
                    Ok(event) => event,
                    Err(_) => return End::Stalled,
                },
                None => events.next().await,
            };
            match event {
                Some(Ok(Event::Init)) => listed = Some(HashSet::new()),
                Some(Ok(Event::InitApply(wire))) => {
                    if let Some(listed) = &mut listed {
                        listed.insert(wire.key());
                    }
                    self.apply(wire);
                }
                Some(Ok(Event::InitDone)) => {
                    self.retain(&listed.take().unwrap_or_default());
                    self.listed = true;
                    self.world.set_unread::<T>(&self.namespace, None);
                    self.world.settle_kind::<T>(&self.namespace);
                    self.recovered();
                    backoff.reset();
                }
                Some(Ok(Event::Apply(wire))) => {
                    self.recovered();
                    self.apply(wire);
                }
                Some(Ok(Event::Delete(wire))) => self.remove(&wire.key()),
                Some(Err(error)) => {
                    if let Some(end) = self.classify(&error) {
                        return end;
                    }
                }
                None => return End::Stalled,
            }
        }
    }

    fn apply<const CAREFUL: bool>(&mut self, wire: Wire<T, CAREFUL>) {
        let key = wire.key();
        match wire.object {
            Ok(object) if (self.keep)(&object) => {
                self.malformed.remove(&key);
                let change = self.change(&key);
                self.world.edit(|snapshot| {
                    let collection = T::collection(&mut snapshot.kubernetes);
                    if collection.get(&key.0, &key.1).seen() == Some(&object) {
                        return Change::Nothing;
                    }
                    collection.insert(object);
                    change
                });
            }
            Ok(_) => self.remove(&key),
            Err(message) => {
                if self.malformed.insert(key.clone()) {
                    let (namespace, name) = (&key.0, &key.1);
                    tracing::warn!(
                        kind = T::resource(),
                        %namespace,
                        %name,
                        "passed over an object that cannot be understood: {message}"
                    );
                }
                let change = self.change(&key);
                self.world.edit(|snapshot| {
                    T::collection(&mut snapshot.kubernetes).insert_malformed(&key.0, &key.1, &message);
                    change
                });
            }
        }
    }

    fn remove(&mut self, key: &Key) {
        let malformed = self.malformed.remove(key);
        let change = self.change(key);
        self.world.edit(|snapshot| {
            let removed = T::collection(&mut snapshot.kubernetes).remove(&key.0, &key.1);
            if removed.is_some() || malformed { change } else { Change::Nothing }
        });
    }

    /// Removes what was there before a list and is not in it.
    fn retain(&mut self, listed: &HashSet<Key>) {
        let mut gone = self.keys();
        gone.retain(|key| !listed.contains(key));
        for key in gone {
            self.remove(&key);
        }
    }

    /// Removes everything.
    fn forget(&mut self) {
        for key in self.keys() {
            self.remove(&key);
        }
    }

    /// The objects that this watch is answerable for.
    fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.malformed.iter().cloned().collect();
        self.world.edit(|snapshot| {
            let objects = T::collection(&mut snapshot.kubernetes).iter().map(T::meta);
            let own = objects.filter(|meta| self.namespace.is_empty() || meta.namespace == self.namespace);
            keys.extend(own.map(|meta| (meta.namespace.clone(), meta.name.clone())));
            Change::Nothing
        });
        keys
    }

    fn change(&self, key: &Key) -> Change {
        let events = T::KIND == "Event";
        if key.0.is_empty() || (&*key.0 == SYSTEM && !events) { Change::Everything } else { Change::Namespace(key.0.clone()) }
    }

    /// What an error means: `None` when the stream mends itself.
    fn classify(&mut self, error: &Error) -> Option<End> {
        let (reason, message) = match error {
            Error::InitialListFailed(cause) | Error::WatchStartFailed(cause) | Error::WatchFailed(cause) => match cause {
                kube::Error::Api(status) if status.code == 404 && !T::CHECKED => return Some(End::NotInstalled),
                kube::Error::Api(status) if status.code == 403 => return Some(End::Forbidden(status.message.clone())),
                kube::Error::SerdeError(error) if T::CHECKED => return Some(End::Undecodable(error.to_string())),
                kube::Error::Api(status) => (status.reason.clone(), status.message.clone()),
                cause => ("Unreachable".to_owned(), with_sources(cause)),
            },
            // The versions that the watch goes on from are too old: it lists again by itself.
            Error::WatchError(status) if status.code == 410 => return None,
            Error::WatchError(status) => (status.reason.clone(), status.message.clone()),
            Error::NoResourceVersion => ("Malformed".to_owned(), error.to_string()),
        };
        self.failed(if reason.is_empty() { "Unreachable" } else { &reason }, &message);
        None
    }

    /// An error that says nothing about the objects: what was seen stays, and a kind that was never listed stays unknown.
    fn failed(&mut self, reason: &str, message: &str) {
        self.report(message);
        if !self.listed {
            self.world.set_unread::<T>(&self.namespace, Some(self.unknown(reason, message)));
        }
    }

    /// Logs an error once, until another one comes or all is well again.
    fn report(&mut self, message: &str) {
        if self.reported != message {
            tracing::warn!(kind = T::resource(), namespace = %self.namespace, "cannot be watched: {message}");
            message.clone_into(&mut self.reported);
        }
    }

    fn recovered(&mut self) {
        if !self.reported.is_empty() {
            tracing::info!(kind = T::resource(), namespace = %self.namespace, "is watched again");
            self.reported.clear();
        }
    }

    fn unknown(&self, reason: &str, message: &str) -> Unknown {
        Unknown::new(Source::Kubernetes, T::resource(), reason, message)
    }
}

#[cfg(test)]
mod tests;
