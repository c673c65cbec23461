//! The Container API's word about the cluster: is the load balancing add-on on, and whose network is it.
//!
//! Enters: project, name and location of the cluster. Leaves: `cluster` of the world. Never: takes a refusal for "there is no add-on";
//! forgets an answer because a later one did not come, unless it was a refusal.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use super::backoff::Backoff;
use super::credentials::Credentials;
use super::tape::Tape;
use super::world::{Change, World};
use crate::snapshot::{Cluster, Observed, Source, Unknown};

/// How often the add-on's switch is looked at.
const INTERVAL: Duration = Duration::from_secs(180);

const RETRY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(120));

/// How soon the name of the cluster is looked for again.
const NOT_NAMED: Duration = Duration::from_secs(1);

const TIMEOUT: Duration = Duration::from_secs(15);

/// The fields that are read, which keeps the answer small.
const FIELDS: &str = "name,location,network,networkConfig(network,subnetwork,datapathProvider),\
                      networkPolicy.enabled,nodePools.config.tags,addonsConfig.httpLoadBalancing.disabled";

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    /// The API said no, and will say so again.
    refused: bool,
    reason: String,
    message: String,
}

/// Reads for ever, while active.
pub(super) async fn run(
    world: Arc<World>,
    endpoint: String,
    credentials: Arc<Credentials>,
    tape: Option<Tape>,
    mut active: watch::Receiver<bool>,
) {
    let client = match reqwest::Client::builder().user_agent(super::USER_AGENT_NAME).timeout(TIMEOUT).build() {
        Ok(client) => client,
        Err(error) => {
            fail(&world, &Failure { refused: true, reason: "NoClient".to_owned(), message: error.to_string() });
            return;
        }
    };
    let endpoint = endpoint.trim_end_matches('/');
    let mut retry = Backoff::new(RETRY.0, RETRY.1);
    let mut reported = None;
    while active.wait_for(|active| *active).await.is_ok() {
        let wait = match cluster_path(&world) {
            None => NOT_NAMED,
            Some(path) => match read(&client, &format!("{endpoint}/v1/{path}"), &credentials).await {
                Ok((cluster, answer)) => {
                    retry.reset();
                    reported = None;
                    if let Some(tape) = &tape {
                        tape.cluster(answer);
                    }
                    keep(&world, cluster);
                    INTERVAL
                }
                Err(failure) => {
                    fail(&world, &failure);
                    if reported.as_ref() != Some(&failure) {
                        tracing::warn!(reason = failure.reason, "cannot read the cluster: {}", failure.message);
                        reported = Some(failure);
                    }
                    retry.next()
                }
            },
        };
        // Whoever stops being active and is so again shall not wait for the rest of an interval, and what was read says nothing then.
        let stopped = active.wait_for(|active| !*active);
        if tokio::time::timeout(wait, stopped).await.is_ok() {
            forget(&world);
        }
    }
}

fn cluster_path(world: &World) -> Option<String> {
    let snapshot = world.read();
    let meta = &snapshot.meta;
    let known = !meta.project.is_empty() && !meta.cluster_name.is_empty() && !meta.cluster_location.is_empty();
    known.then(|| format!("projects/{}/locations/{}/clusters/{}", meta.project, meta.cluster_location, meta.cluster_name))
}

/// The cluster, and the answer that says so.
async fn read(client: &reqwest::Client, url: &str, credentials: &Credentials) -> Result<(Cluster, Value), Failure> {
    let broken = |reason: &str, message: String| Failure { refused: false, reason: reason.to_owned(), message };
    let headers = credentials.headers().await.map_err(|error| broken("NoCredentials", error.to_string()))?;
    let answer = client.get(format!("{url}?fields={FIELDS}")).headers(headers).send().await;
    let answer = answer.map_err(|error| broken("Unreachable", error.without_url().to_string()))?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(|error| broken("Unreachable", error.without_url().to_string()))?;
    if status.is_success() {
        let answer: Value = serde_json::from_slice(&body).map_err(|error| broken("Malformed", error.to_string()))?;
        let cluster = Cluster::deserialize(&answer).map_err(|error| broken("Malformed", error.to_string()))?;
        return Ok((cluster, answer));
    }
    Err(refusal(status, &body))
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    #[derive(Deserialize)]
    struct Answer {
        error: Words,
    }
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Words {
        status: String,
        message: String,
    }
    let words = serde_json::from_slice::<Answer>(body).map(|answer| answer.error).unwrap_or_default();
    let reason = match status {
        StatusCode::FORBIDDEN => "forbidden".to_owned(),
        StatusCode::NOT_FOUND => "notFound".to_owned(),
        _ if words.status.is_empty() => status.as_str().to_owned(),
        _ => words.status,
    };
    let refused = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::UNAUTHORIZED;
    let message = if words.message.is_empty() { format!("HTTP status {status}") } else { words.message };
    Failure { refused, reason, message }
}

fn keep(world: &World, cluster: Cluster) {
    world.edit(|snapshot| {
        let cluster = Observed::Present(cluster);
        if snapshot.cluster == cluster {
            return Change::Nothing;
        }
        snapshot.cluster = cluster;
        Change::Everything
    });
}

fn forget(world: &World) {
    world.edit(|snapshot| {
        snapshot.cluster = Observed::default();
        Change::Everything
    });
}

fn fail(world: &World, failure: &Failure) {
    world.edit(|snapshot| {
        if matches!(snapshot.cluster, Observed::Present(_)) && !failure.refused {
            return Change::Nothing;
        }
        let why = Unknown::new(Source::Container, "clusters", &*failure.reason, &*failure.message);
        let why = Observed::Unknown(why);
        if snapshot.cluster == why {
            return Change::Nothing;
        }
        snapshot.cluster = why;
        Change::Everything
    });
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde_json::json;

    use super::{Credentials, read};
    use crate::collect::CredentialsMode;

    async fn serve(status: StatusCode, body: serde_json::Value) -> String {
        let router = Router::new().route("/{*path}", get(move || async move { (status, body.to_string()) }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1/projects/p/locations/l/clusters/c", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    #[tokio::test]
    async fn the_switch_and_the_refusal_are_told_apart() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::new();
        let credentials = Credentials::new(CredentialsMode::Anonymous);

        let url = serve(StatusCode::OK, json!({"addonsConfig": {"httpLoadBalancing": {"disabled": true}}})).await;
        let (cluster, _) = read(&client, &url, &credentials).await.expect("an answer");
        assert!(cluster.addons_config.http_load_balancing.disabled);

        let body = json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "no"}});
        let failure = read(&client, &serve(StatusCode::FORBIDDEN, body).await, &credentials).await.expect_err("refused");
        assert_eq!((failure.refused, failure.reason.as_str(), failure.message.as_str()), (true, "forbidden", "no"));

        let failure = read(&client, &serve(StatusCode::BAD_GATEWAY, json!("?")).await, &credentials).await.expect_err("broken");
        assert!(!failure.refused);
    }
}
