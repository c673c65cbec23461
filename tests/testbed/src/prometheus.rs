//! A real Prometheus.
//!
//! In: its binaries, rules, targets. Out: an address, and what it answers over HTTP. Never shares a
//! port, a folder or a process with another instance, and leaves nothing behind when the value is
//! dropped or this process dies.

mod answer;
mod promtool;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::assets::PrometheusAssets;
use crate::supervised::Supervised;
pub use answer::{Alert, Labels, RuleState, Sample, Series};
pub use promtool::promtool;

const START_LIMIT: Duration = Duration::from_secs(60);

/// How it scrapes and what it evaluates.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Between two scrapes, and between two evaluations of the rules.
    pub interval: Duration,
    /// Whether a label of a metric wins over a target's label of the same name.
    pub honor_labels: bool,
    /// Texts of rule files.
    pub rules: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), honor_labels: true, rules: Vec::new() }
    }
}

/// Something to scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `HOST:PORT`.
    pub address: String,
    /// Its own labels, `job` among them.
    pub labels: Labels,
}

/// A running Prometheus. It ends when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    // A mutex, because asking whether a child has ended changes it.
    process: Mutex<Supervised>,
    url: String,
    client: reqwest::Client,
    targets: PathBuf,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start; the message ends with the last lines of its log.
    pub async fn start(assets: &PrometheusAssets, setup: &Setup, targets: &[Target]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ingress-diagnosis-prometheus-").tempdir().context("no temporary folder")?;
        let (configuration, file) = (folder.path().join("prometheus.yml"), folder.path().join("targets.json"));
        write_targets(&file, targets)?;
        for (at, rules) in setup.rules.iter().enumerate() {
            write(&folder.path().join(format!("rules-{at}.yaml")), rules)?;
        }
        // JSON is YAML.
        write(&configuration, &setup.configuration(folder.path(), &file).to_string())?;
        let process = start(assets, folder.path(), &configuration)?;
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().context("no HTTP client")?;
        let mut this = Self { process: Mutex::new(process), url: String::new(), client, targets: file, _folder: folder };
        let log = this._folder.path().join("prometheus.log");
        this.wait(&async |this: &mut Self| {
            this.url = listens_at(&log).map(|address| format!("http://{address}")).unwrap_or_default();
            !this.url.is_empty() && this.raw("/-/ready", &[]).await.is_ok()
        })
        .await?;
        Ok(this)
    }

    async fn wait(&mut self, ready: &impl AsyncFn(&mut Self) -> bool) -> Result<()> {
        let start = Instant::now();
        while !ready(self).await {
            if let Some(words) = self.words_if_ended() {
                bail!("prometheus has ended before it was ready; its last words:\n{words}");
            }
            if start.elapsed() > START_LIMIT {
                bail!("prometheus was not ready within {} s; its last words:\n{}", START_LIMIT.as_secs(), self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// The address, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).log_tail()
    }

    fn words_if_ended(&self) -> Option<String> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.has_ended().then(|| process.log_tail())
    }

    /// Scrapes these from now on, within some seconds, and nothing else.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_targets(&self, targets: &[Target]) -> Result<()> {
        write_targets(&self.targets, targets)
    }

    /// The value of an expression now.
    ///
    /// # Errors
    /// When Prometheus refuses the expression, or has an objection to it that it words as a
    /// warning or a hint.
    pub async fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        let data = self.api("/api/v1/query", &[("query", expression)]).await.with_context(|| expression.to_owned())?;
        Sample::list(&data).with_context(|| format!("the answer to {expression} is odd: {data}"))
    }

    /// The values of an expression over the last `window`.
    ///
    /// # Errors
    /// As for [`Prometheus::query`].
    pub async fn query_range(&self, expression: &str, window: Duration, step: Duration) -> Result<Vec<Series>> {
        let now = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
        let (start, step) = ((now - window.as_secs_f64()).to_string(), step.as_secs_f64().to_string());
        let parameters = [("query", expression), ("start", &*start), ("end", &*now.to_string()), ("step", &*step)];
        let data = self.api("/api/v1/query_range", &parameters).await.with_context(|| expression.to_owned())?;
        Series::list(&data).with_context(|| format!("the answer to {expression} is odd: {data}"))
    }

    /// The alerts that are pending or firing.
    ///
    /// # Errors
    /// When Prometheus does not answer.
    pub async fn alerts(&self) -> Result<Vec<Alert>> {
        parse(self.api("/api/v1/alerts", &[]).await?["alerts"].take())
    }

    /// Every rule with its health.
    ///
    /// # Errors
    /// When Prometheus does not answer.
    pub async fn rules(&self) -> Result<Vec<RuleState>> {
        let groups: Vec<Value> = parse(self.api("/api/v1/rules", &[]).await?["groups"].take())?;
        let rules = groups.into_iter().map(|mut group| parse::<Vec<RuleState>>(group["rules"].take()));
        Ok(rules.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Waits until `look` gives something; an `Err` of it says what was seen instead.
    ///
    /// # Errors
    /// When `patience` is over, or Prometheus has ended.
    pub async fn until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl AsyncFnMut(&Self) -> Result<Result<T, String>>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            let saw = match look(self).await? {
                Ok(seen) => return Ok(seen),
                Err(saw) => saw,
            };
            if let Some(words) = self.words_if_ended() {
                bail!("prometheus has ended; its last words:\n{words}");
            }
            if start.elapsed() > patience {
                bail!("waited {} s in vain until {what}: {saw}", patience.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until so many targets are up, and no other is there.
    ///
    /// # Errors
    /// When `patience` is over.
    pub async fn wait_for_targets(&self, count: usize, patience: Duration) -> Result<()> {
        self.until(&format!("{count} targets are up"), patience, async |this| {
            let up = this.query("up").await?;
            let well = up.len() == count && up.iter().all(|sample| sample.value == 1.0);
            Ok(if well { Ok(()) } else { Err(format!("{up:?}")) })
        })
        .await
    }

    async fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let text = self.raw(path, parameters).await?;
        let mut answer: Value = serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))?;
        if answer["status"] != "success" {
            bail!("prometheus refuses: {}", answer["error"].as_str().unwrap_or(&text));
        }
        for objection in ["warnings", "infos"] {
            if let Some(words) = answer[objection].as_array().filter(|words| !words.is_empty()) {
                bail!("prometheus objects ({objection}): {words:?}");
            }
        }
        Ok(answer["data"].take())
    }

    /// The text at a path. A refusal of an expression is an answer as well.
    async fn raw(&self, path: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let url = format!("{}{path}", self.url);
        let asked = reqwest::Url::parse_with_params(&url, parameters).with_context(|| format!("no address: {url}"))?;
        let answer = self.client.get(asked).send().await.with_context(|| format!("no answer from {url}"))?;
        let status = answer.status();
        let text = answer.text().await.context("the answer was cut")?;
        if !status.is_success() && !text.starts_with('{') {
            bail!("{url} answered {status}: {text}");
        }
        Ok(text)
    }
}

impl Setup {
    fn configuration(&self, folder: &Path, targets: &Path) -> Value {
        let interval = format!("{}ms", self.interval.as_millis());
        json!({
            "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
            "rule_files": [folder.join("rules-*.yaml")],
            "scrape_configs": [{
                "job_name": "file",
                "honor_labels": self.honor_labels,
                "file_sd_configs": [{"files": [targets]}],
            }],
        })
    }
}

fn start(assets: &PrometheusAssets, folder: &Path, configuration: &Path) -> Result<Supervised> {
    let with = |flag: &str, path: &Path| {
        let mut argument = OsString::from(flag);
        argument.push(path);
        argument
    };
    let arguments = [
        with("--config.file=", configuration),
        with("--storage.tsdb.path=", &folder.join("data")),
        // The kernel gives a port, and the log says which: nobody can take it in between.
        "--web.listen-address=127.0.0.1:0".into(),
        "--log.level=info".into(),
    ];
    Supervised::start(&assets.prometheus, arguments, &[], folder)
}

/// The address in the line that says where it listens.
fn listens_at(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let line = text.lines().find(|line| line.contains("msg=\"Listening on\""))?;
    Some(line.split("address=").nth(1)?.split_whitespace().next()?.to_owned())
}

/// Prometheus looks at the file when it is moved into place, and never sees half of it.
fn write_targets(file: &Path, targets: &[Target]) -> Result<()> {
    let groups: Vec<Value> = targets.iter().map(|target| json!({"targets": [target.address], "labels": target.labels})).collect();
    let half = file.with_extension("half");
    write(&half, &Value::from(groups).to_string())?;
    std::fs::rename(&half, file).with_context(|| format!("cannot write {}", file.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).context("the answer has another form than Prometheus' API has")
}
