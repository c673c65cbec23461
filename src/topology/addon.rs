//! Signs that the HTTP load balancing add-on is on, and that its controllers are alive.
//!
//! Enters: the cluster's switch, the add-on's objects, the controllers' Leases, traces on an Ingress. Leaves: whether the add-on is off.
//! Never: takes one missing sign for a proof.
//! Source: ingress-gce `docs/deploy/resources/default-http-backend.yaml`, `cmd/glbc`; the Container API's `addonsConfig`.

use jiff::Timestamp;

pub use crate::snapshot::kubernetes::LEASES;
use crate::snapshot::kubernetes::{Pairs, SYSTEM};
use crate::snapshot::{Observed, Unknown};

use super::annotations::keys;
use super::backend::SYSTEM_DEFAULT;
use super::{Topology, class};

/// The add-on's Deployment, in kube-system.
pub const DEPLOYMENT: &str = "l7-default-backend";

/// How it was seen that the add-on is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Off {
    /// The Container API says so.
    Switch,
    /// Every trace of it is missing.
    NoTrace,
}

/// How old the last sign of life of a controller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Its Lease is renewed.
    Fresh,
    /// Its Lease is there and was not renewed for longer than the grace.
    Stale,
    /// There is no such Lease.
    Absent,
}

impl Topology<'_> {
    /// Whether the HTTP load balancing add-on is off: the Container API's word, else the absence of every trace.
    pub fn addon_off(&self) -> Result<Option<Off>, Unknown> {
        match &self.snapshot.cluster {
            Observed::Present(cluster) => return Ok(cluster.addons_config.http_load_balancing.disabled.then_some(Off::Switch)),
            Observed::Absent | Observed::Unknown(_) => {}
        }
        if self.controller_left_traces() {
            return Ok(None);
        }
        let kubernetes = &self.snapshot.kubernetes;
        let (namespace, service) = SYSTEM_DEFAULT;
        if kubernetes.services.get(namespace, service).seen().is_some()
            || kubernetes.deployments.get(namespace, DEPLOYMENT).seen().is_some()
        {
            return Ok(None);
        }
        if self.lease(LEASES[0])? == Life::Fresh {
            return Ok(None);
        }
        let glbc = Pairs::from([("k8s-app".into(), "glbc".into())]);
        if !kubernetes.pods_of(namespace, &glbc)?.is_empty() {
            return Ok(None);
        }
        kubernetes.services.get(namespace, service).known()?;
        kubernetes.deployments.get(namespace, DEPLOYMENT).known()?;
        self.events.as_ref().map_err(Clone::clone)?;
        Ok(Some(Off::NoTrace))
    }

    /// The controller's finalizer, annotation or an event of it on this Ingress.
    fn controller_left_traces(&self) -> bool {
        let Some(ingress) = self.ingress() else { return false };
        class::has_finalizer(ingress)
            || [keys::URL_MAP, keys::BACKENDS, keys::FORWARDING_RULE].iter().any(|key| ingress.metadata.annotation(key).is_some())
            || self.events.as_ref().is_ok_and(|events| !events.is_empty())
    }

    /// GKE's Ingress controller has run in this cluster and is not alive: its Lease is not renewed and no heartbeat is later than that
    /// (then the Lease is a leftover); where Leases are unread, no Ingress has had a sync event for longer than two resyncs. No Lease
    /// proves nothing: whether the controller keeps one in the cluster is GKE's choice.
    pub fn controller_stalled(&self) -> Result<bool, Unknown> {
        let beat = self.fleet.last_heartbeat_at();
        let silent = self.lasted(beat, self.grace.heartbeat);
        let stalled = match self.lease(LEASES[0]) {
            Ok(Life::Fresh | Life::Absent) => false,
            Ok(Life::Stale) => {
                let since = self.lease_renewed(LEASES[0]);
                let later = matches!((beat, since), (Some(beat), Some(since)) if beat > since + self.grace.lease);
                !later || silent
            }
            Err(unread) if self.fleet.events_unread.is_some() => return Err(unread),
            Err(_) => silent,
        };
        match &self.fleet.events_unread {
            // Without a finalizer, an event alone could still tell that it has run.
            Some(unread) if stalled && self.fleet.controller_ran_on.is_none() => Err(unread.clone()),
            _ => Ok(stalled && self.fleet.controller_ran_on.is_some()),
        }
    }

    /// When a Lease in kube-system was last renewed, where it was seen.
    pub fn lease_renewed(&self, name: &str) -> Option<Timestamp> {
        self.snapshot.kubernetes.leases.get(SYSTEM, name).seen().and_then(|lease| lease.spec.renew_time)
    }

    /// How alive the holder of a Lease in kube-system is.
    pub fn lease(&self, name: &str) -> Result<Life, Unknown> {
        let lease = self.snapshot.kubernetes.leases.get(SYSTEM, name).known()?;
        Ok(match lease {
            None => Life::Absent,
            Some(lease) if self.lasted(lease.spec.renew_time, self.grace.lease) => Life::Stale,
            Some(_) => Life::Fresh,
        })
    }
}
