//! A recording about nobody: every name is another one, and the diagnosis is the same.
//!
//! Enters: a [`Recording`]. Leaves: the same with other names, addresses, hosts, images, project, cluster and identities, the same one for
//! the same one everywhere. Never: keeps a field that no rule reads, or a word that it does not know.
//!
//! What stays: moments, numbers and states, the form and the length of names, which of them begin alike, regions and zones, words of
//! Kubernetes and Google inside names (`kube-system`, `default`, `gke`, `http` …), the known applications in images, and which addresses
//! share a network. The key is a digest of the recording itself: the same recording gives the same bytes, and nobody who does not have it
//! can turn them back.

mod address;
mod derived;
mod rewrite;
mod vocabulary;
mod words;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::snapshot::{RecordedCompute, Recording};
use crate::topology::apps;
use rewrite::{NOBODYS, Rewriter};

/// Fields whose values are words of an API.
const WORDS: [&str; 31] = [
    "kind",
    "apiVersion",
    "type",
    "status",
    "reason",
    "protocol",
    "phase",
    "pathType",
    "scheme",
    "healthState",
    "ipv6HealthState",
    "loadBalancingScheme",
    "direction",
    "purpose",
    "role",
    "addressType",
    "state",
    "networkEndpointType",
    "portSpecification",
    "IPProtocol",
    "datapathProvider",
    "appProtocol",
    "conditionType",
    "externalTrafficPolicy",
    "effect",
    "operator",
    "policyTypes",
    "component",
    "reportingComponent",
    "certificateStatus",
    "responseCodeName",
];

/// Fields that hold what a controller said.
const MESSAGES: [&str; 3] = ["message", "statusMessage", "description"];

/// Maps whose keys somebody chose.
const MAPS: [&str; 7] = ["labels", "matchLabels", "selector", "annotations", "data", "domainStatus", "nodeSelector"];

/// Of so many keys the one is taken with which the fewest new words and addresses are old ones of somebody else.
const TRIES: u8 = 16;

impl Recording {
    /// Replaces every name, address, host, image, project, cluster and identity, consistently; the diagnosis stays the same. Fields and
    /// objects that no rule reads are left out. A recording that was made anonymous before stays as it is.
    pub fn redact(&mut self) {
        if self.is_redacted() {
            return;
        }
        let (redacted, _) = redacted(self);
        *self = redacted;
    }

    /// The same recording made anonymous, and what some names became.
    pub fn redacted(&self, names: &[&str]) -> (Self, Vec<String>) {
        if self.is_redacted() {
            return (self.clone(), names.iter().map(|&name| name.to_owned()).collect());
        }
        let (redacted, rewriter) = redacted(self);
        (redacted, names.iter().map(|name| rewriter.name(name)).collect())
    }

    /// All identities are such as only [`Recording::redact`] gives.
    fn is_redacted(&self) -> bool {
        let mut uids = self.kubernetes.iter().filter_map(|object| object.pointer("/metadata/uid")?.as_str()).peekable();
        uids.peek().is_some() && uids.all(|uid| uid.starts_with(NOBODYS))
    }
}

fn redacted(recording: &Recording) -> (Recording, Rewriter) {
    let known = recording.known_fields();
    let digest = digest(&known);
    let key = |attempt: u8| -> [u8; 32] { Sha256::new().chain_update(digest).chain_update([attempt]).finalize().into() };
    let (first, rewriter) = rewritten(&known, key(0));
    let clashes = |attempt: &u8| rewriter.clashes(key(*attempt));
    match (0..TRIES).min_by_key(clashes) {
        None | Some(0) => (first, rewriter),
        Some(best) => rewritten(&known, key(best)),
    }
}

fn rewritten(known: &Recording, key: [u8; 32]) -> (Recording, Rewriter) {
    let mut rewriter = Rewriter::new(key);
    let name = |object: &Value| Some(object.pointer("/metadata/name")?.as_str()?.to_owned());
    rewriter.names = known.kubernetes.iter().filter_map(name).collect();
    if let Ok((snapshot, _)) = known.snapshot() {
        rewriter.derived = derived::names(&snapshot, &rewriter);
    }
    (rewriter.recording(known), rewriter)
}

fn digest(recording: &Recording) -> [u8; 32] {
    let mut digest = Sha256::new();
    for object in &recording.kubernetes {
        digest.update(object.to_string());
    }
    digest.update(serde_json::json!([recording.compute, recording.cluster, recording.probes, recording.project]).to_string());
    digest.finalize().into()
}

impl Rewriter {
    fn recording(&self, from: &Recording) -> Recording {
        let mut to = from.clone();
        for text in [&mut to.project, &mut to.cluster_name, &mut to.cluster_location] {
            *text = self.name(text);
        }
        for why in &mut to.unreadable {
            why.resource = self.name(&why.resource).into();
            why.message = self.message(&why.message).into();
        }
        to.kubernetes.iter_mut().for_each(|object| self.value("", object));
        to.compute = to.compute.map(|compute| self.compute(compute));
        if let Some(cluster) = &mut to.cluster {
            self.value("", cluster);
        }
        for probe in to.probes.iter_mut().flatten() {
            for text in [&mut probe.pod, &mut probe.path, &mut probe.host] {
                *text = self.name(text).into();
            }
            if let Ok(ip) = self.name(&probe.ip.to_string()).parse() {
                probe.ip = ip;
            }
            probe.location = probe.location.take().map(|location| self.name(&location).into());
            probe.message = probe.message.take().map(|message| self.message(&message).into());
        }
        to
    }

    fn compute(&self, from: RecordedCompute) -> RecordedCompute {
        let values = |mut values: Vec<Value>| {
            values.iter_mut().for_each(|value| self.value("", value));
            values
        };
        let resource = |(path, mut resource): (String, Value)| {
            self.value("", &mut resource);
            (self.name(&path), resource)
        };
        let health = |(path, groups): (String, BTreeMap<String, Vec<Value>>)| {
            (self.name(&path), groups.into_iter().map(|(path, held)| (self.name(&path), values(held))).collect())
        };
        let error = |(path, mut error): (String, crate::snapshot::compute::ApiError)| {
            error.message = self.message(&error.message).into();
            (self.name(&path), error)
        };
        let instances =
            |(path, links): (String, Vec<String>)| (self.name(&path), links.iter().map(|link| self.name(link)).collect());
        RecordedCompute {
            resources: from.resources.into_iter().map(resource).collect(),
            endpoints: from.endpoints.into_iter().map(|(path, held)| (self.name(&path), values(held))).collect(),
            health: from.health.into_iter().map(health).collect(),
            errors: from.errors.into_iter().map(error).collect(),
            instances: from.instances.into_iter().map(instances).collect(),
        }
    }

    /// Rewrites every text in a value that stands under `field`.
    fn value(&self, field: &str, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(field, text),
            // What stands in a list has fields of its own.
            Value::Array(values) => {
                values.iter_mut().for_each(|value| self.value(if value.is_object() { "" } else { field }, value));
            }
            Value::Object(map) if MAPS.contains(&field) && map.values().all(Value::is_string) => *map = self.map(field, map),
            Value::Object(map) => map.iter_mut().for_each(|(field, value)| self.value(field, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&self, field: &str, text: &str) -> String {
        if field == "apiVersion" || WORDS.contains(&field) && is_word(text) {
            return text.to_owned();
        }
        if field == "image"
            && let Some(mark) = apps::mark(text)
            && let Some((before, behind)) = text.split_once(mark)
        {
            return format!("{}{mark}{}", self.name(before), self.name(behind));
        }
        // Of a description that is no controller's, nothing is known.
        let said = field != "description" || text.contains("ubernetes L7");
        if MESSAGES.contains(&field) && said { self.message(text) } else { self.name(text) }
    }

    /// A map whose keys somebody chose.
    fn map(&self, field: &str, map: &Map<String, Value>) -> Map<String, Value> {
        let pair = |(key, value): (&String, &Value)| {
            let text = value.as_str().unwrap_or_default();
            let value = if field == "domainStatus" { text.to_owned() } else { self.name(text) };
            (self.name(key), Value::String(value))
        };
        // Of the add-on's ConfigMap the identities are read, and no more.
        let read = |(key, _): &(&String, &Value)| field != "data" || matches!(&***key, "uid" | "provider-uid");
        map.iter().filter(read).map(pair).collect()
    }
}

/// One word of an API: no path, no domain, no sentence.
fn is_word(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
