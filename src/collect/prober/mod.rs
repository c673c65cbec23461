//! Asks pods what a health check would ask them, from within the cluster.
//!
//! Enters: questions. Leaves: answers in the world; those to questions that are no longer wanted are forgotten. Never: asks an address that
//! no pod can have (loopback, link-local, the metadata server), or a pod of a namespace that is to be left alone; asks faster than
//! [`PACE`]; asks while it is not active.

mod ask;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::guard;
use super::world::{Change, World};
use crate::snapshot::probe::{ProbeAnswer, Scheme, Via};
use ask::NotAsked;
use tls::Tls;

/// Servers that treat health checks apart look at the first word.
pub(super) const AGENT: &str = "GoogleHC/1.0 (ingress-diagnosis)";

/// How often a question is asked again.
const INTERVAL: Duration = Duration::from_secs(30);

/// Shortest time between two questions, whomever they are for.
const PACE: Duration = Duration::from_millis(50);

/// Questions at once.
const CONCURRENCY: usize = 32;

/// No health check waits longer.
const LONGEST: Duration = Duration::from_secs(300);

/// What is asked of one pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// `namespace/name`.
    pub pod: Box<str>,
    /// Its address.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
    /// What is spoken; for TCP there is neither path nor host.
    pub scheme: Scheme,
    /// HTTP/2 is spoken, and nothing else.
    pub http2: bool,
    /// Path; `/` when empty.
    pub path: Box<str>,
    /// Host header; the address when empty.
    pub host: Box<str>,
    /// The health check's timeout.
    pub timeout: Duration,
}

impl Question {
    /// The Host header: Google sends the endpoint's address, without a port, when the health check names no host.
    pub(super) fn host_header(&self) -> String {
        match (&*self.host, self.ip) {
            ("", IpAddr::V6(ip)) => format!("[{ip}]"),
            ("", IpAddr::V4(ip)) => ip.to_string(),
            (host, _) => host.to_owned(),
        }
    }

    /// Its answer as long as there is none; `via`: the way that it takes.
    pub(super) fn unanswered(&self, via: Option<Via>) -> ProbeAnswer {
        ProbeAnswer {
            pod: self.pod.clone(),
            ip: self.ip,
            port: self.port,
            scheme: self.scheme,
            path: self.path.clone(),
            host: self.host.clone(),
            status: None,
            location: None,
            latency_ms: None,
            error: None,
            message: None,
            via,
        }
    }
}

/// What can be set about asking pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSettings {
    /// Whether pods are asked.
    pub enabled: bool,
    /// Namespaces whose pods are not asked.
    pub exclude_namespaces: Vec<String>,
    /// Where connections to a pod's `IP:PORT` are made instead, as `HOST:PORT`.
    pub connect_to: BTreeMap<String, String>,
}

impl ProbeSettings {
    /// Whether a pod, as `namespace/name`, is to be left alone.
    pub fn excludes(&self, pod: &str) -> bool {
        let namespace = pod.split('/').next().unwrap_or_default();
        self.exclude_namespaces.iter().any(|excluded| excluded == namespace)
    }
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self { enabled: true, exclude_namespaces: Vec::new(), connect_to: BTreeMap::new() }
    }
}

/// Counters for whoever publishes metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProberStats {
    /// Questions so far, by HTTP status, or by the word for the error; `Connected` when a connection was all that was asked for, `NotSent`
    /// when the failure was not the pod's.
    pub results: BTreeMap<Box<str>, u64>,
}

/// The handle: says what is asked.
#[derive(Debug, Clone)]
pub struct Prober {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    enabled: bool,
    wanted: Mutex<Wanted>,
    changed: Notify,
    /// Whether every question that is wanted was asked.
    asked: AtomicBool,
    results: Mutex<BTreeMap<Box<str>, u64>>,
}

#[derive(Debug, Default)]
struct Wanted {
    questions: Vec<Question>,
    news: bool,
}

impl Prober {
    /// Sets what is asked, all of it: answers to questions that are left out are forgotten.
    pub fn want(&self, questions: Vec<Question>) {
        let mut wanted = guard(&self.shared.wanted);
        if wanted.questions != questions {
            *wanted = Wanted { questions, news: true };
            self.shared.asked.store(!self.shared.enabled, Ordering::Release);
            drop(wanted);
            self.shared.changed.notify_one();
        }
    }

    /// Whether every question that is wanted was asked once; true as well while nothing is wanted.
    pub fn caught_up(&self) -> bool {
        self.shared.asked.load(Ordering::Acquire)
    }

    /// What was answered so far.
    pub fn stats(&self) -> ProberStats {
        ProberStats { results: guard(&self.shared.results).clone() }
    }

    fn count(&self, result: &str) {
        let mut results = guard(&self.shared.results);
        *results.entry(result.into()).or_default() += 1;
    }
}

/// Asks until it is dropped.
pub(super) struct Asker {
    world: Arc<World>,
    prober: Prober,
    settings: ProbeSettings,
    active: watch::Receiver<bool>,
    /// When each question is due; `None` while it is being asked.
    due: BTreeMap<Question, Option<Instant>>,
    /// Those of them that were never asked.
    fresh: BTreeSet<Question>,
    last_start: Option<Instant>,
}

impl Asker {
    pub(super) fn new(world: &Arc<World>, settings: ProbeSettings, active: &watch::Receiver<bool>) -> (Self, Prober) {
        let shared = Shared {
            wanted: Mutex::default(),
            changed: Notify::new(),
            enabled: settings.enabled,
            asked: AtomicBool::new(true),
            results: Mutex::default(),
        };
        let prober = Prober { shared: Arc::new(shared) };
        let asker = Self {
            world: world.clone(),
            prober: prober.clone(),
            settings,
            active: active.clone(),
            due: BTreeMap::new(),
            fresh: BTreeSet::new(),
            last_start: None,
        };
        (asker, prober)
    }

    /// Asks for ever, while active.
    pub(super) async fn run(mut self) {
        if !self.prober.shared.enabled {
            return;
        }
        let tls = match Tls::new() {
            Ok(tls) => tls,
            Err(error) => {
                tracing::error!("pods cannot be asked, TLS is not available: {error}");
                return;
            }
        };
        while self.active.wait_for(|active| *active).await.is_ok() {
            self.forget_all();
            self.ask_while_active(&tls).await;
            self.forget_all();
        }
    }

    async fn ask_while_active(&mut self, tls: &Tls) {
        let mut running: JoinSet<(Question, Result<ProbeAnswer, NotAsked>)> = JoinSet::new();
        let mut active = self.active.clone();
        while *active.borrow_and_update() {
            self.take_wanted();
            let next = if running.len() < CONCURRENCY { self.start(&mut running, tls) } else { None };
            let shared = self.prober.shared.clone();
            tokio::select! {
                biased;
                changed = active.changed() => if changed.is_err() {
                    return;
                },
                Some(ended) = running.join_next() => {
                    if let Ok((question, answer)) = ended {
                        self.finish(question, answer);
                    }
                }
                () = shared.changed.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Starts the question that has waited longest, if its time has come; says when to look again.
    fn start(&mut self, running: &mut JoinSet<(Question, Result<ProbeAnswer, NotAsked>)>, tls: &Tls) -> Option<Instant> {
        let now = Instant::now();
        let (due, question) = self.due.iter().filter_map(|(question, due)| due.map(|due| (due, question))).min()?;
        let free = due.max(self.last_start.map_or(now, |last| last + PACE));
        if free > now {
            return Some(free);
        }
        let question = question.clone();
        self.due.insert(question.clone(), None);
        self.last_start = Some(now);
        let original = SocketAddr::new(question.ip, question.port).to_string();
        let address = self.settings.connect_to.get(&original).cloned().unwrap_or(original);
        let tls = tls.clone();
        running.spawn(async move {
            let answer = ask::ask(&question, &address, &tls).await;
            (question, answer)
        });
        Some(now)
    }

    fn finish(&mut self, question: Question, answer: Result<ProbeAnswer, NotAsked>) {
        let label: Box<str> = match &answer {
            Ok(ProbeAnswer { status: Some(status), .. }) => status.to_string().into(),
            Ok(ProbeAnswer { error: Some(error), .. }) => error.as_str().into(),
            Ok(_) => "Connected".into(),
            Err(_) => "NotSent".into(),
        };
        self.prober.count(&label);
        let fresh = self.fresh.remove(&question);
        if fresh && answer.is_err() {
            // Nothing changes, but who waits for the answer need not any longer.
            self.world.mark(Change::Namespace(question.pod.split('/').next().unwrap_or_default().into()));
        }
        self.keep(question, answer);
        // Not before the answer is there: whoever reads that all were asked may rely on it.
        if fresh {
            self.settle();
        }
    }

    fn keep(&mut self, question: Question, answer: Result<ProbeAnswer, NotAsked>) {
        let Some(due) = self.due.get_mut(&question) else { return };
        *due = Some(Instant::now() + INTERVAL);
        let namespace = question.pod.split('/').next().unwrap_or_default();
        match answer {
            Ok(answer) => self.world.edit(|snapshot| {
                let known = snapshot.probes.iter().find(|known| same_question(known, &question));
                let same = known.is_some_and(|known| same_answer(known, &answer));
                snapshot.probes.insert(answer);
                if same { Change::Nothing } else { Change::Namespace(namespace.into()) }
            }),
            Err(error) => {
                tracing::debug!(pod = %question.pod, "{error}");
                self.forget(namespace, |known| same_question(known, &question));
            }
        }
    }

    fn take_wanted(&mut self) {
        let questions = {
            let mut wanted = guard(&self.prober.shared.wanted);
            if !std::mem::take(&mut wanted.news) {
                return;
            }
            wanted.questions.clone()
        };
        let now = Instant::now();
        let mut due = BTreeMap::new();
        for mut question in questions {
            question.timeout = question.timeout.min(LONGEST);
            if may_be_asked(question.ip) && !self.settings.excludes(&question.pod) {
                let known = self.due.get(&question).copied();
                if known.is_none() {
                    self.fresh.insert(question.clone());
                }
                due.insert(question, known.unwrap_or(Some(now)));
            }
        }
        self.due = due;
        self.fresh.retain(|question| self.due.contains_key(question));
        self.settle();
        let wanted: BTreeSet<_> = self.due.keys().map(question_key).collect();
        self.world.edit(|snapshot| {
            snapshot.probes.retain(|known| wanted.contains(&answer_key(known)));
            Change::Nothing
        });
    }

    /// Says whether there is still something to wait for; what is wanted may have changed again by now.
    fn settle(&self) {
        let wanted = guard(&self.prober.shared.wanted);
        self.prober.shared.asked.store(!wanted.news && self.fresh.is_empty(), Ordering::Release);
    }

    fn forget(&self, namespace: &str, which: impl Fn(&ProbeAnswer) -> bool) {
        self.world.edit(|snapshot| {
            let mut found = false;
            snapshot.probes.retain(|known| {
                let matches = which(known);
                found |= matches;
                !matches
            });
            if found { Change::Namespace(namespace.into()) } else { Change::Nothing }
        });
    }

    /// This process stops to be active, or starts: what it was answered when it last was says nothing.
    fn forget_all(&mut self) {
        let now = Instant::now();
        self.due.values_mut().for_each(|due| *due = Some(now));
        self.fresh = self.due.keys().cloned().collect();
        self.settle();
        self.world.edit(|snapshot| {
            let before = std::mem::take(&mut snapshot.probes);
            snapshot.probes.asked = true;
            if before.iter().next().is_some() { Change::Everything } else { Change::Nothing }
        });
    }
}

/// What makes two questions one, whatever the timeout.
type Key<'a> = (IpAddr, u16, &'a str, Scheme, &'a str, &'a str);

fn question_key(question: &Question) -> Key<'_> {
    (question.ip, question.port, &question.pod, question.scheme, &question.path, &question.host)
}

fn answer_key(answer: &ProbeAnswer) -> Key<'_> {
    (answer.ip, answer.port, &answer.pod, answer.scheme, &answer.path, &answer.host)
}

fn same_question(answer: &ProbeAnswer, question: &Question) -> bool {
    answer_key(answer) == question_key(question)
}

/// The same but for the time that it took.
fn same_answer(a: &ProbeAnswer, b: &ProbeAnswer) -> bool {
    (a.status, &a.location, a.error, &a.message) == (b.status, &b.location, b.error, &b.message)
}

/// Whether a pod can have this address. An answer that comes back from the node itself or from the metadata server would be somebody
/// else's, and a status that anyone may write must not make us ask there.
fn may_be_asked(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            !(ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_unspecified() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => {
            // GKE's metadata server for IPv6 is fd20:ce::254.
            let metadata = ip.segments() == [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254];
            !(ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified() || metadata)
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
