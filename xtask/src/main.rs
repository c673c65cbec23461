//! What a developer types: `cargo xtask demo | test | bench | assets`.
//!
//! Enters: a command. Leaves: words on standard output, and exit code 0 only when all went well. Never: needs more than cargo, and Go once.

mod cargo;
mod checks;
mod demo;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Shows the program at work on a real Kubernetes API server: two broken Ingresses, their reason and their mend.
    Demo {
        /// Leave everything running until Ctrl-C, and say where it is.
        #[arg(long)]
        keep: bool,
        /// Let a Prometheus scrape it, with the alerts of config/prometheus, and say where it is; --keep is meant with it.
        #[arg(long)]
        prometheus: bool,
    },
    /// Runs every check: format, clippy, unit, scenarios, architecture, real API server, documentation, benches.
    Test,
    /// Runs the benchmarks; what follows `--` goes to criterion.
    Bench {
        /// Measure this instead; what follows `--` names tests.
        part: Option<Part>,
        /// Arguments of criterion.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Finds the Kubernetes API server, etcd and Prometheus, or builds them, and says where they are.
    Assets,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Part {
    /// Time, memory and requests of the optimised program on a real API server
    Live,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Demo { keep, prometheus } => demo::run(keep, prometheus),
        Task::Test => checks::run(),
        Task::Bench { part: None, arguments } => bench(arguments),
        Task::Bench { part: Some(Part::Live), arguments } => bench_live(arguments),
        Task::Assets => assets(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: Vec<String>) -> Result<()> {
    let fixed = ["bench", "--package", "ingress-diagnosis", "--bench", "*", "--"].map(String::from);
    cargo::run(fixed.into_iter().chain(arguments), &[])
}

/// The measurements among the integration tests, one after the other; `arguments` name some of them.
fn bench_live(arguments: Vec<String>) -> Result<()> {
    cargo::run(["build", "--release", "--locked", "--package", "ingress-diagnosis"], &[])?;
    let program = cargo::program("release")?.display().to_string();
    let fixed = ["test", "--locked", "--workspace", "--test", "it", "--", "--ignored", "--nocapture", "--test-threads=1"];
    let measurements = if arguments.is_empty() { vec!["live::costs".to_owned()] } else { arguments };
    cargo::run(fixed.map(String::from).into_iter().chain(measurements), &[("INGRESS_DIAGNOSIS", &program)])
}

fn assets() -> Result<()> {
    let assets = testbed::Assets::locate()?;
    println!("{}", assets.kube_apiserver.display());
    println!("{}", assets.etcd.display());
    let assets = testbed::PrometheusAssets::locate()?;
    println!("{}", assets.prometheus.display());
    println!("{}", assets.promtool.display());
    Ok(())
}
