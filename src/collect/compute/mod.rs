//! The Compute Engine API, read on a budget.
//!
//! ```text
//!  want(groups, urgency) ─► Schedule ─► Budget ─► Client (Google's SDK) ─► apply ─► World
//!       lists of every kind ─►┘            └ 403 rateLimitExceeded, 429, 5xx: a pause for the whole project
//! ```
//!
//! Enters: which groups of endpoints matter, and how urgently. Leaves: the Compute part of the world, with the time at which each fact was
//! read, and counters. Never: sends more requests than the budget allows, pages and failed requests included; takes a failed read for an empty one; asks
//! anything while it is not active.

mod apply;
mod budget;
mod client;
mod convert;
mod failure;
mod pause;
mod read;
mod reader;
mod schedule;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::Notify;

pub(super) use client::Client;
pub(super) use reader::Reader;
use reader::{HOST_COLLECTIONS, host_projects, subject};
use schedule::Job;
pub use schedule::Urgency;

use super::guard;
use super::tape::Tape;
use crate::snapshot::Snapshot;

/// A group of endpoints whose health matters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Want {
    /// Path of the backend service: `projects/P/global/backendServices/B`. Not used for a network endpoint group.
    pub backend_service: Box<str>,
    /// Path of the group: `projects/P/zones/Z/networkEndpointGroups/G` or `…/instanceGroups/G`.
    pub group: Box<str>,
    /// How soon it is worth another read.
    pub urgency: Urgency,
}

/// Requests by method (`backendServices.aggregatedList`) and HTTP status, or `Timeout`, `Unreachable`, …
pub type RequestCounts = BTreeMap<(Box<str>, Box<str>), u64>;

/// Counters and gauges for whoever publishes metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComputeStats {
    /// Requests so far.
    pub requests: RequestCounts,
    /// Requests allowed per minute.
    pub budget: u32,
}

/// The handle: says what is wanted, and how far the reading is.
#[derive(Debug, Clone)]
pub struct ComputeReader {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    wanted_changed: Notify,
    requests: Mutex<RequestCounts>,
    /// The version of what is wanted of which everything was tried.
    tried: Mutex<Option<u64>>,
    budget: u32,
    /// What is read is taken down there.
    tape: OnceLock<Tape>,
}

#[derive(Debug, Default, Clone)]
struct Wanted {
    version: u64,
    groups: Vec<Want>,
    confirm: Vec<(Box<str>, Box<str>)>,
}

impl ComputeReader {
    fn new(budget: u32) -> Self {
        Self { shared: Arc::new(Shared { budget, ..Shared::default() }) }
    }

    /// From now on, what is read is taken down.
    pub(super) fn record(&self, tape: Tape) {
        // Whoever records does so from the first read on.
        let _ = self.shared.tape.set(tape);
    }

    /// Sets which groups are read, all of them: what is left out is not read any longer and its facts are forgotten.
    pub fn want(&self, groups: Vec<Want>) {
        let mut wanted = guard(&self.shared.wanted);
        if wanted.groups == groups {
            return;
        }
        wanted.groups = groups;
        wanted.version += 1;
        drop(wanted);
        self.shared.wanted_changed.notify_one();
    }

    /// Sets for which backend services `getHealth` of a network endpoint group is wanted beside its endpoints, all of them.
    pub fn confirm(&self, pairs: Vec<(Box<str>, Box<str>)>) {
        let mut wanted = guard(&self.shared.wanted);
        if wanted.confirm == pairs {
            return;
        }
        wanted.confirm = pairs;
        wanted.version += 1;
        drop(wanted);
        self.shared.wanted_changed.notify_one();
    }

    /// Whether every list and every group that is wanted was read or has failed: there is nothing more to wait for.
    pub fn caught_up(&self) -> bool {
        let wanted = guard(&self.shared.wanted).version;
        *guard(&self.shared.tried) == Some(wanted)
    }

    /// What was asked so far.
    pub fn stats(&self) -> ComputeStats {
        ComputeStats { requests: guard(&self.shared.requests).clone(), budget: self.shared.budget }
    }
}

/// Whether a host project of the cluster's network is known whose lists were neither read nor refused so far.
pub fn hosts_pending(snapshot: &Snapshot) -> bool {
    let compute = &snapshot.compute;
    let known = |project: &str, collection: &'static str| {
        let (own, suffix) = (format!("projects/{project}/"), format!("/{collection}"));
        let mut errors = compute.errors.iter().filter(|(path, _)| path.starts_with(&own) && path.ends_with(&suffix));
        compute.read_at.contains_key(&*subject(&Job::List { project: project.into(), collection }))
            || errors.any(|(_, error)| &*error.reason != "NotRead")
    };
    host_projects(snapshot).iter().any(|project| !HOST_COLLECTIONS.iter().all(|collection| known(project, collection)))
}
