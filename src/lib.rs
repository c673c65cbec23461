//! Says why a GKE Ingress is stuck or unhealthy, and what mends it.
//!
//! Data walks one way: [`collect`] (I/O in) → [`snapshot`] (what was seen) → [`topology`] (what belongs together) → [`rules`] (one question each) →
//! [`diagnose`] (rank, nest, judge).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod collect;
pub mod diagnose;
pub mod rules;
pub mod snapshot;
pub mod topology;
