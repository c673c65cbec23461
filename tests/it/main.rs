//! The integration tests, in one binary: fewer links, less waiting.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod architecture;
mod collect;
mod distrust;
mod health;
mod house;
mod live;
mod manifests;
mod scenarios;
mod sources;
mod variant;
mod world;
