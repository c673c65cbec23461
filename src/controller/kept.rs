//! What is kept of a target between two looks at it.
//!
//! Enters: diagnoses, what they want to be read, the passing of time. Leaves: whether a diagnosis may be written, what the log says.
//! Never: reads or writes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::api::LastEvent;
use crate::diagnose::{Diagnosis, Verdict};
use crate::topology::TargetRef;
use crate::wanted::Wanted;

/// A diagnosis waits at most this long for facts that have not been read yet, unless a status stands that rests on such facts.
const PATIENCE: Duration = Duration::from_secs(20);

/// A status that stands waits at most this long for what cannot be read for the moment: whoever cannot by then shall say so.
const LONG_PATIENCE: Duration = Duration::from_secs(180);

/// What is kept of a target between two looks.
pub(super) struct Kept {
    pub(super) diagnosis: Arc<Diagnosis>,
    pub(super) wanted: Wanted,
    pub(super) awaits: Awaits,
    /// What was said in the log last.
    pub(super) logged: Option<Logged>,
    /// The event that was written last, or need not be.
    pub(super) told: Option<LastEvent>,
    /// It has to be looked at whether something is to be written.
    pub(super) due: bool,
    /// Why the last write failed.
    pub(super) failure: Option<WriteFailure>,
}

/// A write that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WriteFailure {
    pub(super) words: String,
    /// It is tried again no sooner.
    pub(super) retry: Instant,
}

/// Facts that a diagnosis waits for, with the moment since when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Awaits {
    /// What is listed whole, and what failed and may do better the next time.
    pub(super) lists: Option<Instant>,
    /// The health of a group that nobody has asked for so far.
    pub(super) groups: Option<Instant>,
    /// Answers of pods.
    pub(super) answers: Option<Instant>,
}

impl Awaits {
    /// What is missing now, of which some was missing before.
    pub(super) fn new(lists: bool, groups: bool, answers: bool, before: Self, now: Instant) -> Self {
        let since = |missing: bool, before: Option<Instant>| missing.then(|| before.unwrap_or(now));
        Self { lists: since(lists, before.lists), groups: since(groups, before.groups), answers: since(answers, before.answers) }
    }

    /// Something is missing.
    pub(super) fn any(self) -> bool {
        self.lists.is_some() || self.groups.is_some() || self.answers.is_some()
    }

    /// What is missing may still come. `stands`: there is a status, which is kept for so long. `asked`: every pod was asked, so that no
    /// answer will come any more.
    pub(super) fn must_wait(self, stands: bool, asked: bool) -> bool {
        let within = |since: Option<Instant>, limit: Duration| since.is_some_and(|since| since.elapsed() < limit);
        within(self.lists, if stands { LONG_PATIENCE } else { PATIENCE })
            || (stands && self.groups.is_some())
            || within(self.groups, PATIENCE)
            || (!asked && within(self.answers, PATIENCE))
    }
}

/// What a log line says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logged {
    verdict: Verdict,
    root_cause: Option<&'static str>,
    codes: BTreeSet<&'static str>,
}

impl Logged {
    pub(super) fn of(diagnosis: &Diagnosis) -> Self {
        Self {
            verdict: diagnosis.verdict,
            root_cause: diagnosis.root_cause,
            codes: diagnosis.findings.iter().flat_map(|root| root.all()).map(|found| found.rule.code).collect(),
        }
    }

    /// Says what is new and what is resolved; an unchanged target is silent, and so is one that was healthy from the first.
    pub(super) fn say(&self, target: &TargetRef, diagnosis: &Diagnosis, before: Option<&Self>) {
        if before == Some(self) || (before.is_none() && self.verdict == Verdict::Healthy && self.codes.is_empty()) {
            return;
        }
        let none = BTreeSet::new();
        let known = before.map_or(&none, |before| &before.codes);
        let list = |codes: Vec<&str>| codes.join(", ");
        tracing::info!(
            namespace = %target.namespace,
            kind = target.kind.as_str(),
            name = %target.name,
            verdict = self.verdict.as_str(),
            was = before.map_or("", |before| before.verdict.as_str()),
            root_cause = self.root_cause.unwrap_or_default(),
            new = list(self.codes.difference(known).copied().collect()),
            resolved = list(known.difference(&self.codes).copied().collect()),
            summary = %diagnosis.summary,
            "diagnosis changed"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::Awaits;

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_is_waited_for_and_not_for_ever() {
        let missing = |lists, groups, answers, before| Awaits::new(lists, groups, answers, before, Instant::now());
        let nothing = missing(false, false, false, Awaits::default());
        assert!(!nothing.any() && !nothing.must_wait(true, false));

        let start = missing(true, true, true, Awaits::default());
        assert!(start.must_wait(false, false));
        advance(Duration::from_secs(21)).await;
        let later = missing(true, true, true, start);
        assert_eq!(later, start);
        assert!(!later.must_wait(false, false), "a first status says what could not be seen");
        assert!(later.must_wait(true, false), "a standing one waits for what it rests on");
        assert!(missing(false, true, false, later).must_wait(true, true));

        let answers = missing(false, false, true, Awaits::default());
        assert!(answers.must_wait(true, false));
        assert!(!answers.must_wait(true, true), "no answer will come");
        advance(Duration::from_secs(160)).await;
        assert!(!missing(true, false, true, later).must_wait(true, false));
    }
}
