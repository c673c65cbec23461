//! How many requests a minute may be sent.
//!
//! Enters: a number of requests a minute. Leaves: leave to send one, when its time has come. Never: more than that number within any
//! window of 60 seconds, whatever the window's start; a long silence is not saved up beyond it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// A little more than the minute that the quota speaks of: a request leaves some moments after it was given leave.
const WINDOW: Duration = Duration::from_secs(62);

/// The budget is spread out, so that something urgent never waits for most of a minute.
const SPREAD: Duration = Duration::from_secs(10);

/// The first requests of a start are sent at once: one per list, and some groups.
const START: usize = 16;

/// A log of the requests of the last minute.
#[derive(Debug)]
pub(super) struct Budget {
    per_minute: usize,
    per_spread: usize,
    sent: Mutex<VecDeque<Instant>>,
}

impl Budget {
    /// At least one request a minute is always allowed.
    pub(super) fn new(per_minute: u32) -> Self {
        let per_minute = usize::try_from(per_minute).unwrap_or(usize::MAX).max(1);
        let per_spread = (per_minute / 5).max(START).min(per_minute);
        Self { per_minute, per_spread, sent: Mutex::default() }
    }

    /// Requests allowed per minute.
    pub(super) fn per_minute(&self) -> usize {
        self.per_minute
    }

    /// Waits until one more request may be sent, and counts it. Whoever waits first is served first.
    pub(super) async fn acquire(&self) {
        // Held while waiting: the lock is what makes the queue.
        let mut sent = self.sent.lock().await;
        loop {
            let now = Instant::now();
            while sent.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
                sent.pop_front();
            }
            match self.free_at(&sent).filter(|free| *free > now) {
                Some(free) => tokio::time::sleep_until(free).await,
                None => {
                    sent.push_back(now);
                    return;
                }
            }
        }
    }

    /// When the next request may be sent; `None`: at once.
    fn free_at(&self, sent: &VecDeque<Instant>) -> Option<Instant> {
        let bound = |count: usize, window: Duration| {
            let oldest = sent.len().checked_sub(count)?;
            sent.get(oldest).map(|at| *at + window)
        };
        bound(self.per_minute, WINDOW).max(bound(self.per_spread, SPREAD))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Budget;

    /// The most requests that lie within one window of a minute.
    fn most_in_a_minute(sent: &[Instant]) -> usize {
        let minute = Duration::from_secs(60);
        sent.iter()
            .enumerate()
            .map(|(index, start)| sent[index..].iter().take_while(|at| at.duration_since(*start) < minute).count())
            .max()
            .unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_of_a_minute_holds_more_than_the_budget() {
        for seed in 0..40 {
            fastrand::seed(seed);
            let per_minute = fastrand::u32(1..300);
            let budget = Arc::new(Budget::new(per_minute));
            let mut sent = Vec::new();
            for _ in 0..usize::try_from(per_minute).unwrap() * 4 {
                // Bursts, trickles and silences, each of random length.
                if fastrand::u8(..) < 20 {
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..90_000))).await;
                }
                budget.acquire().await;
                sent.push(Instant::now());
                if fastrand::bool() {
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..200))).await;
                }
            }
            let most = most_in_a_minute(&sent);
            assert!(most <= per_minute as usize, "{most} of {per_minute} within a minute, seed {seed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_can_be_used_up_and_the_longest_wait_is_short() {
        let budget = Budget::new(150);
        let start = Instant::now();
        let mut last = start;
        let mut longest = Duration::ZERO;
        for _ in 0..1500 {
            budget.acquire().await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        let minutes = start.elapsed().as_secs_f64() / 60.0;
        assert!(minutes < 10.0, "{minutes} minutes for ten minutes' worth of requests");
        assert!(longest <= Duration::from_secs(15), "{longest:?} without a request");
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_is_not_slowed_down() {
        let budget = Budget::new(20);
        let start = Instant::now();
        for _ in 0..16 {
            budget.acquire().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
