//! Time that passes changes no words.

use ingress_diagnosis::publish::status::{self, Context};
use ingress_diagnosis::snapshot::Snapshot;
use jiff::ToSpan;

use crate::world;

/// The texts of every status of a snapshot, with the codes that they are about.
fn told(snapshot: &Snapshot) -> Vec<(String, String)> {
    let context = Context { now: jiff::Timestamp::UNIX_EPOCH, generation: None, docs: "" };
    let tell = |diagnosis| {
        let mut status = status::status(&diagnosis, None, context);
        let codes = status.findings.iter().flat_map(|root| {
            let below: Vec<_> = root.symptoms.iter().map(|symptom| symptom.code.clone()).collect();
            std::iter::once(root.code.clone()).chain(below)
        });
        let about = format!("{} {}: {:?}", diagnosis.target.namespace, diagnosis.target.name, codes.collect::<Vec<_>>());
        // They stay as they are in a status that stands.
        (status.since, status.compute_facts_at) = (None, None);
        (about, serde_json::to_string_pretty(&status).unwrap())
    };
    world::diagnoses(snapshot).into_iter().map(tell).collect()
}

/// A status that tells how long something lasts would have to be written again and again.
#[test]
fn an_unchanged_world_is_told_in_the_same_words_a_while_later() {
    for folder in world::folders() {
        let mut snapshot = world::snapshot(&folder);
        let before = told(&snapshot);
        snapshot.meta.taken_at = snapshot.meta.taken_at.checked_add(61.seconds()).unwrap();
        for ((was, before), (is, after)) in before.into_iter().zip(told(&snapshot)) {
            // What is found may well change: a time of grace is over.
            if was == is {
                assert_eq!(before, after, "{}: {is}", world::name(&folder));
            }
        }
    }
}
