//! Kubernetes read once, with plain lists, for a diagnosis that is made once.
//!
//! ```text
//!  lists of the kinds that are named ──► slim objects ──► World        (and, where somebody records, verbatim ──► Tape)
//! ```
//!
//! Enters: a client, a namespace or none, which kinds are wanted. Leaves: the world, and why a kind could not be read. Never: watches;
//! lists a kind twice; takes a refusal for an empty list; writes.

mod facts;
mod google;
mod pages;
mod proxy;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::{BoxFuture, FutureExt, join_all};
use kube::Client;
use serde_json::Value;

use super::guard;
use super::kubernetes::with_system;
use super::tape::Tape;
use super::world::{Change, World};
use crate::snapshot::kubernetes::{
    BackendConfig, ConfigMap, Deployment, EndpointSlice, Event, FrontendConfig, INGRESS_UID, Ingress, IngressClass, LEASES,
    Lease, Malformed, ManagedCertificate, Namespace, NetworkPolicy, Node, Pod, SYSTEM, Service, ServiceNetworkEndpointGroup,
    StatefulSet, Stored,
};
use crate::snapshot::{Source, Unknown};
pub use facts::{can_ask_google, identify, keep_answers, not_in_time};
pub use google::{Google, Prepared};
use pages::{Item, Refusal};
pub use proxy::{PodProxy, ProxyError};

/// Why nothing can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnceError {
    /// The API server does not know who asks.
    #[error("the Kubernetes API server {url} does not accept these credentials ({why}): they are expired or wrong, log in again")]
    Unauthorized {
        /// Where it is.
        url: String,
        /// What it said.
        why: String,
    },
    /// No list got an answer.
    #[error("the Kubernetes API server {url} cannot be reached: {why}")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What happened.
        why: String,
    },
}

/// A right that is missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// `networkpolicies.networking.k8s.io`, `pods`.
    pub resource: String,
    /// Where it was asked for; empty: in the whole cluster.
    pub namespace: String,
}

/// How far the lists are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListsProgress {
    /// Lists that were begun.
    pub begun: usize,
    /// Lists that have ended, well or not.
    pub ended: usize,
    /// Objects so far.
    pub objects: usize,
}

/// Where the objects of a kind are.
#[derive(Debug, Clone)]
struct Place {
    /// Empty: all namespaces, or a cluster-scoped kind.
    namespace: Box<str>,
    /// Only these; empty: all.
    names: &'static [&'static str],
}

impl Place {
    fn of(namespace: &str, names: &'static [&'static str]) -> Self {
        Self { namespace: namespace.into(), names }
    }
}

/// Lists kinds, each once.
#[derive(Debug)]
pub struct Lists {
    client: ClientOf,
    world: Arc<World>,
    namespace: Option<Box<str>>,
    tape: Option<Tape>,
    state: Mutex<State>,
    begun: AtomicUsize,
    ended: AtomicUsize,
    objects: AtomicUsize,
}

/// The client has no words for a debugger.
struct ClientOf {
    client: Client,
    url: String,
}

impl std::fmt::Debug for ClientOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

#[derive(Debug, Default)]
struct State {
    listed: BTreeSet<String>,
    malformed: Vec<Malformed>,
    missing: BTreeSet<Missing>,
    /// Some list got an answer, whatever it was.
    answered: bool,
    unauthorized: Option<String>,
    unreachable: Option<String>,
}

macro_rules! kinds {
    ($($kind:ty => $places:ident, $keep:expr;)*) => {
        /// Every kind that a diagnosis may look for, by resource name.
        pub fn every_kind() -> BTreeSet<String> {
            [$(<$kind as crate::snapshot::kubernetes::Kind>::resource()),*].into()
        }

        impl Lists {
            /// Until it is listed, a kind is unknown.
            fn mark_all(&self) {
                $(for place in self.$places() {
                    self.not_read::<$kind>(&place);
                })*
            }

            /// The lists of a kind, one per place.
            fn of_kind(&self, resource: &str) -> Vec<BoxFuture<'_, ()>> {
                $(if resource == <$kind as crate::snapshot::kubernetes::Kind>::resource() {
                    return self.$places().into_iter().map(|place| self.list::<$kind>(place, $keep).boxed()).collect();
                })*
                Vec::new()
            }
        }
    };
}
kinds! {
    Ingress => own, |_| true;
    IngressClass => cluster, |_| true;
    Service => with_system, |_| true;
    EndpointSlice => with_system, |_| true;
    Pod => with_system, |_| true;
    Node => cluster, |_| true;
    NetworkPolicy => own, |_| true;
    Deployment => with_system, |_| true;
    StatefulSet => own, |_| true;
    BackendConfig => own, |_| true;
    FrontendConfig => own, |_| true;
    ManagedCertificate => own, |_| true;
    ServiceNetworkEndpointGroup => own, |_| true;
    Event => own, Event::relevant;
    Lease => leases, |_| true;
    ConfigMap => ingress_uid, |_| true;
    Namespace => kube_system, |_| true;
}

/// The kinds that every diagnosis needs, by resource name; what else it looks for is listed when it does.
pub fn needed_kinds() -> BTreeSet<String> {
    use crate::snapshot::kubernetes::Kind as _;
    [
        Ingress::resource(),
        Service::resource(),
        EndpointSlice::resource(),
        Pod::resource(),
        Node::resource(),
        Event::resource(),
        ServiceNetworkEndpointGroup::resource(),
        ConfigMap::resource(),
        Namespace::resource(),
    ]
    .into()
}

/// The kinds that tell which cluster this is.
pub fn identifying_kinds() -> BTreeSet<String> {
    use crate::snapshot::kubernetes::Kind as _;
    [Node::resource()].into()
}

impl Lists {
    /// Says of every kind that it was not read yet. With a namespace, that one and the few objects of kube-system that any diagnosis needs
    /// are listed.
    pub fn new(client: Client, url: String, world: &Arc<World>, namespace: Option<&str>, tape: Option<Tape>) -> Self {
        let lists = Self {
            client: ClientOf { client, url },
            world: world.clone(),
            namespace: namespace.map(Into::into),
            tape,
            state: Mutex::default(),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            objects: AtomicUsize::new(0),
        };
        lists.mark_all();
        lists
    }

    /// Lists kinds, all at once; those that were listed before are not listed again.
    pub async fn read(&self, kinds: &BTreeSet<String>) -> Result<(), OnceError> {
        let fresh: Vec<String> = {
            let mut state = self.state();
            kinds.iter().filter(|kind| state.listed.insert((*kind).clone())).cloned().collect()
        };
        join_all(fresh.iter().flat_map(|kind| self.of_kind(kind))).await;
        let state = self.state();
        let url = self.client.url.clone();
        match (&state.unauthorized, &state.unreachable) {
            (Some(why), _) => Err(OnceError::Unauthorized { url, why: why.clone() }),
            (None, Some(why)) if !state.answered => Err(OnceError::Unreachable { url, why: why.clone() }),
            _ => Ok(()),
        }
    }

    /// Whether a kind was not listed yet.
    pub fn is_new(&self, kind: &str) -> bool {
        !self.state().listed.contains(kind)
    }

    /// The objects that were passed over.
    pub fn malformed(&self) -> Vec<Malformed> {
        let mut malformed = self.state().malformed.clone();
        malformed.sort();
        malformed
    }

    /// The rights that were missing.
    pub fn missing(&self) -> Vec<Missing> {
        self.state().missing.iter().cloned().collect()
    }

    /// How far the lists are.
    pub fn progress(&self) -> ListsProgress {
        let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        ListsProgress { begun: of(&self.begun), ended: of(&self.ended), objects: of(&self.objects) }
    }

    fn cluster(&self) -> Vec<Place> {
        vec![Place::of("", &[])]
    }

    fn own(&self) -> Vec<Place> {
        vec![Place::of(self.namespace.as_deref().unwrap_or_default(), &[])]
    }

    fn with_system(&self) -> Vec<Place> {
        with_system(self.namespace.as_deref()).into_iter().map(|namespace| Place::of(namespace, &[])).collect()
    }

    fn leases(&self) -> Vec<Place> {
        vec![Place::of(SYSTEM, &LEASES)]
    }

    fn ingress_uid(&self) -> Vec<Place> {
        vec![Place::of(SYSTEM, &[INGRESS_UID])]
    }

    fn kube_system(&self) -> Vec<Place> {
        vec![Place::of("", &[SYSTEM])]
    }

    fn not_read<T: Stored>(&self, place: &Place) {
        self.world.set_unread::<T>(&place.namespace, Some(Unknown::not_read(Source::Kubernetes, T::resource())));
    }

    async fn list<T: Stored>(&self, place: Place, keep: fn(&T) -> bool) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let client = &self.client.client;
        let mut end = pages::list::<T>(client, &place, self.tape.is_some(), |object| self.keep(object, &place, keep)).await;
        if matches!(&end, Err(Refusal::Forbidden(_))) && place.names.len() > 1 {
            // Whoever may not list may still be let through by name.
            end = pages::by_name::<T>(client, &place, |object| self.keep(object, &place, keep)).await;
        }
        let why = self.settle(end, T::CHECKED, &place, &T::resource());
        self.world.set_unread::<T>(&place.namespace, why);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Why the kind stays unknown, if it does.
    fn settle(&self, end: Result<(), Refusal>, checked: bool, place: &Place, resource: &str) -> Option<Unknown> {
        let mut state = self.state();
        state.answered |= !matches!(end, Err(Refusal::Unreachable(_)));
        let (reason, message) = match end {
            Ok(()) => return None,
            // The API server does not serve the kind: nobody has one.
            Err(Refusal::NotFound(_)) if !checked => return None,
            Err(Refusal::NotFound(message)) => ("NotFound".to_owned(), message),
            Err(Refusal::Forbidden(message)) => {
                let namespace = place.namespace.to_string();
                state.missing.insert(Missing { resource: resource.to_owned(), namespace });
                ("Forbidden".to_owned(), message)
            }
            Err(Refusal::Unauthorized(message)) => {
                state.unauthorized.get_or_insert_with(|| message.clone());
                ("Unauthorized".to_owned(), message)
            }
            Err(Refusal::Unreachable(message)) => {
                state.unreachable.get_or_insert_with(|| message.clone());
                ("Unreachable".to_owned(), message)
            }
            Err(Refusal::Other(reason, message)) => (reason, message),
        };
        Some(Unknown::new(Source::Kubernetes, resource, reason, message))
    }

    fn keep<T: Stored>(&self, item: Item<T>, place: &Place, keep: fn(&T) -> bool) {
        let (object, sent) = match item {
            Item::Slim(object) => (Ok(object), None),
            Item::Whole(sent) => (T::deserialize(&sent), Some(sent)),
        };
        let wanted = |name: &str| place.names.is_empty() || place.names.contains(&name);
        match (object, sent) {
            (Ok(object), sent) if keep(&object) && wanted(&object.meta().name) => {
                if let (Some(tape), Some(sent)) = (&self.tape, sent) {
                    tape.object::<T>(sent);
                }
                self.world.edit(|snapshot| {
                    T::collection(&mut snapshot.kubernetes).insert(object);
                    Change::Everything
                });
            }
            (Err(error), Some(sent)) => self.pass_over::<T>(sent, &error.to_string()),
            _ => return,
        }
        self.objects.fetch_add(1, Ordering::Relaxed);
    }

    fn pass_over<T: Stored>(&self, object: Value, message: &str) {
        let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (part("namespace"), part("name"));
        self.world.edit(|snapshot| {
            T::collection(&mut snapshot.kubernetes).insert_malformed(&namespace, &name, message);
            Change::Everything
        });
        let malformed = Malformed { kind: T::KIND.to_owned(), namespace, name, message: message.to_owned() };
        self.state().malformed.push(malformed);
        if let Some(tape) = &self.tape {
            tape.object::<T>(object);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        guard(&self.state)
    }
}
