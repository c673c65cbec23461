//! The parts of the testbed, each against a client that knows nothing of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod apiserver;
mod google;
mod pods;
mod prometheus;
mod recorded;

use std::path::{Path, PathBuf};

use testbed::World;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn world(name: &str) -> World {
    World::read(data(name)).unwrap()
}
