//! The integration tests, in one binary: fewer links, less waiting.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod collect;
mod distrust;
mod scenarios;
mod world;
