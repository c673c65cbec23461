//! The built program as a child process.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use testbed::ApiServer;
use testbed::supervised::Supervised;

use super::{OWN, until};

/// The program of these tests, unless `INGRESS_DIAGNOSIS` names another build of it: an optimised one, for measurements.
pub fn program() -> String {
    std::env::var("INGRESS_DIAGNOSIS").unwrap_or_else(|_| env!("CARGO_BIN_EXE_ingress-diagnosis").to_owned())
}

/// Sends a signal by its name.
pub fn signal(pid: u32, name: &str) {
    let kill = std::process::Command::new("/bin/sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]).status();
    assert!(kill.unwrap().success());
}

/// Says which process the program will be, then becomes it.
const BECOME: &str = r#"echo $$ > "$0/pid"; exec "$@""#;

/// The running program; dropping it kills it.
pub struct Product {
    process: Supervised,
    log: PathBuf,
    pid: u32,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Product {
    /// Starts `ingress-diagnosis run` with a kubeconfig that holds `token`.
    pub async fn start(server: &ApiServer, token: &str, settings: &Value, pod: &str) -> Self {
        Self::start_at(server, server.url(), token, settings, pod).await
    }

    /// The same, with another address of the API server.
    pub async fn start_at(server: &ApiServer, url: &str, token: &str, settings: &Value, pod: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        server.write_kubeconfig(&kubeconfig, token).unwrap();
        let text = std::fs::read_to_string(&kubeconfig).unwrap();
        std::fs::write(&kubeconfig, text.replace(server.url(), url)).unwrap();
        let config = folder.path().join("config.yaml");
        std::fs::write(&config, settings.to_string()).unwrap();
        let program = program();
        let arguments: [&OsStr; 7] = [
            "-c".as_ref(),
            BECOME.as_ref(),
            folder.path().as_os_str(),
            program.as_ref(),
            "run".as_ref(),
            "--config".as_ref(),
            config.as_os_str(),
        ];
        let environment = [("KUBECONFIG", kubeconfig.to_str().unwrap()), ("POD_NAMESPACE", OWN), ("POD_NAME", pod)];
        let process = Supervised::start(Path::new("/bin/sh"), arguments, &environment, folder.path()).unwrap();
        let file = folder.path().join("pid");
        let pid = until("the program starts", async || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            text.trim().parse().map_err(|_| "no process number".to_owned())
        })
        .await;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        Self { process, log: folder.path().join("sh.log"), pid, client, _folder: folder }
    }

    /// The most memory that it had, and what it has now.
    pub fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")).collect::<Vec<_>>().join(", ")
    }

    /// Everything that it logged.
    pub fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned()))).collect()
    }

    /// The same as text, for the words of a failure.
    pub fn words(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The log lines with this message.
    pub fn said(&self, message: &str) -> Vec<Value> {
        self.log().into_iter().filter(|line| line["message"].as_str().is_some_and(|said| said.contains(message))).collect()
    }

    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// Ends it as a kubelet does, and waits for its end.
    pub async fn terminate(mut self) -> String {
        self.signal("TERM");
        until("the program ends", async || if self.has_ended() { Ok(()) } else { Err(self.words()) }).await;
        self.words()
    }

    /// `HOST:PORT` of its server, as soon as it listens.
    pub fn address(&self) -> Option<String> {
        let started = self.said("started");
        started.first().and_then(|line| Some(line["listen"].as_str()?.to_owned()))
    }

    /// Status and text at a path of its server; an error while it does not listen.
    pub async fn get(&self, path: &str) -> Result<(u16, String), String> {
        let address = self.address().ok_or("it does not listen yet")?;
        let answer = self.client.get(format!("http://{address}{path}")).send().await.map_err(|error| error.to_string())?;
        Ok((answer.status().as_u16(), answer.text().await.map_err(|error| error.to_string())?))
    }

    /// Waits until it has looked at everything once more, as it does at least every 15 seconds.
    pub async fn look_again(&self) {
        let before = self.looks().await;
        until("it looks again", async || if self.looks().await > before { Ok(()) } else { Err(self.words()) }).await;
    }

    /// How often it has looked so far.
    pub async fn looks(&self) -> u64 {
        self.counter("ingress_diagnosis_reconcile_duration_seconds_count ").await
    }

    /// Waits until it has published diagnoses from facts that it has read itself: what stood before is shown from the first moment.
    pub async fn diagnosed(&self) {
        until("it has diagnoses of its own", async || {
            match self.counter("ingress_diagnosis_compute_facts_age_seconds_count ").await {
                0 => Err(self.words()),
                _ => Ok(()),
            }
        })
        .await;
        self.look_again().await;
    }

    async fn counter(&self, name: &str) -> u64 {
        let text = self.get("/metrics").await.unwrap_or_default().1;
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) {
        until("the program is ready", async || match self.get("/readyz").await {
            Ok((200, _)) => Ok(()),
            other => Err(format!("{other:?}\n{}", self.words())),
        })
        .await;
    }
}
