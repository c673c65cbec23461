//! Runs the catalogue over a topology, ranks what was found and nests symptoms below their cause.
//!
//! Enters: a [`Topology`] and the codes that the owner has accepted. Leaves: a [`Diagnosis`].
//! Never: fails, does I/O, drops a finding, or turns what was not seen into a verdict other than Unknown.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::rules::finding::{clean, name};
use crate::rules::{CATALOGUE, Check, Confidence, Finding, Rule, Section, Severity};
use crate::snapshot::{Observed, Source, Unknown};
use crate::topology::{Backend, Role, State, TargetRef, Topology};

/// How it stands with a target, by the effect on traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing is wrong.
    Healthy,
    /// Young, or being deleted, and nothing wrong so far.
    Progressing,
    /// What decides it could not be read.
    Unknown,
    /// It serves, with a flaw.
    Degraded,
    /// A backend, or everything, refuses traffic.
    Broken,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 5] = [Self::Healthy, Self::Progressing, Self::Unknown, Self::Degraded, Self::Broken];

    /// The word in the custom resource and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Progressing => "Progressing",
            Self::Unknown => "Unknown",
            Self::Degraded => "Degraded",
            Self::Broken => "Broken",
        }
    }
}

/// A finding with its rule and its place.
#[derive(Clone)]
pub struct Found {
    /// The rule.
    pub rule: &'static Rule,
    /// The backend it is about; `None` for the whole target.
    pub backend: Option<String>,
    /// What the rule said.
    pub finding: Finding,
    /// The owner has accepted its code.
    pub acknowledged: bool,
}

impl Found {
    /// The finding's severity: its own, else the rule's.
    pub fn severity(&self) -> Severity {
        self.finding.severity.unwrap_or(self.rule.severity)
    }
}

/// A cause, or a symptom that nothing explains, with what follows from it.
#[derive(Clone)]
pub struct Root {
    /// The finding.
    pub found: Found,
    /// What follows from it, directly or not, by rank.
    pub symptoms: Vec<Found>,
}

impl Root {
    /// It and all below it count for the verdict and the exit code: not by design, not accepted.
    pub fn counts(&self) -> bool {
        self.found.severity() != Severity::Info && !self.found.acknowledged
    }

    /// It and all below it.
    pub fn all(&self) -> impl Iterator<Item = &Found> {
        std::iter::once(&self.found).chain(&self.symptoms)
    }
}

/// A question that could not be answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inconclusive {
    /// The rule's code.
    pub code: &'static str,
    /// What could not be seen.
    pub unknown: Unknown,
}

/// Healthy endpoints and all endpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// HEALTHY.
    pub healthy: usize,
    /// UNHEALTHY.
    pub unhealthy: usize,
    /// Draining, without a result, or without a state.
    pub unknown: usize,
}

impl Endpoints {
    /// All of them.
    pub fn total(self) -> usize {
        self.healthy + self.unhealthy + self.unknown
    }

    fn of(backend: &Backend<'_>) -> Self {
        let mut endpoints = Self::default();
        for member in backend.members_seen() {
            match member.state {
                State::Healthy => endpoints.healthy += 1,
                State::Unhealthy => endpoints.unhealthy += 1,
                State::Draining | State::Unknown => endpoints.unknown += 1,
            }
        }
        endpoints
    }
}

/// The answer about one target.
#[derive(Clone)]
pub struct Diagnosis {
    /// Whose.
    pub target: TargetRef,
    /// The target's uid; may be empty.
    pub uid: String,
    /// The target's generation.
    pub generation: i64,
    /// How it stands.
    pub verdict: Verdict,
    /// Code of the first cause that counts.
    pub root_cause: Option<&'static str>,
    /// One sentence: what is wrong and what mends it.
    pub summary: String,
    /// The published address.
    pub address: Option<String>,
    /// Endpoints of the target's own backends.
    pub endpoints: Endpoints,
    /// The causes by rank, each with what follows from it.
    pub findings: Vec<Root>,
    /// What the load balancer has.
    pub backends: Vec<BackendReport>,
    /// What could not be answered.
    pub inconclusive: Vec<Inconclusive>,
    /// "Now" of the snapshot.
    pub made_at: Timestamp,
    /// When the oldest health was read that it rests on; `None` when none was.
    pub compute_facts_at: Option<Timestamp>,
    /// Something was found on facts that Kubernetes has overtaken, and is not said before they were read again.
    pub withheld: bool,
}

impl Diagnosis {
    /// Some question waits for a list of Compute resources that is younger than the target's last change.
    pub fn awaits_lists(&self) -> bool {
        self.inconclusive.iter().any(|one| &*one.unknown.reason == Unknown::OUTDATED)
    }

    /// At least one finding of severity Error counts.
    pub fn has_error(&self) -> bool {
        self.findings
            .iter()
            .filter(|root| root.counts())
            .flat_map(Root::all)
            .any(|found| !found.acknowledged && found.severity() == Severity::Error)
    }
}

/// What the load balancer has for one backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendReport {
    /// `argocd-server:80`.
    pub name: String,
    /// `namespace/name` of the Service.
    pub service: String,
    /// The port as the Ingress spells it.
    pub port: String,
    /// Name of the backend service; `None` when there is none or it could not be read.
    pub backend_service: Option<String>,
    /// The health check.
    pub health_check: Option<HealthCheckReport>,
    /// Endpoints of all groups.
    pub endpoints: Endpoints,
    /// The groups.
    pub groups: Vec<GroupReport>,
}

/// A health check in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheckReport {
    /// `HTTP`, …
    pub type_: String,
    /// Path.
    pub path: String,
    /// Port; `None` for the endpoint's own.
    pub port: Option<i64>,
    /// Seconds.
    pub interval: i64,
    /// Seconds.
    pub timeout: i64,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupReport {
    /// Name.
    pub name: String,
    /// Zone.
    pub zone: String,
    /// Its endpoints; `None` when they could not be read.
    pub endpoints: Option<Endpoints>,
}

/// Diagnoses one target.
pub fn diagnose(topology: &Topology<'_>, target: &TargetRef, acknowledged: &[String]) -> Diagnosis {
    let Answers { found, mut inconclusive, withheld } = ask(topology, acknowledged);
    let findings = rank(found);
    let verdict = verdict(topology, &findings);
    if verdict == Verdict::Unknown
        && let Some(unknown) = blind_spot(topology)
    {
        // Whether the backends are healthy is what cannot be said, whatever kept it from being seen.
        inconclusive.insert(Inconclusive { code: "BackendUnhealthy", unknown });
    }
    let backends: Vec<_> = topology.backends.iter().map(report).collect();
    let endpoints = topology.own_backends().map(Endpoints::of).fold(Endpoints::default(), |sum, one| Endpoints {
        healthy: sum.healthy + one.healthy,
        unhealthy: sum.unhealthy + one.unhealthy,
        unknown: sum.unknown + one.unknown,
    });
    let root = findings.iter().find(|root| match verdict {
        Verdict::Healthy => false,
        Verdict::Progressing => root.found.rule.code == "Provisioning",
        Verdict::Unknown | Verdict::Degraded | Verdict::Broken => root.counts(),
    });
    let address = topology.ingress().and_then(|ingress| ingress.address()).map(name);
    Diagnosis {
        target: target.clone(),
        uid: topology.meta().uid.to_string(),
        generation: topology.meta().generation,
        verdict,
        root_cause: root.map(|root| root.found.rule.code),
        summary: clean(&summary(topology, verdict, root, address.as_deref(), endpoints)),
        address,
        endpoints,
        findings,
        backends,
        inconclusive: inconclusive.into_iter().collect(),
        made_at: topology.now,
        compute_facts_at: compute_facts_at(topology),
        withheld,
    }
}

/// When the oldest health of an endpoint of the target's own backends was read.
fn compute_facts_at(topology: &Topology<'_>) -> Option<Timestamp> {
    let read = |backend: &&Backend<'_>| backend.groups.as_deref().unwrap_or_default().iter().any(|group| group.members.is_ok());
    topology.own_backends().filter(read).map(|backend| backend.read_at.unwrap_or(topology.now)).min()
}

/// What the catalogue says of a target.
#[derive(Default)]
struct Answers {
    found: Vec<Found>,
    inconclusive: BTreeSet<Inconclusive>,
    withheld: bool,
}

/// It rests on facts that are older than the last change in Kubernetes, and did not stand before: it is not said before they are read again.
fn overtaken(topology: &Topology<'_>, rule: &Rule, backend: &Backend<'_>) -> bool {
    backend.outdated
        && matches!(rule.section, Section::Path | Section::Groups | Section::Health)
        && !topology.stands.contains(&(rule.code.to_owned(), Some(name(&backend.name))))
}

/// Puts every question of the catalogue to every subject.
fn ask(topology: &Topology<'_>, acknowledged: &[String]) -> Answers {
    let mut answers = Answers::default();
    let (handled, deleting) = (topology.handled(), deleting(topology));
    for rule in CATALOGUE.iter().copied().filter(|rule| (handled || rule.unhandled) && !(deleting && moot_in_deletion(rule))) {
        let acknowledged = acknowledged.iter().any(|code| code == rule.code);
        let mut keep = |backend: Option<&Backend<'_>>, answer| match answer {
            Ok(None) => {}
            Ok(Some(_)) if backend.is_some_and(|backend| overtaken(topology, rule, backend)) => answers.withheld = true,
            Ok(Some(finding)) => {
                let backend = backend.map(|backend| name(&backend.name));
                answers.found.push(Found { rule, backend, finding, acknowledged });
            }
            Err(unknown) => {
                answers.inconclusive.insert(Inconclusive { code: rule.code, unknown });
            }
        };
        match rule.check {
            Check::Target(check) => keep(None, check(topology)),
            Check::Backend(check) => {
                // Of a backend that the load balancer does not have, the controller checks the specification and no more.
                let asked = |backend: &&Backend<'_>| backend.served || rule.section == Section::Specification;
                for backend in topology.backends.iter().filter(asked) {
                    keep(Some(backend), check(topology, backend));
                }
            }
        }
    }
    answers
}

/// Somebody asked for the target's deletion.
fn deleting(topology: &Topology<'_>) -> bool {
    topology.meta().deletion_timestamp.is_some()
}

/// An Ingress that is being deleted is not translated any more, and its Services and pods may go before it: only who cleans up, and what
/// keeps them from it, matters.
fn moot_in_deletion(rule: &Rule) -> bool {
    !matches!(rule.section, Section::Listening | Section::LifeCycle | Section::Refused)
}

/// The order among causes: what counts first, then section, severity, confidence, breadth, code, backend.
type RankKey<'a> = (bool, bool, bool, Section, Severity, Confidence, Reverse<usize>, &'static str, Option<&'a str>);

fn rank_key<'a>(found: &'a Found, breadth: &BTreeMap<&'static str, usize>) -> RankKey<'a> {
    let severity = found.rule.severity;
    (
        found.rule.code == "Provisioning",
        severity == Severity::Info,
        found.rule.symptom,
        found.rule.section,
        severity,
        found.finding.confidence,
        Reverse(breadth.get(found.rule.code).copied().unwrap_or_default()),
        found.rule.code,
        found.backend.as_deref(),
    )
}

/// One explains the other: by code, on the same backend unless one of the two is the whole target's.
fn explains(cause: &Found, effect: &Found) -> bool {
    // What leaves the load balancer programmed cannot be why there is no address.
    let programmed = effect.rule.code == "NoAddress" && cause.severity() == Severity::Warning;
    cause.rule.explains.contains(&effect.rule.code)
        && effect.finding.beside != Some(cause.rule.code)
        && !programmed
        && (cause.backend.is_none() || effect.backend.is_none() || cause.backend == effect.backend)
}

/// Sorts, and hangs everything that something explains below the best-ranked of its roots.
fn rank(mut found: Vec<Found>) -> Vec<Root> {
    let mut breadth = BTreeMap::new();
    for one in &found {
        *breadth.entry(one.rule.code).or_insert(0) += 1;
    }
    found.sort_by(|a, b| rank_key(a, &breadth).cmp(&rank_key(b, &breadth)));
    let mut root_of: Vec<Option<usize>> = vec![None; found.len()];
    for root in 0..found.len() {
        if found.iter().any(|other| explains(other, &found[root])) {
            continue;
        }
        let mut reached = vec![root];
        while let Some(at) = reached.pop() {
            if root_of[at].is_some() {
                continue;
            }
            root_of[at] = Some(root);
            reached.extend((0..found.len()).filter(|other| root_of[*other].is_none() && explains(&found[at], &found[*other])));
        }
    }
    let root_of: Vec<usize> = root_of.into_iter().enumerate().map(|(at, root)| root.unwrap_or(at)).collect();
    let mut roots: BTreeMap<usize, Root> = BTreeMap::new();
    let mut below = Vec::new();
    for (at, one) in found.into_iter().enumerate() {
        if root_of[at] == at {
            roots.insert(at, Root { found: one, symptoms: Vec::new() });
        } else {
            below.push((root_of[at], one));
        }
    }
    for (root, one) in below {
        if let Some(root) = roots.get_mut(&root) {
            root.symptoms.push(one);
        }
    }
    roots.into_values().collect()
}

/// The verdict: the first that holds, by the effect on traffic.
fn verdict(topology: &Topology<'_>, findings: &[Root]) -> Verdict {
    let counted = || findings.iter().filter(|root| root.counts()).flat_map(Root::all).filter(|found| !found.acknowledged);
    if counted().any(|found| found.finding.breaks) {
        return Verdict::Broken;
    }
    let provisioning = findings.iter().any(|root| root.found.rule.code == "Provisioning");
    let deleting = deleting(topology);
    let empty = |backend: &&Backend<'_>| {
        let about = |found: &&Found| found.backend.is_none() || found.backend.as_deref() == Some(&*name(&backend.name));
        let nothing_counts = || findings.iter().flat_map(Root::all).any(|found| about(&found)) || provisioning;
        backend.groups_empty()
            && !backend.outdated
            && (counted().any(|found| about(&found) && found.severity() != Severity::Info) || !nothing_counts())
    };
    if topology.handled() && !deleting && topology.own_backends().any(|backend| empty(&backend)) {
        return Verdict::Broken;
    }
    if counted().any(|found| found.severity() != Severity::Info) {
        return Verdict::Degraded;
    }
    // What has no address yet does not serve, whatever the controller still complains of.
    let coming =
        || topology.handled() && topology.young() && topology.ingress().is_some_and(|ingress| ingress.address().is_none());
    if provisioning || deleting || coming() {
        return Verdict::Progressing;
    }
    if blind_spot(topology).is_some() { Verdict::Unknown } else { Verdict::Healthy }
}

/// What decides the verdict and could not be read: the Services and slices that the target names, or the health of its backends.
fn blind_spot(topology: &Topology<'_>) -> Option<Unknown> {
    if !topology.handled() {
        return None;
    }
    topology.own_backends().find_map(|backend| {
        if let Observed::Unknown(why) = &backend.service {
            return Some(why.clone());
        }
        if let Err(why) = &backend.endpoints {
            return Some(why.clone());
        }
        if let Some(why) = backend.health_unread() {
            return Some(why);
        }
        // A backend service that the load balancer must have and that is not there acquits nobody.
        let absent = backend.role == Role::Routed && backend.backend_service.is_absent();
        absent.then(|| {
            let resource = backend.backend_service_path.as_deref().unwrap_or("backendServices");
            let message = "there is no backend service of the name that GKE's controller would give";
            Unknown::new(Source::Compute, resource, "NotFound", message)
        })
    })
}

fn summary(
    topology: &Topology<'_>,
    verdict: Verdict,
    root: Option<&Root>,
    address: Option<&str>,
    endpoints: Endpoints,
) -> String {
    if let Some(root) = root {
        let fix =
            root.found.finding.fix.first().map(|fix| format!("; {}", fix.lines().next().unwrap_or_default())).unwrap_or_default();
        return format!("{}{fix}", root.found.finding.message);
    }
    match verdict {
        Verdict::Unknown => blind_spot(topology).map(|why| format!("could not see what decides it: {why}")).unwrap_or_default(),
        Verdict::Progressing if deleting(topology) => "it is being deleted".to_owned(),
        Verdict::Progressing => topology.warnings.as_ref().ok().and_then(|warnings| warnings.last()).map_or_else(
            || "it has no address yet".to_owned(),
            |said| format!("it has no address yet; the controller last said: {}", said.message),
        ),
        _ => {
            let at = address.map(|address| format!(" at {address}")).unwrap_or_default();
            format!("serves{at}, {} of {} endpoints healthy", endpoints.healthy, endpoints.total())
        }
    }
}

fn report(backend: &Backend<'_>) -> BackendReport {
    let health_check = backend.health_check.as_ref().seen().map(|check| HealthCheckReport {
        type_: name(&check.type_),
        path: check.http().map_or_else(String::new, |http| name(&http.request_path)),
        port: check.asked_port().filter(|asked| asked.specification != "USE_SERVING_PORT").and_then(|asked| asked.number),
        interval: check.check_interval_sec,
        timeout: check.timeout_sec,
    });
    let groups = backend.groups.as_deref().unwrap_or_default().iter().map(|group| GroupReport {
        name: name(group.name()),
        zone: name(group.zone()),
        endpoints: group.members.as_ref().ok().map(|members| {
            let count = |state| members.iter().filter(|member| member.state == state).count();
            let (healthy, unhealthy) = (count(State::Healthy), count(State::Unhealthy));
            Endpoints { healthy, unhealthy, unknown: members.len() - healthy - unhealthy }
        }),
    });
    BackendReport {
        name: name(&backend.name),
        service: format!("{}/{}", backend.namespace, name(backend.service_name)),
        port: name(&backend.port_ref.to_string()),
        backend_service: backend.backend_service.as_ref().seen().map(|backend_service| name(&backend_service.name)),
        health_check,
        endpoints: Endpoints::of(backend),
        groups: groups.collect(),
    }
}
