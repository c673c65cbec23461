//! What Google refused to do for a target, wherever the controllers wrote it down.
//!
//! Enters: the warnings about the Ingress and its Services that still stand, and the conditions of their NEGs. Leaves: [`Said`] in that
//! order. Never: lets a place that could not be read hide what another one says.
//! Source: ingress-gce `pkg/controller/controller.go` (Ingress), `pkg/neg/controller.go` (Service), `pkg/neg/syncers` (conditions). A quota
//! on network endpoint groups stands on the Service and its ServiceNetworkEndpointGroup alone: the Ingress shows nothing but a 404.

use jiff::Timestamp;

use crate::snapshot::Unknown;

use super::Topology;

/// Words of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<'a> {
    /// Where they stand.
    pub place: String,
    /// The words.
    pub text: &'a str,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The backend, when they stand on its Service or its NEG.
    pub backend: Option<String>,
}

impl<'a> Topology<'a> {
    /// The words that `matches`, the latest of each place first; an error when there are none and a place could not be read. While the Ingress is
    /// being deleted only what keeps it from going away counts.
    pub fn refusals(&self, matches: impl Fn(&str) -> bool) -> Result<Vec<Said<'a>>, Unknown> {
        let deleting = self.meta().deletion_timestamp.is_some();
        let mut unread = None;
        let mut said = Vec::new();
        if self.ingress().is_some() {
            match &self.warnings {
                Ok(warnings) => said.extend(
                    warnings.iter().rev().filter(|event| !deleting || &*event.reason == "GarbageCollection").map(|event| Said {
                        place: format!("Ingress event {}", event.reason),
                        text: &event.message,
                        since: event.first,
                        backend: None,
                    }),
                ),
                Err(why) => unread = Some(why.clone()),
            }
        }
        for backend in self.backends.iter().filter(|_| !deleting) {
            let service = format!("{}/{}", backend.namespace, backend.service_name);
            match backend.service_warnings() {
                Ok(warnings) => said.extend(warnings.into_iter().rev().map(|event| Said {
                    place: format!("Service {service} event {}", event.reason),
                    text: &event.message,
                    since: event.first,
                    backend: Some(backend.name.clone()),
                })),
                Err(why) => unread = unread.or(Some(why)),
            }
            match backend.svc_neg.clone().known() {
                Ok(neg) => said.extend(neg.into_iter().flat_map(|neg| {
                    let failed = neg.status.conditions.iter().filter(|condition| &*condition.status == "False");
                    failed.map(|condition| Said {
                        place: format!(
                            "ServiceNetworkEndpointGroup {}/{} condition {}",
                            backend.namespace, neg.metadata.name, condition.type_
                        ),
                        text: &condition.message,
                        since: condition.last_transition_time,
                        backend: Some(backend.name.clone()),
                    })
                })),
                Err(why) => unread = unread.or(Some(why)),
            }
        }
        said.retain(|said| matches(said.text));
        // Two ports of a Service share what is said of neither in particular.
        let mut known = std::collections::BTreeSet::new();
        said.retain(|said| known.insert((said.place.clone(), said.text)));
        match unread {
            Some(why) if said.is_empty() => Err(why),
            _ => Ok(said),
        }
    }
}
