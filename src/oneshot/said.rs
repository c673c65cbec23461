//! What a pass could not see, in sentences for whoever waits for it.
//!
//! Enters: the world and the rights that were missing. Leaves: one sentence each, without repetition. Never: judges what follows from it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Ask;
use crate::collect::once::Missing;
use crate::snapshot::{Observed, Snapshot, Source, Unknown};

/// Nothing has one of these names.
pub(super) fn no_target(ask: &Ask) -> String {
    let place =
        ask.namespace.as_ref().map_or_else(|| "in any namespace".to_owned(), |namespace| format!("in namespace {namespace}"));
    format!(
        "there is no Ingress of GKE's named {} {place}: a Service with a standalone NEG is named service.NAME, -A looks everywhere, and a \
         folder is written with a /",
        ask.names.join(" or ")
    )
}

/// Why the facts of a group are missing.
pub(super) fn not_in_time(ask: &Ask) -> String {
    format!("not read within {} s at {} reads a minute", ask.timeout.as_secs(), ask.settings.reads_per_minute)
}

/// How much is missing for that reason.
pub(super) fn late((late, all): (usize, usize), ask: &Ask, took: Duration) -> String {
    format!(
        "{late} of {all} groups of endpoints were not read within {} s, the limit is compute.readsPerMinute={}: what rests on them is \
         inconclusive, --timeout waits longer",
        took.as_secs(),
        ask.settings.reads_per_minute
    )
}

/// What could not be read.
pub(super) fn not_readable(snapshot: &Snapshot, missing: &[Missing]) -> Vec<String> {
    let mut said: Vec<String> = missing.iter().map(right).collect();
    let other = |why: &&Unknown| !matches!(&*why.reason, "Forbidden" | "NotRead");
    let unread = snapshot.kubernetes.unread();
    said.extend(unread.iter().filter(other).map(|why| format!("{} cannot be read: {}", why.resource, words(why))));
    said.extend(compute(snapshot));
    if let Observed::Unknown(why) = &snapshot.cluster
        && &*why.reason != "NotRead"
        // Said already.
        && !said.iter().any(|sentence| sentence.contains(&*why.message))
    {
        said.push(format!("the Container API does not tell about the cluster: {}", words(why)));
    }
    said
}

/// A missing right, as one grants it.
fn right(missing: &Missing) -> String {
    let (plural, group) = missing.resource.split_once('.').unwrap_or((&missing.resource, ""));
    let place = match &*missing.namespace {
        "" => "in the whole cluster".to_owned(),
        namespace => format!("in namespace {namespace}"),
    };
    format!(
        "{} cannot be read: it takes the right to list {plural} of API group {group:?} {place}; what rests on them is inconclusive",
        missing.resource
    )
}

/// What the Compute API did not give, each reason once.
fn compute(snapshot: &Snapshot) -> Vec<String> {
    let mut kinds: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (collection, why) in &snapshot.compute.unread {
        if why.source == Source::Compute && &*why.reason != "NotRead" {
            // The message of a refusal names the kind, so it stands for its like.
            let message = if &*why.reason == "forbidden" { "" } else { &*why.message };
            kinds.entry((&why.reason, message)).or_default().push(collection);
        }
    }
    let all = crate::snapshot::compute::COLLECTIONS.len();
    kinds
        .into_iter()
        .map(|((reason, message), collections)| {
            let what = if collections.len() == all { "anything".to_owned() } else { collections.join(", ") };
            let message = match (reason, message) {
                ("NoCredentials", message) => {
                    format!("{message}; `gcloud auth application-default login` makes some")
                }
                ("forbidden", _) => {
                    let first = collections.first().and_then(|collection| snapshot.compute.unread.get(*collection));
                    let message = first.map(|why| &*why.message).unwrap_or_default();
                    format!("{message}; roles/compute.viewer has what it takes")
                }
                (reason, "") => reason.to_owned(),
                (_, message) => message.to_owned(),
            };
            format!("Compute Engine does not give {what}: {message}")
        })
        .collect()
}

fn words(why: &Unknown) -> &str {
    if why.message.is_empty() { &why.reason } else { &why.message }
}

#[cfg(test)]
mod tests {
    use super::{Missing, Snapshot, Source, Unknown, not_readable};
    use crate::snapshot::Observed;
    use crate::snapshot::compute::COLLECTIONS;

    #[test]
    fn a_missing_right_is_named_as_one_grants_it() {
        let missing = [
            Missing { resource: "pods".to_owned(), namespace: "shop".to_owned() },
            Missing { resource: "networkpolicies.networking.k8s.io".to_owned(), namespace: String::new() },
        ];
        let said = not_readable(&Snapshot::default(), &missing);
        assert!(said[0].contains("the right to list pods of API group \"\" in namespace shop"), "{said:?}");
        assert!(said[1].contains("list networkpolicies of API group \"networking.k8s.io\" in the whole cluster"), "{said:?}");
    }

    #[test]
    fn what_google_does_not_give_is_said_once() {
        let mut snapshot = Snapshot::default();
        for collection in COLLECTIONS {
            let why = Unknown::new(Source::Compute, *collection, "NoCredentials", "no Google credentials");
            snapshot.compute.unread.insert((*collection).into(), why);
        }
        snapshot.cluster =
            Observed::Unknown(Unknown::new(Source::Container, "clusters", "NoCredentials", "no Google credentials"));
        let said = not_readable(&snapshot, &[]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("Compute Engine does not give anything: no Google credentials; "), "{said:?}");

        let mut snapshot = Snapshot::default();
        for collection in ["firewalls", "subnetworks"] {
            let message = format!("Required 'compute.{collection}.list' permission");
            snapshot.compute.unread.insert(collection.into(), Unknown::new(Source::Compute, collection, "forbidden", message));
        }
        let said = not_readable(&snapshot, &[]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("Compute Engine does not give firewalls, subnetworks: Required 'compute.firewalls.list'"),
            "{said:?}"
        );
    }
}
