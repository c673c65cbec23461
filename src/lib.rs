//! Says why a GKE Ingress is stuck or unhealthy, and what mends it.

pub mod collect;
pub mod snapshot;
