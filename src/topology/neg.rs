//! The network endpoint groups of a Service port: which exist, whether they are due, what the NEG controller says of them.
//!
//! Enters: a backend, Compute, the controller's objects and events. Leaves: groups by zone and standing texts.
//! Never: takes a group that was not read for one that does not exist.
//! Source: ingress-gce `pkg/neg/controller.go` (when groups are due), `pkg/neg/syncers` (texts and degraded mode).

use crate::snapshot::compute::{NetworkEndpoint, NetworkEndpointGroup, location, normalise};
use crate::snapshot::kubernetes::{Condition, Event};
use crate::snapshot::{Observed, Source, Unknown};

use super::events::between;
use super::{Backend, GroupKind, Role, Topology, annotations};

/// A network endpoint group in one zone.
#[derive(Debug)]
pub struct ZoneNeg<'a> {
    /// `projects/P/zones/Z/networkEndpointGroups/N`.
    pub path: String,
    /// The group, or why it could not be read.
    pub group: Result<&'a NetworkEndpointGroup, Unknown>,
    /// Its endpoints, or why they could not be read.
    pub endpoints: Result<&'a [NetworkEndpoint], Unknown>,
}

impl ZoneNeg<'_> {
    /// Its zone.
    pub fn zone(&self) -> &str {
        location(&self.path).unwrap_or_default()
    }
}

/// The description that the controller gives a group names the Service that it is for.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Described {
    /// uid of the cluster's namespace kube-system.
    pub cluster_uid: Box<str>,
    /// Namespace.
    pub namespace: Box<str>,
    /// Service.
    pub service_name: Box<str>,
    /// Service port.
    pub port: Box<str>,
}

impl<'a> Backend<'a> {
    /// The groups of this port that exist or could not be read, by zone.
    pub fn negs(&self, topology: &Topology<'a>) -> Result<Vec<ZoneNeg<'a>>, Unknown> {
        let Some(name) = &self.neg_name else {
            return Err(Unknown::not_read(Source::Kubernetes, "configmaps/kube-system/ingress-uid"));
        };
        let compute = &topology.snapshot.compute;
        if let Some(why) = compute.unread_kind("networkEndpointGroups") {
            return Err(why);
        }
        let suffix = format!("/networkEndpointGroups/{name}");
        let scope = format!("projects/{}/zones/", topology.project());
        let seen =
            compute.seen_in_scope::<NetworkEndpointGroup>(&scope).map(|(path, _)| path).filter(|path| path.ends_with(&suffix));
        let listed = self.svc_neg.as_ref().seen().into_iter().flat_map(|neg| &neg.status.network_endpoint_groups);
        let listed =
            listed.map(|neg| normalise(&neg.self_link, topology.project()).into_owned()).filter(|path| path.ends_with(&suffix));
        let mut paths: Vec<String> = seen.map(str::to_owned).chain(listed).collect();
        paths.sort();
        paths.dedup();
        let mut negs = Vec::new();
        for path in paths {
            let group = match compute.get::<NetworkEndpointGroup>(&path) {
                Observed::Present(group) => Ok(group),
                Observed::Absent => continue,
                Observed::Unknown(why) => Err(why),
            };
            let endpoints = compute.endpoints_of(&path);
            negs.push(ZoneNeg { path, group, endpoints });
        }
        Ok(negs)
    }

    /// The NEG controller has to make groups for this port: the Service's annotation asks for them, and the port resolves.
    pub fn neg_due(&self) -> bool {
        let (Some(service), Some(_)) = (self.service.as_ref().seen(), self.port) else { return false };
        if self.kind != GroupKind::Neg || service.metadata.deletion_timestamp.is_some() {
            return false;
        }
        match self.role {
            Role::Routed => annotations::wants_ingress_neg(service),
            Role::Standalone => true,
            Role::SystemDefault => false,
        }
    }

    /// A group is somebody else's: its description names another Service or another cluster. Where the cluster's own identity could not
    /// be read, a group of the controller's own naming is ours, and of a name that the user chose nobody knows.
    pub fn is_foreign(&self, topology: &Topology<'_>, group: &NetworkEndpointGroup) -> Result<bool, Unknown> {
        let Ok(described) = serde_json::from_str::<Described>(&group.description) else { return Ok(false) };
        let differs = |is: &str, should: &str| !is.is_empty() && is != should;
        if differs(&described.service_name, self.service_name) || differs(&described.namespace, self.namespace) {
            return Ok(true);
        }
        let ids = &topology.fleet.ids;
        match &ids.kube_system {
            Some(uid) => Ok(differs(&described.cluster_uid, uid)),
            None if described.cluster_uid.is_empty() => Ok(false),
            None => {
                let port = self.port.map(|port| port.port).unwrap_or_default();
                let ours = ids.neg(self.namespace, self.service_name, port).is_some_and(|name| *name == *group.name);
                let why = || Unknown::not_read(Source::Kubernetes, "namespaces/kube-system");
                ours.then_some(false).ok_or_else(|| topology.snapshot.kubernetes.namespaces.unread().cloned().unwrap_or_else(why))
            }
        }
    }

    /// A condition of the ServiceNetworkEndpointGroup that is false.
    pub fn neg_condition_failed(&self, type_: &str) -> Option<&'a Condition> {
        self.svc_neg.as_ref().seen()?.condition(type_).filter(|condition| &*condition.status == "False")
    }

    /// The event that put this port's group into degraded mode, when none ended it: `ExitDegradedMode` alone does.
    pub fn degraded(&self) -> Result<Option<(&'a Event, &'a str)>, Unknown> {
        let events = self.service_events.as_ref().map_err(Clone::clone)?;
        let about = |event: &&&'a Event, reason: &str| &*event.reason == reason && self.names_syncer(&event.message);
        let last = |reason: &str| events.iter().filter(|event| about(event, reason)).max_by_key(|event| event.last);
        let Some(entered) = last("EnterDegradedMode") else { return Ok(None) };
        // An exit that names no group ends it for all of the Service.
        let group = format!("{}/{}-", self.namespace, self.service_name);
        let nameless = events.iter().filter(|event| &*event.reason == "ExitDegradedMode" && !event.message.contains(&group));
        if last("ExitDegradedMode").into_iter().chain(nameless).any(|left| left.last >= entered.last) {
            return Ok(None);
        }
        let base = entered.message.split_once(" due to sync err: ").map_or("", |(_, base)| base);
        Ok(Some((entered, base)))
    }

    /// Whether a text names the controller's syncer of this port: `NS/SERVICE-NEG-PORTNAME/PORT-TARGET-TYPE-MODE`.
    fn names_syncer(&self, message: &str) -> bool {
        let Some(port) = self.port else { return false };
        let (namespace, service) = (self.namespace, self.service_name);
        let key = match &self.neg_name {
            Some(neg) => format!("NEG {namespace}/{service}-{neg}-{}/{}-", port.name, port.port),
            None => format!("-{}/{}-", port.name, port.port),
        };
        message.contains(&key)
    }

    /// The warnings `AttachFailed` about this port's groups, the latest of each zone, that no later `Attach` in the zone ended.
    pub fn attach_failures(&self) -> Result<Vec<(&'a Event, &'a str)>, Unknown> {
        let events = self.service_events.as_ref().map_err(Clone::clone)?;
        let own = |event: &Event| match (&self.neg_name, between(&event.message, "NEG \"", "\"")) {
            (Some(neg), Some(named)) => neg == named,
            _ => true,
        };
        let mut failures: Vec<(&'a Event, &'a str)> = Vec::new();
        for event in events.iter().copied().filter(|event| own(event)) {
            let zone = between(&event.message, "in zone \"", "\"").unwrap_or_default();
            match &*event.reason {
                "AttachFailed" => {
                    failures.retain(|(_, of)| *of != zone);
                    failures.push((event, zone));
                }
                "Attach" => failures.retain(|(failed, of)| *of != zone || failed.last > event.last),
                _ => {}
            }
        }
        Ok(failures)
    }

    /// Nothing is there to be attached: no endpoint in the slices that is not on its way out.
    pub fn nothing_to_attach(&self) -> Result<bool, Unknown> {
        let endpoints = self.endpoints.as_ref().map_err(Clone::clone)?;
        Ok(endpoints.iter().all(|endpoint| endpoint.endpoint.terminating()))
    }
}

/// The controller's words for a Service whose last endpoint went away.
pub fn says_zero_endpoints(text: &str) -> bool {
    text.contains("endpoint count goes to zero") || text.contains("cannot be zero")
}
