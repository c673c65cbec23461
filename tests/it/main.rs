//! The integration tests, in one binary: fewer links, less waiting.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts;
mod architecture;
mod capture;
mod cli;
mod clock;
mod collect;
mod commands;
mod components;
mod dashboards;
mod distrust;
mod freshness;
mod group_rules;
mod health;
mod house;
mod live;
mod manifests;
mod metrics;
mod path_rules;
mod recording;
mod scenarios;
mod sources;
mod variant;
mod world;
