//! A diagnosis as the status of an `IngressDiagnosis`.
//!
//! Enters: a [`Diagnosis`] and the status that stands. Leaves: the status to be. Never: writes it; carries no time that moves by itself,
//! so that an unchanged world gives an equal status.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, OwnerReference, Time};

use crate::api;
use crate::diagnose::{self, Diagnosis, Found, Root, Verdict};
use crate::rules::page::snake_case;

/// Most causes, symptoms of a cause, backends, groups of a backend and unanswered questions in a status.
const LIMITS: Limits = Limits { findings: 20, symptoms: 12, backends: 30, groups: 6, inconclusive: 80 };

struct Limits {
    findings: usize,
    symptoms: usize,
    backends: usize,
    groups: usize,
    inconclusive: usize,
}

/// A status is kept below this many bytes.
const SIZE_LIMIT: usize = 60 * 1024;

/// What else decides how a status looks.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// When the diagnosis was made.
    pub now: Timestamp,
    /// The generation of the `IngressDiagnosis`.
    pub generation: Option<i64>,
    /// Base of the links to the pages; empty for none.
    pub docs: &'a str,
}

/// The status to be. Times of what has not changed are taken from the status that stands.
pub fn status(
    diagnosis: &Diagnosis,
    stands: Option<&api::IngressDiagnosisStatus>,
    context: Context<'_>,
) -> api::IngressDiagnosisStatus {
    let mut omitted = api::Omitted::default();
    let seen = first_seen(stands);
    let verdict = diagnosis.verdict.as_str();
    let since =
        stands.filter(|stands| stands.verdict == verdict).and_then(|stands| stands.since.clone()).unwrap_or(Time(context.now));

    let findings = cut(&diagnosis.findings, LIMITS.findings, &mut omitted.findings)
        .iter()
        .map(|root| finding(root, &seen, context, &mut omitted.findings));
    let findings = findings.collect::<Vec<_>>();
    let backends = cut(&diagnosis.backends, LIMITS.backends, &mut omitted.backends)
        .iter()
        .map(|report| backend(report, &mut omitted.groups));
    let backends = backends.collect();
    let mut by_code: BTreeMap<&str, &diagnose::Inconclusive> = BTreeMap::new();
    for one in &diagnosis.inconclusive {
        by_code.entry(one.code).or_insert(one);
    }
    let inconclusive: Vec<_> = by_code.into_values().collect();
    let inconclusive =
        cut(&inconclusive, LIMITS.inconclusive, &mut omitted.inconclusive).iter().map(|one| inconclusive_of(one)).collect();

    let mut status = api::IngressDiagnosisStatus {
        verdict: verdict.to_owned(),
        since: Some(since),
        root_cause: diagnosis.root_cause.map(str::to_owned),
        summary: diagnosis.summary.clone(),
        address: diagnosis.address.clone(),
        endpoints: endpoints(diagnosis.endpoints),
        compute_facts_at: stands.and_then(|stands| stands.compute_facts_at.clone()),
        findings,
        backends,
        inconclusive,
        omitted: None,
        last_event: stands.and_then(|stands| stands.last_event.clone()),
        conditions: Vec::new(),
    };
    status.conditions = conditions(diagnosis, stands, context);
    shrink(&mut status);
    status.omitted = (omitted != api::Omitted::default()).then_some(omitted);
    // That the same was read again is no reason to write.
    if stands != Some(&status) {
        status.compute_facts_at = diagnosis.compute_facts_at.map(Time);
    }
    status
}

/// The whole object, as the controller writes it and `diagnose -o json` prints it.
pub fn object(diagnosis: &Diagnosis, acknowledge: &[String], status: api::IngressDiagnosisStatus) -> api::IngressDiagnosis {
    let target = &diagnosis.target;
    api::IngressDiagnosis {
        metadata: ObjectMeta {
            name: Some(target.diagnosis_name()),
            namespace: Some(target.namespace.to_string()),
            owner_references: (!diagnosis.uid.is_empty()).then(|| vec![owner(diagnosis)]),
            ..ObjectMeta::default()
        },
        spec: api::IngressDiagnosisSpec { target_ref: target_ref(diagnosis), acknowledge: acknowledge.to_vec() },
        status: Some(status),
    }
}

/// The target, as the specification names it.
pub fn target_ref(diagnosis: &Diagnosis) -> api::TargetRef {
    let target = &diagnosis.target;
    api::TargetRef {
        api_version: target.kind.api_version().to_owned(),
        kind: target.kind.as_str().to_owned(),
        name: target.name.to_string(),
    }
}

/// The target as the owner: the diagnosis goes away with it.
pub fn owner(diagnosis: &Diagnosis) -> OwnerReference {
    let target = target_ref(diagnosis);
    OwnerReference {
        api_version: target.api_version,
        kind: target.kind,
        name: target.name,
        uid: diagnosis.uid.clone(),
        ..OwnerReference::default()
    }
}

fn cut<'a, T>(list: &'a [T], most: usize, omitted: &mut u32) -> &'a [T] {
    let kept = &list[..list.len().min(most)];
    *omitted = omitted.saturating_add(small(list.len() - kept.len()));
    kept
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Findings are the same when code and backend are.
type Seen = BTreeMap<(String, Option<String>), Time>;

fn first_seen(stands: Option<&api::IngressDiagnosisStatus>) -> Seen {
    let mut seen = Seen::new();
    let mut keep = |code: &str, backend: &Option<String>, time: &Option<Time>| {
        if let Some(time) = time {
            seen.insert((code.to_owned(), backend.clone()), time.clone());
        }
    };
    for finding in stands.into_iter().flat_map(|stands| &stands.findings) {
        keep(&finding.code, &finding.backend, &finding.first_seen);
        for symptom in &finding.symptoms {
            keep(&symptom.code, &symptom.backend, &symptom.first_seen);
        }
    }
    seen
}

fn finding(root: &Root, seen: &Seen, context: Context<'_>, omitted: &mut u32) -> api::Finding {
    let cause = symptom(&root.found, seen, context);
    api::Finding {
        code: cause.code,
        severity: cause.severity,
        confidence: cause.confidence,
        backend: cause.backend,
        message: cause.message,
        evidence: cause.evidence,
        fix: cause.fix,
        first_seen: cause.first_seen,
        doc_url: cause.doc_url,
        acknowledged: cause.acknowledged,
        symptoms: cut(&root.symptoms, LIMITS.symptoms, omitted).iter().map(|found| symptom(found, seen, context)).collect(),
    }
}

fn symptom(found: &Found, seen: &Seen, context: Context<'_>) -> api::Symptom {
    let code = found.rule.code;
    let first_seen = seen.get(&(code.to_owned(), found.backend.clone())).cloned();
    let first_seen = first_seen.unwrap_or_else(|| Time(found.finding.since.unwrap_or(context.now).min(context.now)));
    api::Symptom {
        code: code.to_owned(),
        severity: found.severity().as_str().to_owned(),
        confidence: found.finding.confidence.as_str().to_owned(),
        backend: found.backend.clone(),
        message: found.finding.message.clone(),
        evidence: found
            .finding
            .evidence
            .iter()
            .map(|one| api::Evidence { from: one.from.clone(), saw: one.saw.clone() })
            .collect(),
        fix: found.finding.fix.clone(),
        first_seen: Some(first_seen),
        doc_url: (!context.docs.is_empty()).then(|| doc_url(context.docs, code)),
        acknowledged: found.acknowledged,
    }
}

/// The page of a code below a base.
pub fn doc_url(base: &str, code: &str) -> String {
    format!("{}/{}.md", base.trim_end_matches('/'), snake_case(code))
}

fn endpoints(endpoints: diagnose::Endpoints) -> api::Endpoints {
    let (healthy, total) = (small(endpoints.healthy), small(endpoints.total()));
    api::Endpoints { healthy, total, text: format!("{healthy}/{total}") }
}

fn backend(report: &diagnose::BackendReport, omitted: &mut u32) -> api::Backend {
    api::Backend {
        service: report.service.clone(),
        port: report.port.clone(),
        backend_service: report.backend_service.clone(),
        health_check: report.health_check.as_ref().map(|check| api::HealthCheck {
            type_: check.type_.clone(),
            path: check.path.clone(),
            port: check.port,
            interval: check.interval,
            timeout: check.timeout,
        }),
        groups: cut(&report.groups, LIMITS.groups, omitted)
            .iter()
            .map(|group| api::Group {
                name: group.name.clone(),
                zone: group.zone.clone(),
                healthy: group.endpoints.map(|endpoints| small(endpoints.healthy)),
                unhealthy: group.endpoints.map(|endpoints| small(endpoints.unhealthy)),
                unknown: group.endpoints.map(|endpoints| small(endpoints.unknown)),
            })
            .collect(),
    }
}

fn inconclusive_of(one: &diagnose::Inconclusive) -> api::Inconclusive {
    let unknown = &one.unknown;
    let mut message = format!("{} {}: {}", unknown.source, unknown.resource, unknown.message);
    message.truncate(message.floor_char_boundary(256));
    api::Inconclusive {
        code: one.code.to_owned(),
        reason: crate::rules::finding::name(&unknown.reason),
        message: crate::rules::finding::clean(&message),
    }
}

fn conditions(diagnosis: &Diagnosis, stands: Option<&api::IngressDiagnosisStatus>, context: Context<'_>) -> Vec<Condition> {
    let diagnosed = diagnosis.verdict != Verdict::Unknown;
    let healthy = match diagnosis.verdict {
        Verdict::Healthy => "True",
        Verdict::Unknown => "Unknown",
        Verdict::Progressing | Verdict::Degraded | Verdict::Broken => "False",
    };
    let reason = if diagnosed { "Complete" } else { "CouldNotSee" };
    let message = if diagnosed { "everything that decides was read" } else { &*diagnosis.summary };
    let because = diagnosis.root_cause.unwrap_or(diagnosis.verdict.as_str());
    [("Diagnosed", if diagnosed { "True" } else { "False" }, reason, message), ("Healthy", healthy, because, &*diagnosis.summary)]
        .into_iter()
        .map(|(type_, value, reason, message)| {
            let before = stands.and_then(|stands| stands.conditions.iter().find(|condition| condition.type_ == type_));
            let since = before.filter(|before| before.status == value).map(|before| before.last_transition_time.clone());
            Condition {
                type_: type_.to_owned(),
                status: value.to_owned(),
                reason: reason.to_owned(),
                message: message.to_owned(),
                last_transition_time: since.unwrap_or(Time(context.now)),
                observed_generation: context.generation,
            }
        })
        .collect()
}

/// Cuts evidence, then the mends of symptoms, until the status fits.
fn shrink(status: &mut api::IngressDiagnosisStatus) {
    let size = |status: &api::IngressDiagnosisStatus| serde_json::to_string(status).map_or(0, |text| text.len());
    for most in [3, 1] {
        if size(status) <= SIZE_LIMIT {
            return;
        }
        for finding in &mut status.findings {
            finding.evidence.truncate(most);
            for symptom in &mut finding.symptoms {
                symptom.evidence.truncate(most);
                symptom.fix.truncate(most);
            }
        }
    }
    for finding in &mut status.findings {
        for symptom in &mut finding.symptoms {
            symptom.evidence.clear();
            symptom.fix.clear();
        }
    }
    while size(status) > SIZE_LIMIT && status.backends.pop().is_some() {}
    while size(status) > SIZE_LIMIT && status.findings.len() > 1 && status.findings.pop().is_some() {}
}
