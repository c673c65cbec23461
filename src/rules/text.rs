//! How rules put names into sentences and commands.
//!
//! Enters: names. Leaves: text that reads well and commands that are safe to paste. Never: an unquoted foreign word in a command.

use std::fmt::Display;
use std::net::SocketAddr;

use crate::snapshot::probe::Scheme;
use crate::topology::questions::Question;
use crate::topology::{Class, Topology};

/// A word for a POSIX shell: quoted where it must be.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The first `most` of some items, and how many more there are: `a, b and 3 more`.
pub fn some_of<T: Display>(items: impl IntoIterator<Item = T>, most: usize) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.len() {
        0 => String::new(),
        1 => items[0].clone(),
        count if count <= most => format!("{} and {}", items[..count - 1].join(", "), items[count - 1]),
        count => format!("{} and {} more", items[..most].join(", "), count - most),
    }
}

/// `1 endpoint`, `2 endpoints`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A merge patch of an object: `kubectl -n NS patch KIND NAME --type merge -p '…'`.
pub fn patch(namespace: &str, kind: &str, name: &str, patch: &serde_json::Value) -> String {
    format!("kubectl -n {} patch {kind} {} --type merge -p {}", quote(namespace), quote(name), quote(&patch.to_string()))
}

/// Sets an annotation: `kubectl -n NS annotate KIND NAME KEY=VALUE --overwrite`.
pub fn annotate(namespace: &str, kind: &str, name: &str, key: &str, value: &str) -> String {
    format!("kubectl -n {} annotate {kind} {} {} --overwrite", quote(namespace), quote(name), quote(&format!("{key}={value}")))
}

/// A pod for one moment that asks another one what the health check asks it.
pub fn ask(namespace: &str, question: &Question<'_>) -> String {
    if question.scheme == Scheme::Tcp {
        return format!(
            "kubectl -n {} run ask-health --rm -it --restart=Never --image=busybox -- nc -zv -w {} {} {}",
            quote(namespace),
            question.timeout_sec,
            question.ip,
            question.port
        );
    }
    let url = format!("{}://{}{}", question.scheme.as_str(), SocketAddr::new(question.ip, question.port), question.path);
    let host =
        if question.host.is_empty() { String::new() } else { format!(" -H {}", quote(&format!("Host: {}", question.host))) };
    format!(
        "kubectl -n {} run ask-health --rm -it --restart=Never --image=curlimages/curl -- curl -ksi -m {}{host} {}",
        quote(namespace),
        question.timeout_sec,
        quote(&url)
    )
}

/// `--project=P` where the project is known.
pub fn project_flag(topology: &Topology<'_>) -> String {
    if topology.project().is_empty() { String::new() } else { format!(" --project={}", quote(topology.project())) }
}

/// Reserves an address in the scope of the Ingress's class, for HTTP and HTTPS at once where `shared`; `None` where the subnetwork that
/// an internal address needs is not known.
pub fn reserve_address(topology: &Topology<'_>, name: &str, shared: bool) -> Option<String> {
    let region = || format!("--region={}", quote(topology.region()));
    let place = match topology.class() {
        Some(Class::Internal) => {
            let purpose = if shared { " --purpose=SHARED_LOADBALANCER_VIP" } else { "" };
            format!("{} --subnet={}{purpose}", region(), quote(topology.subnetwork()?))
        }
        Some(Class::RegionalExternal) => region(),
        _ => "--global".to_owned(),
    };
    Some(format!("gcloud compute addresses create {} {place}{}", quote(name), project_flag(topology)))
}

/// A JSON patch of an object: `kubectl -n NS patch KIND NAME --type json -p '…'`.
pub fn json_patch(namespace: &str, kind: &str, name: &str, steps: Vec<serde_json::Value>) -> String {
    let patch = serde_json::Value::Array(steps).to_string();
    format!("kubectl -n {} patch {kind} {} --type json -p {}", quote(namespace), quote(name), quote(&patch))
}

/// `CLUSTER --location=L --project=P`, where the cluster is known: what stands behind `gcloud container clusters VERB`.
pub fn cluster(topology: &Topology<'_>) -> Option<String> {
    let meta = &topology.snapshot.meta;
    let known = !meta.cluster_name.is_empty() && !meta.cluster_location.is_empty();
    known.then(|| format!("{} --location={}{}", quote(&meta.cluster_name), quote(&meta.cluster_location), project_flag(topology)))
}
