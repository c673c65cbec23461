//! What a diagnosis wants to be read: the health of which groups, and which pods' answers.
//!
//! Enters: a [`Topology`]. Leaves: [`Wants`]. Never: reads, or decides when to read.

use crate::snapshot::compute::{COLLECTIONS, normalise};
use crate::snapshot::{Observed, Unknown};

use super::questions::Question;
use super::{Backend, Group, State, Topology, annotations};

/// A group whose endpoints' health matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedGroup {
    /// Path of the backend service; empty for a network endpoint group that none uses.
    pub backend_service: String,
    /// Path of the group.
    pub group: String,
    /// An endpoint of it fails, or GKE's controller last said that the backend does.
    pub unhealthy: bool,
    /// The backend service itself is to be asked as well: the endpoints fail, or their list was refused or says nothing of their health.
    pub confirm: bool,
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
    /// Something that is listed whole was not read yet, nor refused.
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
            self.add_unattached(&mut wants, backend);
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

    /// The groups of the port that the backend service does not use: whether their endpoints are those of the Service is a question, too.
    fn add_unattached(&self, wants: &mut Wants<'_>, backend: &Backend<'_>) {
        for neg in backend.negs(self).unwrap_or_default() {
            if neg.group.is_ok() && !wants.groups.iter().any(|wanted| wanted.group == neg.path) {
                let known = neg.endpoints.as_ref().err().is_none_or(|why| !not_read(why));
                let backend_service = String::new();
                wants.groups.push(WantedGroup { backend_service, group: neg.path, unhealthy: false, confirm: false, known });
            }
        }
    }

    fn wanted(&self, backend: &Backend<'_>, group: &Group<'_>, called_unhealthy: bool) -> WantedGroup {
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
        let refused = self.snapshot.compute.endpoints_of(&group.path).is_err_and(|why| !not_read(&why));
        let confirm =
            (failing || stateless || refused) && !backend_service.is_empty() && group.path.contains("/networkEndpointGroups/");
        let unconfirmed = || self.snapshot.compute.health_of(&backend_service, &group.path).is_err_and(|why| not_read(&why));
        let known = match &group.members {
            _ if confirm => !unconfirmed(),
            Ok(_) => true,
            Err(why) => !not_read(why),
        };
        WantedGroup { group: group.path.clone(), unhealthy: failing || called_unhealthy, confirm, known, backend_service }
    }

    fn lists_pending(&self) -> bool {
        let unread = |kind: &&str| self.snapshot.compute.unread_kind(kind).is_some_and(|why| not_read(&why));
        COLLECTIONS.iter().any(unread) || matches!(&self.snapshot.cluster, Observed::Unknown(why) if not_read(why))
    }
}

/// Nobody has asked for it yet.
fn not_read(why: &Unknown) -> bool {
    &*why.reason == "NotRead"
}
