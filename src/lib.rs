//! Says why a GKE Ingress is stuck or unhealthy, and what mends it.
//!
//! Data walks one way: [`snapshot`] (what was seen) → [`topology`] (what belongs together) → [`rules`] (one question each) →
//! [`diagnose`] (rank, nest, judge).

pub mod diagnose;
pub mod rules;
pub mod snapshot;
pub mod topology;
