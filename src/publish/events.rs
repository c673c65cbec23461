//! Events on the target: what `kubectl describe ingress` shows.
//!
//! Enters: the status that stands, a diagnosis; later the status that was written. Leaves: one Event for each change of the root cause, by
//! the words of the status. Never: says a thing that the status does not remember, says it under two names, or writes while another process
//! leads.
//!
//! The status is the memory: `lastEvent` is written together with the root cause, and the Event afterwards, under a name that is made from
//! it. Whoever comes later finds it said; where somebody ended in between, the next one says it under the same name, and of two that say
//! it at once the API server takes one.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::PostParams;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::api::{Finding, IngressDiagnosisStatus, LastEvent};
use crate::collect::guard;
use crate::diagnose::{Diagnosis, Verdict};
use crate::topology::TargetRef;

use super::owned::{FIELD_MANAGER, WriteError, in_time, while_terminating};
use super::text::{cut, is_command};

/// The API server takes no longer text.
const LIMIT: usize = 1024;

/// What is older has been said, or nobody misses it any more: an API server keeps events for an hour, and one that is still kept is not
/// said again.
const RECENT: SignedDuration = SignedDuration::from_mins(10);

/// After an answer that will be the same for the next event.
const REST: Duration = Duration::from_secs(60);

/// The last event after a diagnosis: a new one when the root cause appeared, changed or has gone; the one that stands otherwise.
pub fn last(stands: Option<&LastEvent>, diagnosis: &Diagnosis, now: Timestamp) -> Option<LastEvent> {
    let event = |type_: &str, code: &str| LastEvent { type_: type_.to_owned(), root_cause: code.to_owned(), time: Time(now) };
    let warned = stands.filter(|stands| stands.type_ == "Warning");
    match (warns(diagnosis), warned) {
        (Some(code), Some(warned)) if warned.root_cause == code => stands.cloned(),
        (Some(code), _) => Some(event("Warning", code)),
        // What cannot be seen has not gone.
        (None, Some(warned)) if diagnosis.verdict != Verdict::Unknown => Some(event("Normal", &warned.root_cause)),
        (None, _) => stands.cloned(),
    }
}

/// The root cause, if it is one to warn of: not accepted, and not there by design.
fn warns(diagnosis: &Diagnosis) -> Option<&'static str> {
    let code = diagnosis.root_cause?;
    diagnosis.findings.iter().any(|root| root.found.rule.code == code && root.counts()).then_some(code)
}

/// Writes the events.
pub struct Events {
    client: kube::Client,
    leads: watch::Receiver<bool>,
    /// Until then nobody is asked.
    rests: Mutex<Option<Instant>>,
    /// Reasons that have been logged.
    said: Mutex<BTreeSet<String>>,
}

impl Events {
    /// Nothing is written before [`Events::tell`].
    pub fn new(client: kube::Client, leads: watch::Receiver<bool>) -> Self {
        Self { client, leads, rests: Mutex::default(), said: Mutex::default() }
    }

    /// Says on the target what its status says that it should know; false when that has to be tried again.
    pub async fn tell(&self, target: &TargetRef, uid: &str, status: &IngressDiagnosisStatus, now: Timestamp) -> bool {
        let Some(last) = &status.last_event else { return true };
        if now.duration_since(last.time.0) > RECENT {
            return true;
        }
        if guard(&self.rests).is_some_and(|until| Instant::now() < until) || !*self.leads.borrow() {
            return false;
        }
        let event = event(target, uid, status, last);
        let api = Api::<Event>::namespaced(self.client.clone(), &target.namespace);
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let written = in_time(api.create(&parameters, &event)).await;
        match written.map_err(|error| while_terminating(error, &target.namespace)) {
            Ok(_) => {
                guard(&self.said).clear();
                true
            }
            // Somebody has said it.
            Err(WriteError::Refused(status)) if status.code == 409 => true,
            // Nobody can: its namespace ends, or it ended meanwhile.
            Err(WriteError::Terminating(_)) => true,
            Err(WriteError::Refused(status)) if status.code == 404 => true,
            Err(error) => {
                let this_alone = matches!(&error, WriteError::Refused(status) if matches!(status.code, 400 | 413 | 422));
                self.report(target, &error);
                if !this_alone {
                    *guard(&self.rests) = Some(Instant::now() + REST);
                }
                this_alone
            }
        }
    }

    /// Once is enough, until it went well in between.
    fn report(&self, target: &TargetRef, error: &WriteError) {
        let reason = match error {
            WriteError::Refused(status) => status.reason.clone(),
            error => error.to_string(),
        };
        if guard(&self.said).insert(reason) {
            tracing::warn!(namespace = %target.namespace, kind = target.kind.as_str(), name = %target.name, "Events are not written: {error}");
        }
    }
}

fn event(target: &TargetRef, uid: &str, status: &IngressDiagnosisStatus, last: &LastEvent) -> Event {
    let (reason, message) = words(status, last);
    let text = |text: &str| Some(text.to_owned());
    Event {
        metadata: ObjectMeta { name: Some(name(target, uid, last)), namespace: text(&target.namespace), ..ObjectMeta::default() },
        involved_object: ObjectReference {
            api_version: text(target.kind.api_version()),
            kind: text(target.kind.as_str()),
            namespace: text(&target.namespace),
            name: text(&target.name),
            uid: Some(uid.to_owned()).filter(|uid| !uid.is_empty()),
            ..ObjectReference::default()
        },
        type_: Some(last.type_.clone()),
        reason: Some(reason),
        message: Some(message),
        source: Some(EventSource { component: text(FIELD_MANAGER), ..EventSource::default() }),
        reporting_component: text(FIELD_MANAGER),
        first_timestamp: Some(last.time.clone()),
        last_timestamp: Some(last.time.clone()),
        count: Some(1),
        ..Event::default()
    }
}

/// The same for the same event, whoever says it; as long as a name may be.
fn name(target: &TargetRef, uid: &str, last: &LastEvent) -> String {
    let hash = Sha256::digest(format!("{uid} {} {} {}", last.type_, last.root_cause, last.time.0));
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let stem = &target.name[..target.name.floor_char_boundary(230)];
    format!("{}.{hash}", stem.trim_end_matches(['.', '-']))
}

/// Reason and text.
fn words(status: &IngressDiagnosisStatus, last: &LastEvent) -> (String, String) {
    let code = &last.root_cause;
    let of_code = |finding: &&Finding| finding.code == *code;
    if last.type_ == "Warning" {
        let finding = status.findings.iter().filter(of_code).find(|finding| !finding.acknowledged);
        let message = finding.map_or_else(|| cut(&status.summary, LIMIT).into_owned(), warning);
        return (code.clone(), message);
    }
    let accepted = status.findings.iter().filter(of_code).any(|finding| finding.acknowledged);
    let (reason, is) = if accepted { ("Acknowledged", "is acknowledged and no longer counts") } else { ("Resolved", "has gone") };
    (reason.to_owned(), cut(&format!("{code} {is}; {}", status.summary), LIMIT).into_owned())
}

/// What is wrong and as much of the mend as fits: before all else its first command, which is of no use in part.
fn warning(finding: &Finding) -> String {
    let steps: Vec<String> = finding.fix.iter().map(|fix| format!("; mend: {fix}")).collect();
    let first = finding.fix.iter().position(|fix| is_command(fix)).unwrap_or_default();
    let mut left = LIMIT;
    let mut taken = vec![false; steps.len()];
    let mut take = |at: usize, left: &mut usize| {
        let fits = steps.get(at).filter(|step| !taken[at] && step.len() <= *left);
        if let Some(step) = fits {
            (taken[at], *left) = (true, *left - step.len());
        }
    };
    take(first, &mut left);
    let message = cut(&finding.message, left);
    left -= message.len();
    (0..steps.len()).for_each(|at| take(at, &mut left));
    let steps = steps.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(step, _)| step.as_str());
    std::iter::once(&*message).chain(steps).collect()
}

#[cfg(test)]
mod tests;
