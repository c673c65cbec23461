//! Says why a GKE Ingress is stuck or unhealthy, and what mends it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod collect;
pub mod snapshot;
