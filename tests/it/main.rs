//! The integration tests, in one binary: fewer links, less waiting.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod group_rules;
mod path_rules;
mod scenarios;
mod world;
