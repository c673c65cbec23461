//! What the health of a backend's endpoints adds up to.
//!
//! Enters: a [`Backend`]. Leaves: counts, and whether enough was read to count. Never: judges; lets what was not read acquit.

use jiff::Timestamp;

use crate::snapshot::kubernetes::{Event, Pod};
use crate::snapshot::{Observed, Source, Unknown};

use super::backend::{Backend, Member, NO_HEALTH_STATE, Role, State};
use super::events;

impl<'a> Backend<'a> {
    /// All endpoints of all groups that could be read.
    pub fn members_seen(&self) -> impl Iterator<Item = &Member<'a>> {
        self.groups.as_deref().unwrap_or_default().iter().flat_map(|group| group.members.as_deref().unwrap_or_default())
    }

    /// How many endpoints that could be read are in this state.
    pub fn count(&self, state: State) -> usize {
        self.members_seen().filter(|member| member.state == state).count()
    }

    /// The endpoints that fail the health check.
    pub fn unhealthy(&self) -> impl Iterator<Item = &Member<'a>> {
        self.members_seen().filter(|member| member.state == State::Unhealthy)
    }

    /// The health of the endpoints decides something and could not be read: the reason. A backend service that is not there, and one
    /// without endpoints, are read. Beside a healthy endpoint a group that could not be read decides nothing.
    pub fn health_unread(&self) -> Option<Unknown> {
        let groups = match &self.groups {
            Ok(groups) => groups,
            Err(why) => return Some(why.clone()),
        };
        if self.count(State::Healthy) > 0 {
            return None;
        }
        let refused = groups.iter().find_map(|group| group.members.as_ref().err());
        if let Some(why) = refused {
            return Some(why.clone());
        }
        let mut members = self.members_seen().peekable();
        let stateless = members.peek().is_some() && members.all(|member| member.state == State::Unknown);
        stateless.then(|| {
            let resource =
                self.backend_service_path.as_deref().map_or("getHealth".to_owned(), |path| format!("{path}/getHealth"));
            Unknown::new(Source::Compute, resource, NO_HEALTH_STATE, "the answer holds no healthState")
        })
    }

    /// Every group was read, and none has an endpoint; false also while there is no backend service.
    pub fn groups_empty(&self) -> bool {
        let exists = self.role == Role::Standalone || matches!(self.backend_service, Observed::Present(_));
        exists
            && self.groups.as_ref().is_ok_and(|groups| {
                (self.role != Role::Standalone || !groups.is_empty())
                    && groups.iter().all(|group| group.members.as_ref().is_ok_and(Vec::is_empty))
            })
    }

    /// It has endpoints, every group that has any was read, at least one fails and none passes.
    pub fn none_healthy(&self) -> bool {
        self.health_unread().is_none() && self.count(State::Healthy) == 0 && self.count(State::Unhealthy) > 0
    }

    /// Somebody scaled it to zero or nothing is there to run: no pod that is not finished, and no endpoint in the slices.
    pub fn scaled_to_zero(&self) -> Result<bool, Unknown> {
        let pods = self.pods.as_ref().map_err(Clone::clone)?;
        let endpoints = self.endpoints.as_ref().map_err(Clone::clone)?;
        Ok(endpoints.is_empty() && pods.iter().all(|pod| pod.finished()))
    }

    /// The warnings about the Service that concern this port's NEG and still stand, oldest first.
    pub fn service_warnings(&self) -> Result<Vec<&'a Event>, Unknown> {
        let events = self.service_events.as_ref().map_err(Clone::clone)?;
        let own =
            events.iter().copied().filter(|event| match (&self.neg_name, events::between(&event.message, "NEG \"", "\"")) {
                (Some(neg), Some(named)) => neg == named,
                _ => true,
            });
        Ok(events::standing_on_service(&own.collect::<Vec<_>>(), self.svc_neg.as_ref().seen().copied()))
    }

    /// Since when this member's pod serves: from then on the load balancer may take the rollout's grace. `None` when nothing says.
    pub fn serving_since(member: &Member<'_>) -> Option<Timestamp> {
        member.pod.and_then(Pod::serving_since)
    }
}
