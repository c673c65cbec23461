//! The program as a child process.
//!
//! Enters: an API server, a token, settings. Leaves: the address of its metrics and its words. Never: outlives us.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use testbed::ApiServer;
use testbed::port::Port;
use testbed::supervised::Supervised;

use super::stage::OWN;
use crate::cargo;

const NAME: &str = "ingress-diagnosis";
const READY_LIMIT: Duration = Duration::from_secs(30);

/// The running program; dropping it ends it.
pub struct Product {
    // A mutex, because asking whether a child has ended changes it.
    process: Mutex<Supervised>,
    address: String,
    log: PathBuf,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Product {
    /// Starts `ingress-diagnosis run` with a kubeconfig that holds `token`.
    pub async fn start(server: &ApiServer, token: &str, settings: &Value) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ingress-diagnosis-demo-").tempdir().context("no temporary folder")?;
        let kubeconfig = folder.path().join("kubeconfig");
        server.write_kubeconfig(&kubeconfig, token)?;
        // Given back at once: the program does not share its port.
        let listen = Port::take()?.address().to_string();
        let mut settings = settings.clone();
        settings["server"] = json!({"listen": listen});
        let config = folder.path().join("config.yaml");
        // JSON is YAML.
        std::fs::write(&config, format!("{settings:#}\n")).with_context(|| format!("cannot write {}", config.display()))?;
        let process = Supervised::start(
            &cargo::program("debug")?,
            ["run".as_ref(), "--config".as_ref(), config.as_os_str()],
            &[("KUBECONFIG", text(&kubeconfig)?), ("POD_NAMESPACE", OWN), ("POD_NAME", "demo-0")],
            folder.path(),
        )?;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().context("no HTTP client")?;
        let log = folder.path().join(format!("{NAME}.log"));
        Ok(Self { process: Mutex::new(process), address: format!("http://{listen}"), log, client, _folder: folder })
    }

    /// Where it serves its metrics.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it logs to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its log.
    pub fn words(&self) -> String {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).log_tail()
    }

    /// The same, when it has ended.
    pub fn words_if_ended(&self) -> Option<String> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.has_ended().then(|| process.log_tail())
    }

    /// Waits until it says that it is ready.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while self.get("/readyz").await.is_err() {
            if let Some(words) = self.words_if_ended() {
                bail!("{NAME} has ended before it was ready; its last words:\n{words}");
            }
            if start.elapsed() > READY_LIMIT {
                bail!("{NAME} was not ready within {} s; its last words:\n{}", READY_LIMIT.as_secs(), self.words());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The text at a path.
    pub async fn get(&self, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.address);
        let answer = self.client.get(&url).send().await.and_then(reqwest::Response::error_for_status);
        answer.with_context(|| format!("no answer from {url}"))?.text().await.context("the answer was cut")
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
