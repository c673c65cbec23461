//! Every check of the repository, one after the other.
//!
//! Enters: nothing. Leaves: a line per step with its time; the first that fails ends it. Never: changes a file.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::cargo;

struct Step {
    name: &'static str,
    /// What is wrong when it fails, and what to do.
    failed: &'static str,
    cargo: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const STEPS: [Step; 5] = [
    Step {
        name: "format",
        failed: "the code is not formatted: run cargo fmt --all",
        cargo: &["fmt", "--all", "--check"],
        environment: &[],
    },
    Step {
        name: "clippy",
        failed: "clippy has objections, and warnings count",
        cargo: &["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"],
        environment: &[],
    },
    Step {
        name: "tests: unit, scenarios, architecture, real API server",
        failed: "a test failed; where a generated file is out of date, UPDATE_EXPECT=1 cargo test refreshes it",
        cargo: &["test", "--locked", "--workspace", "--quiet"],
        environment: &[],
    },
    Step {
        name: "documentation",
        failed: "the documentation has warnings, most often a link that leads nowhere",
        cargo: &["doc", "--locked", "--workspace", "--no-deps", "--quiet"],
        environment: &[("RUSTDOCFLAGS", "--deny warnings")],
    },
    Step {
        name: "benches: each once, unmeasured",
        failed: "a bench does not compile or run",
        cargo: &["test", "--locked", "--quiet", "--workspace", "--bench", "*"],
        environment: &[],
    },
];

/// Runs every check.
pub fn run() -> Result<()> {
    let start = Instant::now();
    let mut times = Vec::new();
    // First, so that minutes of building are not taken for a test that hangs.
    timed("API server", &mut times, || testbed::Assets::locate().map(drop))?;
    timed("Prometheus", &mut times, || testbed::PrometheusAssets::locate().map(drop))?;
    for step in &STEPS {
        timed(step.name, &mut times, || cargo::run(step.cargo, step.environment).context(step.failed))?;
    }
    println!("\nall is well:");
    for (name, seconds) in times {
        println!("{seconds:8.1} s  {name}");
    }
    println!("{:8.1} s  in all", start.elapsed().as_secs_f64());
    Ok(())
}

fn timed(name: &'static str, times: &mut Vec<(&'static str, f64)>, step: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n=== {name}");
    let start = Instant::now();
    let done = step();
    let seconds = start.elapsed().as_secs_f64();
    println!("=== {name}: {} after {seconds:.1} s", if done.is_ok() { "done" } else { "failed" });
    times.push((name, seconds));
    done
}
