//! What a diagnosis wants to be read: the health of which groups, and which pods' answers.
//!
//! Enters: a [`Topology`]. Leaves: [`Wants`]. Never: reads, or decides when to read.

use crate::snapshot::Observed;
use crate::snapshot::compute::normalise;

use super::backend::Question;
use super::{Backend, Group, State, Topology, annotations};

/// A group whose endpoints' health matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedGroup {
    /// Path of the backend service; empty for a standalone NEG that none uses.
    pub backend_service: String,
    /// Path of the group.
    pub group: String,
    /// An endpoint of it fails, or GKE's controller last said that the backend does.
    pub unhealthy: bool,
    /// It was read, or its reading was refused.
    pub known: bool,
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
    /// The backend services have not been read, nor refused.
    pub lists_pending: bool,
}

impl<'a> Topology<'a> {
    /// What is wanted for this target.
    pub fn wants(&self) -> Wants<'a> {
        let mut wants = Wants { lists_pending: self.lists_pending(), ..Wants::default() };
        let accused = self.ingress().map(annotations::backends).unwrap_or_default();
        for backend in &self.backends {
            let called_unhealthy = backend
                .backend_service_path
                .as_deref()
                .and_then(|path| accused.get(path.rsplit('/').next().unwrap_or(path)))
                .is_some_and(|state| matches!(&**state, "UNHEALTHY" | "TIMEOUT"));
            for group in backend.groups.as_deref().unwrap_or_default() {
                wants.groups.push(self.wanted(backend, group, called_unhealthy));
            }
            let questions = backend.failing_questions();
            wants.unasked |= questions.iter().any(|question| {
                let probes = &self.snapshot.probes;
                probes
                    .answer(&question.pod.key(), question.ip, question.port, question.scheme, question.path, question.host)
                    .is_err()
            });
            wants.questions.extend(questions);
        }
        wants
    }

    fn wanted(&self, backend: &Backend<'_>, group: &Group<'_>, called_unhealthy: bool) -> WantedGroup {
        let user = self.fleet.users_of_group.get(&*group.path).and_then(|users| users.first());
        let failing = group.members.as_ref().is_ok_and(|members| members.iter().any(|member| member.state == State::Unhealthy));
        WantedGroup {
            backend_service: backend
                .backend_service_path
                .clone()
                .or_else(|| user.map(|user| normalise(user, self.project()).into_owned()))
                .unwrap_or_default(),
            group: group.path.clone(),
            unhealthy: failing || called_unhealthy,
            known: match &group.members {
                Ok(_) => true,
                Err(why) => &*why.reason != "NotRead",
            },
        }
    }

    fn lists_pending(&self) -> bool {
        let compute = self.snapshot.compute.unread_kind("backendServices").is_some_and(|why| &*why.reason == "NotRead");
        let container = matches!(&self.snapshot.cluster, Observed::Unknown(why) if &*why.reason == "NotRead");
        compute || container
    }
}
