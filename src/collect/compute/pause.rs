//! Leaving the whole project alone after it asked for it, or was unwell.
//! Enters: failures and successes. Leaves: until when nothing is asked. Never: is cut short by what was under way already.

use std::time::Duration;

use tokio::time::Instant;

use crate::collect::backoff::Backoff;

/// The first pause and the longest; each is between half and all of it, so that two processes do not come back together.
const PAUSE: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(120));

/// When the project is asked again.
#[derive(Debug)]
pub(super) struct Pause {
    backoff: Backoff,
    until: Option<Instant>,
}

impl Pause {
    pub(super) fn new() -> Self {
        Self { backoff: Backoff::new(PAUSE.0, PAUSE.1), until: None }
    }

    /// Until when nothing may be asked.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// A read has failed. `retry_after`: what the API asked for, which is the least.
    pub(super) fn begin(&mut self, retry_after: Option<Duration>, now: Instant) {
        if self.until(now).is_some() && retry_after.is_none() {
            // The reads that were under way fail together: that is one failure, not many.
            return;
        }
        let wait = self.backoff.next().max(retry_after.unwrap_or_default());
        self.until = self.until.max(Some(now + wait));
    }

    /// A read has ended well: the next pause is a short one again.
    pub(super) fn reset(&mut self) {
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Pause;

    #[test]
    fn what_the_api_asks_for_is_the_least_and_failures_together_are_one() {
        let now = Instant::now();
        let mut pause = Pause::new();
        assert_eq!(pause.until(now), None);
        pause.begin(None, now);
        let first = pause.until(now).expect("a pause");
        assert!(first - now <= Duration::from_secs(4));
        pause.begin(None, now);
        assert_eq!(pause.until(now), Some(first));
        pause.begin(Some(Duration::from_secs(40)), now);
        assert_eq!(pause.until(now), Some(now + Duration::from_secs(40)));
        pause.begin(Some(Duration::from_secs(20)), now);
        assert_eq!(pause.until(now), Some(now + Duration::from_secs(40)), "never sooner than asked for");
        assert_eq!(pause.until(now + Duration::from_secs(40)), None);
    }
}
