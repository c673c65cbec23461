//! The controller as its users have it: the built program, as its own ServiceAccount, on a real API server.

mod captured;
mod changes;
mod cluster;
mod commands;
mod costs;
mod dashboards;
mod equivalence;
mod events;
mod interrupted;
mod leadership;
mod oneshot;
mod played;
mod product;
mod prometheus;
mod proxied;
mod restart;
mod rights;
mod stage;
mod start;

use std::time::{Duration, Instant};

/// The namespace and the name of the program's ServiceAccount in `manifests/`.
const OWN: &str = "ingress-diagnosis";

/// Longest wait for anything, on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// Waits until `look` gives something; says what it saw last when it does not.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(saw) if start.elapsed() > LIMIT => panic!("waited {} s in vain until {what}: {saw}", LIMIT.as_secs()),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
