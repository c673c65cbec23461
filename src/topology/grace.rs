//! The waiting times that the catalogue names.
//!
//! Enters: settings. Leaves: [`Grace`]. Never: reads a clock.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

macro_rules! grace {
    ($($(#[$doc:meta])* $name:ident = $seconds:literal,)*) => {
        /// How long a state may last before it counts, in the settings as `grace.NAME`, a duration like `10m` or `PT10M`.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", default, deny_unknown_fields)]
        pub struct Grace {
            $($(#[$doc])* pub $name: SignedDuration,)*
        }

        impl Default for Grace {
            fn default() -> Self {
                Self { $($name: SignedDuration::from_secs($seconds),)* }
            }
        }
    };
}

grace! {
    /// From the first sync of an Ingress until it must have an address and healthy backends.
    provisioning = 600,
    /// From when a pod's containers are ready until the load balancer must find it healthy.
    rollout = 120,
    /// Until a backend that is healthy in part counts as such.
    partially_unhealthy = 120,
    /// Until a pod that waits at the load balancer's readiness gate counts as blocked.
    readiness_gate = 120,
    /// From the first sync until the network endpoint groups must exist.
    neg_creation = 300,
    /// Until a difference between a network endpoint group and the EndpointSlices counts.
    endpoint_drift = 120,
    /// From the request for deletion until it counts as blocked.
    deletion = 900,
    /// Without a heartbeat on any Ingress until the controller counts as stalled, where its Leases cannot be read.
    heartbeat = 1200,
    /// Since its last renewal until a controller's Lease counts as stale.
    lease = 120,
    /// Since a managed certificate was asked for until it must be active.
    managed_certificate = 3600,
}
