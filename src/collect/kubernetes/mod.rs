//! The Kubernetes API server: one watch per kind, each into its collection of the world.
//!
//! ```text
//!  list + watch ──► Wire<T> (slim object, or the name of a malformed one) ──► World: one edit per object that really changed
//! ```
//!
//! Enters: a client. Leaves: a world that follows the API server, and why a kind cannot be read. Never: writes; reads a Secret; reads
//! of kube-system's ConfigMaps and Leases more than the few that GKE's controllers keep there.

mod leases;
mod watch;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::Client;
use tokio::task::JoinSet;

use super::world::World;
use crate::snapshot::kubernetes::{
    BackendConfig, ConfigMap, Deployment, EndpointSlice, Event, FrontendConfig, INGRESS_UID, Ingress, IngressClass, Lease,
    ManagedCertificate, Namespace, NetworkPolicy, Node, Pod, SYSTEM, Service, ServiceNetworkEndpointGroup, StatefulSet, Stored,
};
use watch::Watch;

/// A connection on which nothing came for this long is dead: a watch is closed by the server after 290 s.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Our name in the audit log, and a bound for every wait on the network.
pub fn prepare(mut config: kube::Config) -> kube::Config {
    config.headers.push((USER_AGENT, HeaderValue::from_static(super::USER_AGENT_NAME)));
    config.read_timeout.get_or_insert(READ_TIMEOUT);
    config
}

/// Starts every watch. With a namespace, objects of that namespace and the few of kube-system that any diagnosis needs are watched.
pub(super) fn spawn(tasks: &mut JoinSet<()>, client: &Client, world: &Arc<World>, namespace: Option<&str>) {
    let with_system = with_system(namespace);
    let own = [namespace.unwrap_or_default()];
    let watches = Watches { client, world };
    watches.of::<Service>(tasks, &with_system);
    watches.of::<EndpointSlice>(tasks, &with_system);
    watches.of::<Pod>(tasks, &with_system);
    watches.of::<Deployment>(tasks, &with_system);
    watches.of::<Ingress>(tasks, &own);
    watches.of::<IngressClass>(tasks, &[""]);
    watches.of::<NetworkPolicy>(tasks, &own);
    watches.of::<StatefulSet>(tasks, &own);
    watches.of::<BackendConfig>(tasks, &own);
    watches.of::<FrontendConfig>(tasks, &own);
    watches.of::<ManagedCertificate>(tasks, &own);
    watches.of::<ServiceNetworkEndpointGroup>(tasks, &own);
    tasks.spawn(Watch::<Event>::new(world, client, own[0]).keeping(Event::relevant).run());
    tasks.spawn(Watch::<Node>::new(world, client, "").run());
    tasks.spawn(Watch::<ConfigMap>::new(world, client, SYSTEM).named(INGRESS_UID).run());
    tasks.spawn(Watch::<Namespace>::new(world, client, "").named(SYSTEM).run());
    world.await_kind::<Lease>(SYSTEM);
    tasks.spawn(leases::run(world.clone(), client.clone()));
}

/// Where the objects are that the default backend is made of, which a diagnosis of one Ingress needs as well; empty: in all namespaces.
pub(super) fn with_system(namespace: Option<&str>) -> Vec<&str> {
    match namespace {
        None => vec![""],
        Some(SYSTEM) => vec![SYSTEM],
        Some(namespace) => vec![namespace, SYSTEM],
    }
}

struct Watches<'a> {
    client: &'a Client,
    world: &'a Arc<World>,
}

impl Watches<'_> {
    fn of<T: Stored + PartialEq>(&self, tasks: &mut JoinSet<()>, namespaces: &[&str]) {
        for namespace in namespaces {
            tasks.spawn(Watch::<T>::new(self.world, self.client, namespace).run());
        }
    }
}
