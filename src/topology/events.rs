//! Which events of GKE's controllers still stand, and the names inside their texts.
//!
//! Enters: the events about one object, oldest first. Leaves: those that no later success contradicts.
//! Never: takes the absence of an event for a proof: events expire after an hour and are rate-limited per object.
//! Source: ingress-gce `pkg/events`, `pkg/recorders`; client-go `tools/record/events_cache.go`.

use jiff::{SignedDuration, Timestamp};

use crate::snapshot::kubernetes::{Event, ServiceNetworkEndpointGroup};

/// A failing sync is tried again with every resync (10 min) and by a back-off of at most 1000 s; a warning that was not repeated for this
/// long, while the controller has visibly synced the object since, is over.
const REPEATED_WITHIN: SignedDuration = SignedDuration::from_mins(20);

/// Of many events about one object only one in five minutes is kept (client-go, the recorder's spam filter): a warning may lag that much.
const DROPPED_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// The heartbeat of a handled Ingress: `Normal Sync "Scheduled for sync"`, at least every 10 minutes.
pub fn is_heartbeat(event: &Event) -> bool {
    &*event.reason == "Sync" && &*event.message == "Scheduled for sync"
}

/// A step of a sync that went well. `SSLPolicy updated` is written only when that update failed.
pub fn is_ingress_success(event: &Event) -> bool {
    if event.is_warning() || is_heartbeat(event) {
        return false;
    }
    match &*event.reason {
        "IPChanged" => true,
        "Sync" => {
            ["UrlMap ", "TargetProxy ", "ForwardingRule "].iter().any(|step| event.message.starts_with(step))
                && !event.message.contains("SSLPolicy")
        }
        _ => false,
    }
}

/// How far the sync came that a warning ended: a sync stops at its first error. `None` for a warning that does not end one.
/// Source: ingress-gce `pkg/controller/controller.go` (`sync`), `pkg/sync/sync.go`, `pkg/loadbalancers/l7s.go` (`Ensure`).
fn stage(event: &Event) -> Option<u8> {
    let said = |text: &str| event.message.contains(text);
    match &*event.reason {
        "Translate" => Some(0),
        "Sync" if said("error running backend syncing routine") => Some(1),
        "Sync" if said("error running load balancer syncing routine") && said(" does not exist: ") => Some(3),
        "Sync" if said("error running load balancer syncing routine") => Some(2),
        _ => None,
    }
}

/// The warnings on an Ingress that still stand, oldest first.
pub fn standing_on_ingress<'a>(events: &[&'a Event]) -> Vec<&'a Event> {
    let success = latest(events, is_ingress_success);
    let heartbeat = latest(events, is_heartbeat);
    // A later sync that came further found nothing wrong here any more.
    let passed = |event: &Event| {
        let further =
            |other: &Event| other.is_warning() && matches!((stage(event), stage(other)), (Some(at), Some(to)) if to > at);
        after(latest(events, further), event.last.map(|last| last + DROPPED_WITHIN))
    };
    events
        .iter()
        .copied()
        .filter(|event| event.is_warning() && !after(success, event.last) && !passed(event))
        .filter(|event| !matches!((heartbeat, event.last), (Some(beat), Some(last)) if beat > last + REPEATED_WITHIN))
        .collect()
}

/// The events on an Ingress, of whatever type, that were repeated as long as the controller synced the object, oldest first.
pub fn standing_notices<'a>(events: &[&'a Event]) -> Vec<&'a Event> {
    let heartbeat = latest(events, is_heartbeat);
    let over = |event: &Event| matches!((heartbeat, event.last), (Some(beat), Some(last)) if beat > last + REPEATED_WITHIN);
    events.iter().copied().filter(|event| !over(event)).collect()
}

/// The warnings on a Service about one of its NEGs (or about none in particular) that still stand, oldest first.
pub fn standing_on_service<'a>(events: &[&'a Event], svc_neg: Option<&ServiceNetworkEndpointGroup>) -> Vec<&'a Event> {
    let neg = svc_neg.map(|neg| &*neg.metadata.name);
    let synced = svc_neg
        .filter(|neg| neg.condition("Synced").is_some_and(crate::snapshot::kubernetes::Condition::is_true))
        .and_then(|neg| neg.status.last_sync_time);
    events
        .iter()
        .copied()
        .filter(|event| event.is_warning() && names_neg(event, neg))
        .filter(|event| {
            let succeeded = latest(events, |other| {
                !other.is_warning()
                    && matches!(&*other.reason, "Attach" | "Create" | "Detach" | "ExitDegradedMode")
                    && names_neg(other, neg)
            });
            // What concerns attaching is not contradicted by `Synced`, which covers computing the difference alone.
            let synced = if matches!(&*event.reason, "AttachFailed" | "DetachFailed") { None } else { synced };
            !after(succeeded, event.last) && !after(synced, event.last)
        })
        .collect()
}

/// An event that names another NEG in quotes is not about this one.
fn names_neg(event: &Event, neg: Option<&str>) -> bool {
    let (Some(neg), Some(named)) = (neg, between(&event.message, "NEG \"", "\"")) else { return true };
    neg == named
}

fn latest(events: &[&Event], which: impl Fn(&Event) -> bool) -> Option<Timestamp> {
    events.iter().filter(|event| which(event)).filter_map(|event| event.last).max()
}

fn after(success: Option<Timestamp>, failure: Option<Timestamp>) -> bool {
    matches!((success, failure), (Some(success), Some(failure)) if success > failure)
}

/// The text between two marks.
pub fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let from = text.find(start)? + start.len();
    let rest = text.get(from..)?;
    Some(&rest[..rest.find(end)?])
}

/// What stands behind the generic `loadbalancer X does not exist: `, which says nothing about existence.
pub fn without_wrapper(message: &str) -> &str {
    match message.find(" does not exist: ") {
        Some(at) if message[..at].contains("loadbalancer ") => &message[at + " does not exist: ".len()..],
        _ => message,
    }
}

/// The 404 on a network endpoint group that the first minutes of an Ingress always bring.
pub fn is_neg_not_found(message: &str) -> bool {
    message.contains("/networkEndpointGroups/") && message.contains("was not found")
}

/// A race at the birth of a NEG, harmless.
pub fn is_neg_birth_race(message: &str) -> bool {
    message.contains("failed to ensure svc neg cr") && message.contains("already exists")
}
