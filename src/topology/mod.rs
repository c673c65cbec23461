//! What belongs together: Ingress → backend → Service → pods ↔ NEG ↔ backend service ↔ health check.
//!
//! Enters: a [`Snapshot`] and the name of a target. Leaves: a [`Topology`], which borrows from the snapshot and answers every question
//! that a rule asks in the words of the field. Never: judges, reads a clock or a server, or copies the world.

pub mod addon;
pub mod address;
pub mod annotations;
pub mod answers;
pub mod apps;
pub mod backend;
pub mod certificate;
pub mod class;
pub mod events;
pub mod firewall;
pub mod firewall_command;
pub mod fleet;
pub mod frontend;
pub mod grace;
pub mod health;
pub mod health_check;
pub mod health_settings;
pub mod members;
pub mod naming;
pub mod neg;
pub mod neg_drift;
pub mod network_policy;
pub mod nodes;
pub mod questions;
pub mod readiness_gate;
pub mod refusals;
pub mod routing;
pub mod vpc;
pub mod wants;
pub mod wrong_port;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::snapshot::compute::{Resource, Tabled};
use crate::snapshot::kubernetes::{Event, Ingress, ObjectMeta, PortRef, Service};
use crate::snapshot::{Observed, Snapshot, Source, Unknown};

use backend::Named;
pub use backend::{Backend, Group, GroupKind, Member, Role, SliceEndpoint, State};
pub use class::Class;
pub use fleet::Fleet;
pub use frontend::{Frontend, Protocol};
pub use grace::Grace;
pub use routing::Route;

/// Which object a diagnosis is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetRef {
    /// Ingress or Service.
    pub kind: TargetKind,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl TargetRef {
    /// Name of the `IngressDiagnosis` of this target: the Ingress's own, or `service.NAME`.
    pub fn diagnosis_name(&self) -> String {
        match self.kind {
            TargetKind::Ingress => self.name.to_string(),
            TargetKind::Service => format!("service.{}", self.name),
        }
    }
}

/// The kinds that get a diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// An Ingress.
    Ingress,
    /// A Service with a standalone NEG.
    Service,
}

impl TargetKind {
    /// `Ingress` or `Service`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Service => "Service",
        }
    }

    /// `networking.k8s.io/v1` or `v1`.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Ingress => "networking.k8s.io/v1",
            Self::Service => "v1",
        }
    }
}

/// The object that a diagnosis is about.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// An Ingress and its class.
    Ingress(&'a Ingress, Class),
    /// A Service with a standalone NEG.
    Service(&'a Service),
}

/// Everything that belongs to one target.
#[derive(Debug)]
pub struct Topology<'a> {
    /// Where all of it was seen.
    pub snapshot: &'a Snapshot,
    /// What only the neighbours tell.
    pub fleet: &'a Fleet,
    /// The waiting times.
    pub grace: &'a Grace,
    /// "Now".
    pub now: Timestamp,
    /// The target.
    pub target: Target<'a>,
    /// Its backends, each Service port once: those that it routes to by their order in the specification, the system default backend last.
    pub backends: Vec<Backend<'a>>,
    /// The events about the target, oldest first.
    pub events: Result<Vec<&'a Event>, Unknown>,
    /// Those of them that are warnings and still stand.
    pub warnings: Result<Vec<&'a Event>, Unknown>,
    /// When the target itself last changed, where somebody looks on: what a list from before that does not hold may have been made since.
    pub changed_at: Option<Timestamp>,
    /// The findings that stand, by code and backend: what rests on outdated facts may only be said again.
    pub stands: BTreeSet<(String, Option<String>)>,
}

impl<'a> Topology<'a> {
    /// The topology of a target; `None` when the target is not there or is none of our business.
    pub fn of(snapshot: &'a Snapshot, fleet: &'a Fleet, grace: &'a Grace, target: &TargetRef) -> Option<Self> {
        let kubernetes = &snapshot.kubernetes;
        let (target, kind) = match target.kind {
            TargetKind::Ingress => {
                let ingress = kubernetes.ingresses.get(&target.namespace, &target.name).seen()?;
                let class = class::class_of(ingress, kubernetes);
                (class.diagnosed().then_some(Target::Ingress(ingress, class))?, "Ingress")
            }
            TargetKind::Service => {
                let service = kubernetes.services.get(&target.namespace, &target.name).seen()?;
                (fleet.is_standalone(service).then_some(Target::Service(service))?, "Service")
            }
        };
        let mut topology = Self {
            snapshot,
            fleet,
            grace,
            now: snapshot.meta.taken_at,
            target,
            backends: Vec::new(),
            events: Ok(Vec::new()),
            warnings: Ok(Vec::new()),
            changed_at: None,
            stands: BTreeSet::new(),
        };
        topology.events = kubernetes.events_of(kind, topology.meta());
        topology.backends = topology.find_backends();
        topology.warnings = match (&topology.events, target) {
            (Ok(events), Target::Ingress(..)) => Ok(events::standing_on_ingress(events)),
            (Ok(events), Target::Service(_)) => Ok(events::standing_on_service(events, None)),
            (Err(why), _) => Err(why.clone()),
        };
        Some(topology)
    }

    fn find_backends(&self) -> Vec<Backend<'a>> {
        match self.target {
            Target::Service(service) => backend::standalone(self, service),
            Target::Ingress(ingress, class) => {
                let mut named: Vec<Named<'a>> = Vec::new();
                let mut known: BTreeMap<(&str, PortRef), usize> = BTreeMap::new();
                for route in self.routes() {
                    let Some(backend) = &route.backend.service else { continue };
                    let service = self.snapshot.kubernetes.services.get(&ingress.metadata.namespace, &backend.name);
                    let port_ref = backend::port_ref(&backend.port);
                    let port = service.as_ref().seen().and_then(|service| backend::find_port(service, &port_ref));
                    let key = port.map_or_else(|| port_ref.clone(), |port| PortRef::Number(port.port));
                    let at = *known.entry((&backend.name, key)).or_insert_with(|| {
                        named.push(Named { service_name: &backend.name, service, port_ref, routes: Vec::new(), counts: false });
                        named.len() - 1
                    });
                    named[at].counts |= route.counts;
                    named[at].routes.push(route.place);
                }
                let mut backends: Vec<_> = named.into_iter().map(|named| backend::routed(self, ingress, class, named)).collect();
                if self.uses_system_default_backend() {
                    backends.push(backend::system_default(self, class));
                }
                backends
            }
        }
    }

    /// Every route of the Ingress, in the order of its specification.
    pub fn routes(&self) -> Vec<Route<'a>> {
        self.ingress().map(routing::routes).unwrap_or_default()
    }

    /// The Ingress, when the target is one.
    pub fn ingress(&self) -> Option<&'a Ingress> {
        match self.target {
            Target::Ingress(ingress, _) => Some(ingress),
            Target::Service(_) => None,
        }
    }

    /// The class of the Ingress; a Service has none.
    pub fn class(&self) -> Option<Class> {
        match self.target {
            Target::Ingress(_, class) => Some(class),
            Target::Service(_) => None,
        }
    }

    /// GKE's controller makes a load balancer for the target.
    pub fn handled(&self) -> bool {
        self.class().is_none_or(Class::handled)
    }

    /// The target's metadata.
    pub fn meta(&self) -> &'a ObjectMeta {
        match self.target {
            Target::Ingress(ingress, _) => &ingress.metadata,
            Target::Service(service) => &service.metadata,
        }
    }

    /// The target's namespace.
    pub fn namespace(&self) -> &'a str {
        &self.meta().namespace
    }

    /// The target's name.
    pub fn name(&self) -> &'a str {
        &self.meta().name
    }

    /// Requests that match no rule go to the add-on's own backend: a handled Ingress without `spec.defaultBackend`.
    pub fn uses_system_default_backend(&self) -> bool {
        matches!(self.target, Target::Ingress(ingress, class) if class.handled() && ingress.spec.default_backend.is_none())
    }

    /// The backends that the target itself brings and that the load balancer has: not the system default one, and none that only
    /// replaced routes name.
    pub fn own_backends(&self) -> impl Iterator<Item = &Backend<'a>> {
        self.backends.iter().filter(|backend| backend.role != Role::SystemDefault && backend.served)
    }

    /// How long ago it was.
    pub fn since(&self, time: Timestamp) -> SignedDuration {
        self.now.duration_since(time)
    }

    /// Whether a state that began then has lasted longer than `grace`; where nothing says when it began, it has.
    pub fn lasted(&self, since: Option<Timestamp>, grace: SignedDuration) -> bool {
        since.is_none_or(|since| self.since(since) > grace)
    }

    /// Whether a state that began then had lasted longer than `grace` when the health of the backend's endpoints was read: what an old
    /// fact says has not lasted longer because nobody looked again.
    pub fn lasted_when_read(&self, backend: &Backend<'_>, since: Option<Timestamp>, grace: SignedDuration) -> bool {
        let read_at = backend.read_at.unwrap_or(self.now);
        since.is_none_or(|since| read_at.duration_since(since) > grace)
    }

    /// The same for what a list of Compute resources says.
    pub fn lasted_when_listed<T: Resource>(&self, since: Option<Timestamp>, grace: SignedDuration) -> bool {
        let read_at = self.listed_at::<T>().unwrap_or(self.now);
        since.is_none_or(|since| read_at.duration_since(since) > grace)
    }

    /// When the list of a kind of Compute resources was read; `None`: with all the rest.
    fn listed_at<T: Resource>(&self) -> Option<Timestamp> {
        let list = format!("projects/{}/{}", self.project(), T::COLLECTION);
        self.snapshot.compute.read_at.get(&*list).copied()
    }

    /// Why a list of Compute resources says nothing of what is not in it: the target named it only later.
    pub fn listed_too_early<T: Resource>(&self) -> Option<Unknown> {
        let early = self.listed_at::<T>().zip(self.changed_at).is_some_and(|(listed, changed)| listed < changed);
        let why =
            || Unknown::new(Source::Compute, T::COLLECTION, Unknown::OUTDATED, "it was read before the Ingress last changed");
        early.then(why)
    }

    /// A Compute resource that the target names.
    pub fn named<T: Tabled>(&self, path: &str) -> Observed<&'a T> {
        match (self.snapshot.compute.get::<T>(path), self.listed_too_early::<T>()) {
            (Observed::Absent, Some(why)) => Observed::Unknown(why),
            (seen, _) => seen,
        }
    }

    /// When the controller first synced the target: its oldest sync event, else its creation.
    pub fn first_sync(&self) -> Option<Timestamp> {
        let events = self.events.as_deref().unwrap_or_default();
        let oldest = events
            .iter()
            .filter(|event| matches!(&*event.reason, "Sync" | "Translate" | "IPChanged"))
            .filter_map(|event| event.first)
            .min();
        oldest.or(self.meta().creation_timestamp)
    }

    /// Younger than the time that a load balancer may take.
    pub fn young(&self) -> bool {
        !self.lasted(self.first_sync(), self.grace.provisioning)
    }

    /// Says of the backends at these places that Kubernetes' side of their endpoints changed after their groups were read.
    pub fn set_outdated(&mut self, places: &BTreeSet<usize>) {
        for (at, backend) in self.backends.iter_mut().enumerate() {
            backend.outdated = places.contains(&at);
        }
    }

    /// The standing `Translate` warnings of the Ingress, each error by itself.
    pub fn translate_errors(&self) -> Result<Vec<(&'a Event, &'a str)>, Unknown> {
        let warnings = self.warnings.as_ref().map_err(Clone::clone)?;
        Ok(warnings
            .iter()
            .filter(|event| &*event.reason == "Translate")
            .flat_map(|event| {
                let text = &*event.message;
                let text = text.strip_prefix("Translation failed: ").unwrap_or(text);
                let text = text.strip_prefix("invalid ingress spec: ").unwrap_or(text);
                text.split("; ").map(move |error| (*event, error))
            })
            .collect())
    }

    /// The standing `Sync` warnings of the Ingress, without the generic words around the cause.
    pub fn sync_errors(&self) -> Result<Vec<(&'a Event, &'a str)>, Unknown> {
        let warnings = self.warnings.as_ref().map_err(Clone::clone)?;
        Ok(warnings
            .iter()
            .filter(|event| &*event.reason == "Sync")
            .map(|event| {
                let text = &*event.message;
                (*event, events::without_wrapper(text.strip_prefix("Error syncing to GCP: ").unwrap_or(text)))
            })
            .collect())
    }

    /// The project of the cluster.
    pub fn project(&self) -> &'a str {
        &self.snapshot.meta.project
    }

    /// The region of the cluster.
    pub fn region(&self) -> &'a str {
        region_of(&self.snapshot.meta.cluster_location)
    }

    /// Where the load balancer's resources of this target live: `projects/P/global`, or `projects/P/regions/R` for regional classes.
    pub fn scope(&self) -> String {
        if self.class().is_some_and(Class::regional) {
            format!("projects/{}/regions/{}", self.project(), self.region())
        } else {
            format!("projects/{}/global", self.project())
        }
    }
}

/// The region of a zone, or the region itself.
pub fn region_of(location: &str) -> &str {
    match location.rsplit_once('-') {
        Some((region, zone)) if zone.len() == 1 && region.contains('-') => region,
        _ => location,
    }
}
