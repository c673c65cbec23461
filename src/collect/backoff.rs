//! Waiting times that grow with every failure and are never the same for two processes.
//! Enters: bounds. Leaves: the next waiting time. Never: sleeps by itself.

use std::time::Duration;

/// Doubles from `first` to `longest`; each wait is between half and all of that.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The next waiting time.
    pub(super) fn next(&mut self) -> Duration {
        let full = self.first.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + 0.5 * fastrand::f64())
    }

    /// All is well again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn it_grows_to_its_bound_and_starts_again() {
        let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(60));
        for full in [2, 4, 8, 16, 32, 60, 60] {
            let wait = backoff.next();
            assert!(wait <= Duration::from_secs(full) && wait * 2 >= Duration::from_secs(full), "{wait:?} of {full} s");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(2));
    }
}
