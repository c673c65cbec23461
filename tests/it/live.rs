//! The controller as its users have it: the built program, as its own ServiceAccount, on a real API server.

mod cluster;
mod equivalence;
mod played;
mod product;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Google, Pods, World};

/// The namespace and the name of the program's ServiceAccount in `manifests/`.
const OWN: &str = "ingress-diagnosis";

/// Longest wait for anything, on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// The program's settings: the stand-ins in the place of Google and of the pods.
fn settings(world: &World, google: &Google, pods: Option<&Pods>) -> Value {
    let cluster = &world.meta.cluster;
    json!({
        "project": world.meta.project,
        "cluster": {"name": cluster.name, "location": cluster.location},
        "compute": {"endpoint": google.url(), "readsPerMinute": 6000},
        "container": {"endpoint": google.url()},
        "credentials": "anonymous",
        "probe": {"enabled": pods.is_some(), "connectTo": pods.map(Pods::connect_to).unwrap_or_default()},
        "server": {"listen": "127.0.0.1:0"},
        "leaderElection": {"namespace": OWN},
    })
}

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
