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

/// Requests that may be sent at once: one per list, and some groups. The rest of the budget comes drop by drop, so that something urgent
/// never finds a minute's worth used up a moment ago.
const BURST: usize = 16;

/// A bucket that fills drop by drop, and a log of the last minute that has the last word.
#[derive(Debug)]
pub(super) struct Budget {
    per_minute: usize,
    burst: usize,
    drop: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    sent: VecDeque<Instant>,
    /// When the bucket is full again.
    full_at: Instant,
}

impl Budget {
    /// At least one request a minute is always allowed. Must be called within Tokio.
    pub(super) fn new(per_minute: u32) -> Self {
        let allowed = per_minute.max(1);
        let per_minute = usize::try_from(allowed).unwrap_or(usize::MAX);
        let burst = BURST.min(per_minute / 2).max(1);
        let dripping = allowed.saturating_sub(u32::try_from(burst).unwrap_or(allowed)).max(1);
        let state = State { sent: VecDeque::new(), full_at: Instant::now() };
        Self { per_minute, burst, drop: WINDOW / dripping, state: Mutex::new(state) }
    }

    /// For whoever reads once and goes: a minute's worth may be sent at once, and no more in any minute all the same.
    pub(super) fn for_once(per_minute: u32) -> Self {
        let budget = Self::new(per_minute);
        Self { burst: budget.per_minute, drop: WINDOW / per_minute.max(1), ..budget }
    }

    /// Requests allowed per minute.
    pub(super) fn per_minute(&self) -> usize {
        self.per_minute
    }

    /// Waits until one more request may be sent, and counts it. Whoever waits first is served first.
    pub(super) async fn acquire(&self) {
        // Held while waiting: the lock is what makes the queue.
        let mut state = self.state.lock().await;
        let free = self.free_at(&state);
        // The timer's steps are of a millisecond: who need not wait shall not wait that long.
        if free > Instant::now() {
            tokio::time::sleep_until(free).await;
        }
        let now = Instant::now();
        state.full_at = state.full_at.max(now) + self.drop;
        state.sent.push_back(now);
        if state.sent.len() > self.per_minute {
            state.sent.pop_front();
        }
    }

    /// When the next request may be sent; a moment that has passed: at once.
    fn free_at(&self, state: &State) -> Instant {
        let now = Instant::now();
        let others = u32::try_from(self.burst - 1).unwrap_or_default();
        let by_bucket = state.full_at.checked_sub(self.drop * others).unwrap_or(now);
        let by_log = match state.sent.front() {
            Some(oldest) if state.sent.len() >= self.per_minute => *oldest + WINDOW,
            _ => now,
        };
        by_bucket.max(by_log)
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
    async fn most_of_the_budget_can_be_used_and_no_wait_is_long() {
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
        assert!(minutes < 11.6, "{minutes} minutes for ten minutes' worth of requests");
        assert!(longest <= Duration::from_secs(1), "{longest:?} without a request");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_once_need_not_wait_and_keeps_the_budget_all_the_same() {
        let budget = Budget::for_once(150);
        let start = Instant::now();
        let mut sent = Vec::new();
        for at in 0..400 {
            budget.acquire().await;
            sent.push(Instant::now());
            assert!(at >= 150 || start.elapsed() == Duration::ZERO, "request {at} waits");
        }
        assert!(most_in_a_minute(&sent) <= 150);
        assert!(start.elapsed() < Duration::from_secs(190), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_is_not_slowed_down() {
        let budget = Budget::new(150);
        let start = Instant::now();
        for _ in 0..16 {
            budget.acquire().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        budget.acquire().await;
        assert!(start.elapsed() > Duration::ZERO);
    }
}
