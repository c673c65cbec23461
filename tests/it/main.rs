//! The integration tests, in one binary: fewer links, less waiting.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod architecture;
mod collect;
mod distrust;
mod house;
mod manifests;
mod scenarios;
mod sources;
mod health;
mod scenarios;
mod variant;
mod world;
