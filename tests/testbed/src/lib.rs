//! Everything that a test, the demo or a benchmark needs around the product: a real Kubernetes API
//! server, a stand-in for Google's APIs and pods that answer HTTP, all fed from a snapshot's
//! folder; and a real Prometheus that scrapes it.
//!
//! In: snapshot folders. Out: local addresses. Never: the internet (except that the Go modules of
//! the API server and of Prometheus are fetched and built once), a cluster, Google Cloud or a
//! container engine.
//!
//! | part | what it is |
//! |---|---|
//! | [`assets`] | the binaries, found or built |
//! | [`apiserver`] | etcd and kube-apiserver, started and supervised |
//! | [`world`] | a snapshot's folder, read, moved to now, loaded into an API server |
//! | [`google`] | the Compute and Container APIs, answered from a world |
//! | [`pods`] | what the pods of a world answer to an HTTP probe |
//! | [`prometheus`] | a Prometheus that scrapes, evaluates rules and answers queries |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod apiserver;
pub mod assets;
pub mod google;
pub mod pods;
pub mod port;
pub mod prometheus;
pub mod supervised;
pub mod world;

pub use apiserver::ApiServer;
pub use assets::{Assets, PrometheusAssets};
pub use google::Google;
pub use pods::Pods;
pub use prometheus::Prometheus;
pub use world::World;
