//! The live world: one [`Snapshot`] behind a lock, and what changed in it.
//!
//! Enters: single changes, from the watches, the Compute reader, the Container reader and the prober. Leaves: a read lock for a
//! diagnosis, the changes since they were last asked for, and whether every watch has listed once.
//! Never: copies the world; holds its lock across an `await`.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::guard;
use crate::snapshot::compute::COLLECTIONS;
use crate::snapshot::kubernetes::Stored;
use crate::snapshot::{Snapshot, Source, Unknown};

/// What changed since it was last asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Something that every diagnosis may depend on: nodes, objects of kube-system, Compute lists, …
    pub everything: bool,
    /// Namespaces in which an object changed.
    pub namespaces: BTreeSet<Box<str>>,
    /// Groups of endpoints (`projects/P/zones/Z/networkEndpointGroups/NAME`) whose endpoints or their health changed.
    pub groups: BTreeSet<Box<str>>,
}

impl Changes {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        !self.everything && self.namespaces.is_empty() && self.groups.is_empty()
    }
}

/// What one write changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that a diagnosis depends on.
    Nothing,
    /// What every diagnosis may depend on.
    Everything,
    /// An object of a namespace.
    Namespace(Box<str>),
    /// The endpoints of a group, or their health.
    Group(Box<str>),
}

/// One watch: a kind, in one namespace or (empty) in all.
type Part = (String, Box<str>);

#[derive(Debug, Default)]
struct Watches {
    awaited: BTreeSet<Part>,
    unread: BTreeMap<Part, Unknown>,
}

/// One [`Snapshot`], kept up to date in place.
#[derive(Debug, Default)]
pub struct World {
    snapshot: RwLock<Snapshot>,
    changes: Mutex<Changes>,
    changed: Notify,
    watches: Mutex<Watches>,
}

impl World {
    /// An empty world, in which nothing has been read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The world as it is; to be held for a moment and never across an `await`.
    pub fn read(&self) -> RwLockReadGuard<'_, Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, with `now` as the moment that every age is counted to.
    pub fn read_at(&self, now: Timestamp) -> RwLockReadGuard<'_, Snapshot> {
        let mut snapshot = self.lock();
        snapshot.meta.taken_at = now;
        RwLockWriteGuard::downgrade(snapshot)
    }

    /// Waits until something changed, and takes it.
    pub async fn changes(&self) -> Changes {
        loop {
            let changed = self.changed.notified();
            let changes = self.take_changes();
            if !changes.is_empty() {
                return changes;
            }
            changed.await;
        }
    }

    /// What changed since it was last asked for; may be nothing.
    pub fn take_changes(&self) -> Changes {
        mem::take(&mut *guard(&self.changes))
    }

    /// Whether every watch has listed its kind once, or knows that it cannot.
    pub fn synced(&self) -> bool {
        guard(&self.watches).awaited.is_empty()
    }

    /// The kinds whose first list is awaited, by resource name.
    pub fn awaited(&self) -> Vec<String> {
        let mut kinds: Vec<_> = guard(&self.watches).awaited.iter().map(|(resource, _)| resource.clone()).collect();
        kinds.dedup();
        kinds
    }

    /// What could not be read, each resource once per reason; methods and scopes by their kind.
    pub fn unread(&self) -> Vec<Unknown> {
        let snapshot = self.read();
        let mut unknown = snapshot.unread();
        unknown.extend(snapshot.compute.errors.iter().filter_map(|(path, error)| {
            Some(Unknown::new(Source::Compute, kind_and_method(path)?, error.reason.clone(), error.message.clone()))
        }));
        unknown.sort();
        unknown.dedup_by(|a, b| (a.source, &a.resource, &a.reason) == (b.source, &b.resource, &b.reason));
        unknown
    }

    /// Changes the world in place. `edit` runs under the lock, so it does no more than to move values.
    pub(super) fn edit(&self, edit: impl FnOnce(&mut Snapshot) -> Change) {
        let change = edit(&mut self.lock());
        self.mark(change);
    }

    /// Says that something changed, or has to be looked at again, without an edit.
    pub(super) fn mark(&self, change: Change) {
        let mut changes = guard(&self.changes);
        match change {
            Change::Nothing => return,
            Change::Everything => changes.everything = true,
            Change::Namespace(namespace) => {
                changes.namespaces.insert(namespace);
            }
            Change::Group(group) => {
                changes.groups.insert(group);
            }
        }
        drop(changes);
        self.changed.notify_one();
    }

    /// Says that a kind is about to be listed for the first time; until then it is unknown.
    pub(super) fn await_kind<T: Stored>(&self, namespace: &str) {
        guard(&self.watches).awaited.insert((T::resource(), namespace.into()));
        self.set_unread::<T>(namespace, Some(Unknown::not_read(Source::Kubernetes, T::resource())));
    }

    /// Says that a kind was listed, or cannot be: nobody need wait for it any longer.
    pub(super) fn settle_kind<T: Stored>(&self, namespace: &str) {
        let last = {
            let mut watches = guard(&self.watches);
            watches.awaited.remove(&(T::resource(), namespace.into())) && watches.awaited.is_empty()
        };
        if last {
            self.mark(Change::Everything);
        }
    }

    /// Says why a kind cannot be read in a namespace (empty: at all), or that it can be again. A kind that is watched in several
    /// namespaces is readable only when each of them is.
    pub(super) fn set_unread<T: Stored>(&self, namespace: &str, why: Option<Unknown>) {
        let part = (T::resource(), namespace.into());
        let why = {
            let mut watches = guard(&self.watches);
            match why {
                Some(why) => watches.unread.insert(part, why),
                None => watches.unread.remove(&part),
            };
            watches.unread.iter().find(|((resource, _), _)| *resource == T::resource()).map(|(_, why)| why.clone())
        };
        self.edit(|snapshot| {
            let collection = T::collection(&mut snapshot.kubernetes);
            if collection.unread() == why.as_ref() {
                return Change::Nothing;
            }
            collection.set_unread(why);
            Change::Everything
        });
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Snapshot> {
        self.snapshot.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `backendServices/getHealth` of `projects/P/global/backendServices/B/getHealth`: there are not as many as there are resources.
fn kind_and_method(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let at = parts.iter().position(|part| COLLECTIONS.contains(part))?;
    Some(parts.get(at + 2).map_or_else(|| parts[at].to_owned(), |method| format!("{}/{method}", parts[at])))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use jiff::Timestamp;
    use tokio::task::JoinSet;

    use super::{Change, World, guard, kind_and_method};
    use crate::collect::kubernetes;
    use crate::collect::once::Lists;
    use crate::snapshot::kubernetes::{Node, Pod};

    #[tokio::test]
    async fn changes_are_gathered_until_they_are_asked_for() {
        let world = World::new();
        assert!(world.take_changes().is_empty());
        world.mark(Change::Nothing);
        world.mark(Change::Namespace("a".into()));
        world.edit(|_| Change::Namespace("b".into()));
        world.mark(Change::Group("g".into()));
        let changes = world.changes().await;
        assert!(!changes.everything);
        assert_eq!(changes.namespaces, ["a".into(), "b".into()].into());
        assert_eq!(changes.groups, ["g".into()].into());

        let waiting = tokio::time::timeout(Duration::from_millis(20), world.changes());
        assert!(waiting.await.is_err(), "there is nothing new");
        world.mark(Change::Everything);
        assert!(world.changes().await.everything);
    }

    #[test]
    fn a_kind_is_readable_when_each_of_its_watches_is() {
        let world = World::new();
        world.await_kind::<Pod>("one");
        world.await_kind::<Pod>("two");
        world.await_kind::<Node>("");
        assert!(!world.synced());
        assert_eq!(world.awaited(), ["nodes", "pods"]);
        world.set_unread::<Pod>("one", None);
        world.settle_kind::<Pod>("one");
        assert!(world.read().kubernetes.pods.readable("one").is_err());
        world.set_unread::<Pod>("two", None);
        world.settle_kind::<Pod>("two");
        assert!(world.read().kubernetes.pods.readable("one").is_ok());
        assert_eq!(world.awaited(), ["nodes"]);
        world.settle_kind::<Node>("");
        assert!(world.synced() && world.read().kubernetes.nodes.readable("").is_err());
    }

    #[tokio::test]
    async fn what_is_watched_is_what_a_single_pass_lists() {
        let url = "http://127.0.0.1:1";
        let client = kube::Client::try_from(kube::Config::new(url.parse().expect("a URL"))).expect("a client");
        let parts = |world: &World| guard(&world.watches).unread.keys().cloned().collect::<Vec<_>>();
        for namespace in [None, Some("shop"), Some("kube-system")] {
            let (watched, listed) = (Arc::new(World::new()), Arc::new(World::new()));
            kubernetes::spawn(&mut JoinSet::new(), &client, &watched, namespace);
            let _ = Lists::new(client.clone(), url.to_owned(), &listed, namespace, None);
            assert!(!parts(&watched).is_empty());
            assert_eq!(parts(&watched), parts(&listed), "{namespace:?}");
        }
    }

    #[test]
    fn a_diagnosis_says_when_now_is() {
        let world = World::new();
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        assert_eq!(world.read_at(now).meta.taken_at, now);
        assert_eq!(world.read().meta.taken_at, now);
    }

    #[test]
    fn what_is_unread_names_no_resource() {
        let of = |path| kind_and_method(path).unwrap_or_default();
        assert_eq!(
            of("projects/p/zones/z/networkEndpointGroups/n/listNetworkEndpoints"),
            "networkEndpointGroups/listNetworkEndpoints"
        );
        assert_eq!(of("projects/p/regions/r/subnetworks"), "subnetworks");
        assert_eq!(of("projects/p/global/firewalls/f"), "firewalls");
        assert_eq!(of("nonsense"), "");
    }
}
