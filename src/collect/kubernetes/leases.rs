//! The Leases of GKE's load balancing controllers: whether anybody is at work.
//!
//! Enters: two objects, asked for by name every [`INTERVAL`]. Leaves: both in the world. Never: watches them (each is renewed every
//! two seconds); calls a mere renewal a change.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use kube::api::Api;

use super::wire::Wire;
use crate::collect::world::{Change, World};
use crate::snapshot::kubernetes::{Kind, LEASES, Lease, SYSTEM};
use crate::snapshot::{Source, Unknown};

const INTERVAL: Duration = Duration::from_secs(20);

const TIMEOUT: Duration = Duration::from_secs(10);

/// A Lease that was not renewed for so many seconds turns heads: the controllers renew theirs every 2 s and lose it after 15 s.
const STALE_SECONDS: i64 = 60;

/// Asks for the Leases for ever.
pub(super) async fn run(world: Arc<World>, client: Client) {
    let api: Api<Wire<Lease, false>> = Api::namespaced_with(client, SYSTEM, &());
    let mut reported = false;
    let mut listed = false;
    loop {
        let mut failure = None;
        for name in LEASES {
            match tokio::time::timeout(TIMEOUT, api.get_opt(name)).await {
                Ok(Ok(lease)) => keep(&world, name, lease.and_then(|wire| wire.object.ok())),
                Ok(Err(kube::Error::Api(status))) => failure = Some((status.reason.clone(), status.message.clone(), status.code)),
                Ok(Err(error)) => failure = Some(("Unreachable".to_owned(), error.to_string(), 0)),
                Err(_) => failure = Some(("Timeout".to_owned(), "no answer from the API server".to_owned(), 0)),
            }
        }
        match failure {
            None => {
                listed = true;
                reported = false;
                world.set_unread::<Lease>(SYSTEM, None);
                world.settle_kind::<Lease>(SYSTEM);
            }
            Some((reason, message, code)) => {
                if !std::mem::replace(&mut reported, true) {
                    tracing::warn!(kind = Lease::resource(), "cannot be read: {message}");
                }
                // A stale lease accuses the controllers, so what was seen before an outage of ours does not stand.
                if code == 403 || !listed || stale(&world) {
                    let why = Unknown::new(Source::Kubernetes, Lease::resource(), reason, message);
                    forget(&world);
                    world.set_unread::<Lease>(SYSTEM, Some(why));
                }
                if code == 403 {
                    world.settle_kind::<Lease>(SYSTEM);
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn keep(world: &World, name: &str, lease: Option<Lease>) {
    world.edit(|snapshot| {
        let leases = &mut snapshot.kubernetes.leases;
        let known = leases.get(SYSTEM, name).seen();
        let before = known.map(|lease| (lease.spec.holder_identity.clone(), is_stale(lease)));
        let after = lease.as_ref().map(|lease| (lease.spec.holder_identity.clone(), is_stale(lease)));
        match lease {
            Some(lease) => drop(leases.insert(lease)),
            None => drop(leases.remove(SYSTEM, name)),
        }
        if before == after { Change::Nothing } else { Change::Everything }
    });
}

fn forget(world: &World) {
    world.edit(|snapshot| {
        snapshot.kubernetes.leases.clear();
        Change::Nothing
    });
}

fn stale(world: &World) -> bool {
    world.read().kubernetes.leases.iter().any(is_stale)
}

fn is_stale(lease: &Lease) -> bool {
    lease.spec.renew_time.is_none_or(|renewed| Timestamp::now().duration_since(renewed).as_secs() > STALE_SECONDS)
}
