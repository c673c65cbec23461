//! `run`: the controller.
//!
//! Enters: settings, the cluster that this pod runs in or the kubeconfig points to. Leaves: nothing on stdout; a structured log on stderr.
//! Never: ends while it can go on.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::controller;

use super::{Outcome, RunArgs};

pub(super) fn run(args: &RunArgs) -> Outcome {
    let config = Config::load(args.settings.config.as_deref(), &args.settings.set)?;
    log();
    // One provider for the TLS of every client in the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (stop, shutdown) = watch::channel(false);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
            stop.send_replace(true);
        });
        let kube_config = kube::Config::infer().await.map_err(|error| format!("no Kubernetes cluster to talk to: {error}"))?;
        controller::run(config, kube_config, shutdown).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What is said: our own words, and of others what is not said in them.
const SAID: &str = "ingress_diagnosis=info,kube_client::client=off,warn";

/// JSON lines for machines, plain lines on a terminal; `RUST_LOG` chooses what is said.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(SAID));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
