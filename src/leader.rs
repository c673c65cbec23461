//! Who writes: one Lease, hard deadlines.
//!
//! Enters: a Lease that several processes share. Leaves: whether this one may write now. Never: believes longer than the deadline: a leader
//! that cannot renew stops before another one may begin. The holder's clock is not read; as client-go does, a Lease counts as expired
//! when it has not changed for its duration on our own clock.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::collect::words;

/// How long a Lease is valid without a renewal.
const DURATION: Duration = Duration::from_secs(15);
/// Without a renewal for this long the leader stops: well before another may begin.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Between two attempts.
const RETRY: Duration = Duration::from_secs(2);
/// No request may take longer.
const REQUEST: Duration = Duration::from_secs(5);

/// A version of the Lease.
struct Seen {
    version: String,
    /// Since when it is known, on our clock.
    since: Instant,
    /// How long it is valid.
    duration: Duration,
}

impl Seen {
    fn expires(&self) -> Instant {
        self.since + self.duration
    }
}

/// A candidate for the Lease.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    /// The Lease as it was seen last.
    seen: Option<Seen>,
    renewed: Option<Instant>,
    /// The last attempt failed, and that was said.
    failing: bool,
}

impl Candidate {
    /// A candidate with an identity that no other process has.
    pub fn new(client: kube::Client, namespace: &str, name: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            seen: None,
            renewed: None,
            failing: false,
        }
    }

    /// Runs for leadership until `shutdown`; `leads` says whether this process may write. On the way out the Lease is given back.
    pub async fn run(mut self, leads: watch::Sender<bool>, mut shutdown: watch::Receiver<bool>) {
        loop {
            // The Lease counts from some moment after this one.
            let started = Instant::now();
            let deadline = self.renewed.map(|renewed| renewed + RENEW_DEADLINE);
            let attempt = tokio::select! {
                attempt = timeout(REQUEST, self.attempt()) => Some(attempt),
                () = at(deadline) => None,
                _ = shutdown.wait_for(|shutdown| *shutdown) => break,
            };
            match attempt {
                Some(Ok(Ok(Holder::Ours))) => {
                    self.renewed = Some(started);
                    self.failing = false;
                }
                Some(Ok(Ok(Holder::Another))) => {
                    self.renewed = None;
                    self.failing = false;
                }
                // Who has it will be seen at the next attempt.
                Some(Ok(Ok(Holder::Contested))) => {}
                None => self.renewed = None,
                Some(Ok(Err(error))) => self.report(&words(&error)),
                Some(Err(_)) => self.report("no answer from the API server"),
            }
            let deadline = self.renewed.map(|renewed| renewed + RENEW_DEADLINE);
            set(&leads, deadline.is_some_and(|deadline| Instant::now() < deadline), &self.identity);
            tokio::select! {
                () = sleep_until(self.next_attempt()) => {}
                () = at(deadline) => set(&leads, false, &self.identity),
                _ = shutdown.wait_for(|shutdown| *shutdown) => break,
            }
        }
        let led = *leads.borrow();
        set(&leads, false, &self.identity);
        if led && timeout(REQUEST, self.release()).await.is_err() {
            tracing::warn!(lease = %self.name, "the Lease could not be given back in time");
        }
    }

    /// When to try again: at the latest as soon as another's Lease expires.
    fn next_attempt(&self) -> Instant {
        let retry = Instant::now() + RETRY;
        let expires = self.seen.as_ref().map(Seen::expires).filter(|expires| self.renewed.is_none() && *expires > Instant::now());
        expires.map_or(retry, |expires| expires.min(retry))
    }

    /// Says once that the Lease is out of reach, until it is not.
    fn report(&mut self, why: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(lease = %self.name, "the Lease cannot be read or renewed: {why}");
        }
    }

    /// One try to get or to keep the Lease.
    async fn attempt(&mut self) -> Result<Holder, kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                spec: Some(self.spec(None)),
            };
            return whose(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let duration =
            spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(DURATION, Duration::from_secs);
        let since = self.seen.as_ref().filter(|seen| seen.version == version).map_or_else(Instant::now, |seen| seen.since);
        let expired = self.seen.insert(Seen { version, since, duration }).expires() <= Instant::now();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if !holder.is_empty() && holder != self.identity && !expired {
            return Ok(Holder::Another);
        }
        lease.spec = Some(self.spec(Some(&spec)));
        whose(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let ours = before.is_some_and(|before| before.holder_identity.as_deref() == Some(&self.identity));
        let transitions = before.and_then(|before| before.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: before.filter(|_| ours).and_then(|before| before.acquire_time.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if ours { transitions } else { transitions.saturating_add(i32::from(before.is_some())) }),
            ..LeaseSpec::default()
        }
    }

    /// Gives the Lease back, so that another process need not wait.
    async fn release(&self) {
        let Ok(Some(mut lease)) = self.api.get_opt(&self.name).await else { return };
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity)) else {
            return;
        };
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        if let Err(error) = self.api.replace(&self.name, &PostParams::default(), &lease).await {
            tracing::warn!(lease = %self.name, "the Lease could not be given back: {}", words(&error));
        }
    }
}

/// Waits for a moment; for ever when there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Whose the Lease is after an attempt.
enum Holder {
    Ours,
    Another,
    /// Somebody wrote it at the same time.
    Contested,
}

fn whose(written: Result<Lease, kube::Error>) -> Result<Holder, kube::Error> {
    match written {
        Ok(_) => Ok(Holder::Ours),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Holder::Contested),
        Err(error) => Err(error),
    }
}

fn set(leads: &watch::Sender<bool>, leading: bool, identity: &str) {
    leads.send_if_modified(|leads| {
        let changed = *leads != leading;
        if changed {
            tracing::info!(leading, identity, "leadership changed");
        }
        *leads = leading;
        changed
    });
}
