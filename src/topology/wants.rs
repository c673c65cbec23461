//! What a diagnosis wants to be read: the health of which groups, and which pods' answers.
//!
//! Enters: a [`Topology`]. Leaves: [`Wants`]. Never: reads, or decides when to read.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::snapshot::compute::{COLLECTIONS, normalise};
use crate::snapshot::{Observed, Unknown};

use super::questions::Question;
use super::{Backend, Group, State, Topology, annotations};

/// A group whose endpoints' health matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedGroup {
    /// Its backend's place among the target's.
    pub backend: usize,
    /// Path of the backend service; empty for a network endpoint group that none uses.
    pub backend_service: String,
    /// Path of the group.
    pub group: String,
    /// An endpoint of it fails.
    pub unhealthy: bool,
    /// GKE's own last word on the backend is that it fails: its annotation, or a readiness gate.
    pub accused: bool,
    /// The backend service itself is to be asked as well: the endpoints fail, or their list was refused or says nothing of their health.
    pub confirm: bool,
    /// It was read, or its reading was refused.
    pub known: bool,
    /// What Kubernetes says of the backend's endpoints, as a number: another one means that something changed.
    pub seen: u64,
}

/// What a diagnosis wants to be read.
#[derive(Debug, Default)]
pub struct Wants<'a> {
    /// The groups.
    pub groups: Vec<WantedGroup>,
    /// The questions to pods behind failing endpoints.
    pub questions: Vec<Question<'a>>,
    /// Some of those questions have no answer yet.
    pub unasked: bool,
    /// Something that is listed whole was not read yet, nor refused.
    pub lists_pending: bool,
    /// The last try to read the health of a group failed, and not for good.
    pub failing: bool,
}

/// What all groups of a backend have in common.
#[derive(Clone, Copy)]
struct Place {
    backend: usize,
    accused: bool,
    seen: u64,
}

impl Backend<'_> {
    /// What Kubernetes says of its endpoints and pods, as far as the health of a group follows from it.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for slot in self.endpoints.as_deref().unwrap_or_default() {
            (slot.address, slot.port, slot.endpoint.ready(), slot.endpoint.terminating()).hash(&mut hasher);
        }
        for pod in self.pods.as_deref().unwrap_or_default() {
            (&pod.metadata.name, &pod.metadata.uid, pod.serves(), pod.terminating()).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// Pods of a backend that are asked: what the others would answer is the same.
const MOST_PODS: usize = 5;

impl<'a> Topology<'a> {
    /// What the target itself says, as a number: another one means that it changed. What controllers write on it does not count.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let meta = self.meta();
        (&meta.uid, meta.generation).hash(&mut hasher);
        let written = |key: &str| annotations::keys::WRITTEN.contains(&key);
        meta.annotations.iter().filter(|(key, _)| !written(key)).for_each(|annotation| annotation.hash(&mut hasher));
        hasher.finish()
    }

    /// What is wanted for this target.
    pub fn wants(&self) -> Wants<'a> {
        let mut wants = Wants { lists_pending: self.lists_pending(), ..Wants::default() };
        let accused = self.ingress().map(annotations::backends).unwrap_or_default();
        for (at, backend) in self.backends.iter().enumerate() {
            let called_unhealthy = backend
                .backend_service_path
                .as_deref()
                .and_then(|path| accused.get(path.rsplit('/').next().unwrap_or(path)))
                .is_some_and(|state| matches!(&**state, "UNHEALTHY" | "TIMEOUT"));
            let gated = || !backend.held_at_gate(self).is_empty() || !backend.timed_out_at_gate(self).is_empty();
            let place = Place { backend: at, accused: called_unhealthy || gated(), seen: backend.fingerprint() };
            for group in backend.groups.as_deref().unwrap_or_default() {
                wants.failing |= group.members.as_ref().is_err_and(|why| !not_read(why) && passing(why));
                wants.groups.push(self.wanted(backend, group, place));
            }
            self.add_unattached(&mut wants, backend, place);
            let mut questions = backend.failing_questions();
            questions.retain(|question| self.may_be_asked(question));
            questions.truncate(MOST_PODS);
            wants.unasked |= questions.iter().any(|question| question.answer(&self.snapshot.probes).is_err());
            wants.questions.extend(questions);
        }
        wants
    }

    /// The groups of the port that the backend service does not use: whether their endpoints are those of the Service is a question, too.
    fn add_unattached(&self, wants: &mut Wants<'_>, backend: &Backend<'_>, place: Place) {
        for neg in backend.negs(self).unwrap_or_default() {
            if neg.group.is_ok() && !wants.groups.iter().any(|wanted| wanted.group == neg.path) {
                let known = neg.endpoints.as_ref().err().is_none_or(|why| !not_read(why));
                let Place { backend, accused, seen } = place;
                let (backend_service, unhealthy, confirm) = (String::new(), false, false);
                wants.groups.push(WantedGroup {
                    backend,
                    backend_service,
                    group: neg.path,
                    unhealthy,
                    accused,
                    confirm,
                    known,
                    seen,
                });
            }
        }
    }

    fn wanted(&self, backend: &Backend<'_>, group: &Group<'_>, place: Place) -> WantedGroup {
        let user = self.fleet.users_of_group.get(&*group.path).and_then(|users| users.first());
        let backend_service = backend
            .backend_service_path
            .clone()
            .or_else(|| user.map(|user| normalise(user, self.project()).into_owned()))
            .unwrap_or_default();
        let members = group.members.as_deref().unwrap_or_default();
        let failing = members.iter().any(|member| member.state == State::Unhealthy);
        let stateless = !members.is_empty() && members.iter().all(|member| member.state == State::Unknown);
        // Who may not list the endpoints may be told their health all the same.
        let refused = self.snapshot.compute.endpoints_of(&group.path).is_err_and(|why| !passing(&why));
        let confirm =
            (failing || stateless || refused) && !backend_service.is_empty() && group.path.contains("/networkEndpointGroups/");
        let unconfirmed = || self.snapshot.compute.health_of(&backend_service, &group.path).is_err_and(|why| not_read(&why));
        let known = match &group.members {
            _ if confirm => !unconfirmed(),
            Ok(_) => true,
            Err(why) => !not_read(why),
        };
        let Place { backend, accused, seen } = place;
        WantedGroup { backend, group: group.path.clone(), unhealthy: failing, accused, confirm, known, seen, backend_service }
    }

    fn lists_pending(&self) -> bool {
        let unread = |kind: &&str| self.snapshot.compute.unread_kind(kind).is_some_and(|why| passing(&why));
        COLLECTIONS.iter().any(unread) || matches!(&self.snapshot.cluster, Observed::Unknown(why) if passing(why))
    }
}

/// Nobody has asked for it yet.
fn not_read(why: &Unknown) -> bool {
    &*why.reason == "NotRead"
}

/// It may well be read a moment later: nobody has asked yet, or whoever was asked was busy, unwell or out of reach. A refusal stays one.
fn passing(why: &Unknown) -> bool {
    const WORDS: [&str; 13] = [
        "Timeout",
        "Unreachable",
        "NoCredentials",
        "backendError",
        "internalError",
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "quotaExceeded",
        "RATE_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "DEADLINE_EXCEEDED",
        "UNAVAILABLE",
        "INTERNAL",
    ];
    let server_error = why.reason.len() == 3 && why.reason.starts_with('5');
    not_read(why) || server_error || WORDS.contains(&&*why.reason)
}

#[cfg(test)]
mod tests {
    use super::passing;
    use crate::snapshot::{Source, Unknown};

    #[test]
    fn a_refusal_does_not_pass() {
        let why = |reason: &str| Unknown { reason: reason.into(), ..Unknown::not_read(Source::Compute, "urlMaps") };
        for reason in ["NotRead", "rateLimitExceeded", "503", "Unreachable"] {
            assert!(passing(&why(reason)), "{reason}");
        }
        for reason in ["forbidden", "Forbidden", "notFound", "Malformed", "429x"] {
            assert!(!passing(&why(reason)), "{reason}");
        }
    }
}
