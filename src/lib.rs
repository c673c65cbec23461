//! Says why a GKE Ingress is stuck or unhealthy, and what mends it.
//!
//! Data walks one way: [`collect`] (I/O in) → [`snapshot`] (what was seen) → [`topology`] (what belongs together) → [`rules`] (one
//! question each) → [`diagnose`] (rank, nest, judge) → [`publish`] (I/O out). [`controller`] closes the loop in the cluster, [`cli`] is the
//! program's face.

pub mod api;
pub mod capture;
pub mod cli;
pub mod collect;
pub mod config;
pub mod controller;
pub mod diagnose;
pub mod leader;
pub mod oneshot;
pub mod publish;
pub mod rules;
pub mod server;
pub mod snapshot;
#[cfg(test)]
mod testing;
pub mod topology;
pub mod wanted;
