//! How far it is, on one line that is painted over.
//!
//! Enters: progress. Leaves: a line on stderr, while that is a terminal; nothing when it is done. Never: writes to a file or a pipe.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

use crate::oneshot::Progress;

/// No eye follows faster.
const PACE: Duration = Duration::from_millis(100);

/// Erases the line.
const CLEAR: &str = "\r\u{1b}[2K";

pub(super) struct Line {
    on: bool,
    painted: Option<Instant>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { on: stderr().is_terminal(), painted: None }
    }

    pub(super) fn paint(&mut self, progress: &Progress) {
        if !self.on || self.painted.is_some_and(|at| at.elapsed() < PACE) {
            return;
        }
        let _ = write!(stderr(), "{CLEAR}{}", words(progress));
        self.painted = Some(Instant::now());
    }

    /// Leaves the line as if nothing had been there.
    pub(super) fn clear(&mut self) {
        if self.painted.take().is_some() {
            let _ = write!(stderr(), "{CLEAR}");
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.clear();
    }
}

fn words(progress: &Progress) -> String {
    let Progress { lists, objects, groups, requests } = progress;
    format!(
        "cluster: {} of {} lists, {objects} objects; Compute Engine: {requests} reads, {} of {} groups of endpoints",
        lists.0, lists.1, groups.0, groups.1
    )
}

#[cfg(test)]
mod tests {
    use super::{Progress, words};

    #[test]
    fn it_fits_a_line() {
        let progress = Progress { lists: (15, 17), objects: 12_345, groups: (138, 300), requests: 150 };
        let line = words(&progress);
        assert!(line.starts_with("cluster: 15 of 17 lists, 12345 objects"), "{line}");
        assert!(line.contains("150 reads, 138 of 300 groups"), "{line}");
    }
}
