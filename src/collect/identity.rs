//! Which project and cluster this is.
//!
//! Enters: settings, the metadata server, the nodes. Leaves: `meta` of the world. Never: overrules a setting; gives up while the project
//! is not known.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::world::{Change, World};
use super::{CredentialsMode, Settings};
use crate::snapshot::Meta;

const TIMEOUT: Duration = Duration::from_secs(3);

/// How often an incomplete answer is sought again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

const REGION_LABEL: &str = "topology.kubernetes.io/region";

/// Finds out, then ends.
pub(super) async fn run(world: Arc<World>, settings: Settings) {
    let mut found = Found::of(&settings);
    // Stand-ins have no metadata server, and on a workstation it would be another project's.
    let metadata = match settings.credentials {
        CredentialsMode::Default => Metadata::new(),
        CredentialsMode::Anonymous => None,
    };
    let mut retry = Backoff::new(RETRY.0, RETRY.1);
    let mut reported = false;
    loop {
        if let Some(metadata) = &metadata {
            metadata.fill(&mut found).await;
        }
        found.fill_from_nodes(&world, &Found::default());
        found.publish(&world);
        let Found { project, cluster_name, cluster_location } = &found;
        if !project.is_empty() && !cluster_name.is_empty() && !cluster_location.is_empty() {
            tracing::info!(%project, cluster = %cluster_name, location = %cluster_location, "this is the cluster");
            return;
        }
        let wait = retry.next();
        if wait > RETRY.1 / 2 && !std::mem::replace(&mut reported, true) {
            tracing::warn!(
                %project,
                cluster = %cluster_name,
                location = %cluster_location,
                "project, name or location of the cluster is not known: set project, cluster.name and cluster.location"
            );
        }
        tokio::time::sleep(wait).await;
    }
}

/// What is known so far; empty is not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    project: String,
    cluster_name: String,
    cluster_location: String,
}

/// What `gcloud container clusters get-credentials` calls a context: `gke_PROJECT_LOCATION_CLUSTER`.
pub(super) fn of_context(name: &str) -> Option<Found> {
    let [project, location, cluster] = name.strip_prefix("gke_")?.split('_').collect::<Vec<_>>().try_into().ok()?;
    let whole = [project, location, cluster].iter().all(|part| !part.is_empty());
    whole.then(|| Found { project: project.to_owned(), cluster_name: cluster.to_owned(), cluster_location: location.to_owned() })
}

impl Found {
    /// What is set.
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            project: settings.project.clone(),
            cluster_name: settings.cluster_name.clone(),
            cluster_location: settings.cluster_location.clone(),
        }
    }

    /// Project, name, location.
    pub(super) fn into_parts(self) -> (String, String, String) {
        (self.project, self.cluster_name, self.cluster_location)
    }

    /// The rest from the metadata server, which stand-ins do not have.
    pub(super) async fn fill_from_metadata(&mut self, credentials: CredentialsMode) {
        if credentials == CredentialsMode::Default
            && let Some(metadata) = Metadata::new()
        {
            metadata.fill(self).await;
        }
    }

    /// The rest from the nodes and, where it speaks of the same project, from the context's name, which is more exact than they are.
    pub(super) fn fill_from_nodes(&mut self, world: &World, context: &Self) {
        let snapshot = world.read();
        let nodes = &snapshot.kubernetes.nodes;
        if self.project.is_empty() {
            let node = nodes.iter().find_map(|node| node.provider());
            self.project = node.map_or_else(|| context.project.clone(), |(project, ..)| project.to_owned());
        }
        if context.project == self.project {
            if self.cluster_name.is_empty() {
                self.cluster_name.clone_from(&context.cluster_name);
            }
            if self.cluster_location.is_empty() {
                self.cluster_location.clone_from(&context.cluster_location);
            }
        }
        if self.cluster_location.is_empty()
            && let Some(region) = nodes.iter().find_map(|node| node.metadata.labels.get(REGION_LABEL))
        {
            self.cluster_location = region.to_string();
        }
    }

    /// Says it to the world.
    pub(super) fn publish(&self, world: &World) {
        world.edit(|snapshot| {
            let meta = Meta {
                taken_at: snapshot.meta.taken_at,
                project: self.project.as_str().into(),
                cluster_name: self.cluster_name.as_str().into(),
                cluster_location: self.cluster_location.as_str().into(),
            };
            if snapshot.meta == meta {
                return Change::Nothing;
            }
            snapshot.meta = meta;
            Change::Everything
        });
    }
}

struct Metadata {
    client: reqwest::Client,
    host: String,
}

impl Metadata {
    fn new() -> Option<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().ok()?;
        let host = std::env::var("GCE_METADATA_HOST").unwrap_or_else(|_| "metadata.google.internal".to_owned());
        Some(Self { client, host })
    }

    async fn fill(&self, found: &mut Found) {
        for (value, path) in [
            (&mut found.project, "project/project-id"),
            (&mut found.cluster_name, "instance/attributes/cluster-name"),
            (&mut found.cluster_location, "instance/attributes/cluster-location"),
        ] {
            if !value.is_empty() {
                continue;
            }
            match self.get(path).await {
                Ok(Some(answer)) => *value = answer,
                Ok(None) => {}
                // There is no such server here: it need not be waited for three times.
                Err(_) => return,
            }
        }
    }

    async fn get(&self, path: &str) -> Result<Option<String>, reqwest::Error> {
        let url = format!("http://{}/computeMetadata/v1/{path}", self.host);
        let answer = self.client.get(url).header("metadata-flavor", "Google").send().await?;
        // Without the header it is somebody else's server on that address.
        let genuine = answer.status().is_success() && answer.headers().contains_key("metadata-flavor");
        if !genuine {
            return Ok(None);
        }
        Ok(Some(answer.text().await?.trim().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Path;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::{Found, Metadata, World};

    #[tokio::test]
    async fn what_is_set_stays_and_the_rest_is_asked_for() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let answer = |Path(path): Path<String>| async move {
            match path.as_str() {
                "project/project-id" => (StatusCode::OK, [("metadata-flavor", "Google")], "from-metadata".to_owned()),
                _ => (StatusCode::NOT_FOUND, [("metadata-flavor", "Google")], "no such attribute".to_owned()),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let router = Router::new().route("/computeMetadata/v1/{*path}", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let metadata = Metadata { client: reqwest::Client::new(), host };
        let mut found = Found { cluster_name: "set".to_owned(), ..Found::default() };
        metadata.fill(&mut found).await;
        assert_eq!((found.project.as_str(), found.cluster_name.as_str()), ("from-metadata", "set"));
        assert_eq!(found.cluster_location, "");
    }

    #[test]
    fn nodes_tell_the_project_and_the_region() {
        let world = World::new();
        let node = serde_json::json!({
            "kind": "Node", "apiVersion": "v1",
            "metadata": {"name": "n", "labels": {"topology.kubernetes.io/region": "europe-west1"}},
            "spec": {"providerID": "gce://acme/europe-west1-b/n"},
        });
        world.edit(|snapshot| {
            snapshot.kubernetes.insert_json(node).expect("a node");
            super::Change::Nothing
        });
        let mut found = Found::default();
        found.fill_from_nodes(&world, &Found::default());
        assert_eq!((found.project.as_str(), found.cluster_location.as_str()), ("acme", "europe-west1"));

        let of_context = |name: &str| super::of_context(name).unwrap_or_default();
        let mut found = Found::default();
        found.fill_from_nodes(&world, &of_context("gke_acme_europe-west1-b_prod"));
        assert_eq!(found.into_parts(), ("acme".to_owned(), "prod".to_owned(), "europe-west1-b".to_owned()));
        let mut found = Found::default();
        found.fill_from_nodes(&world, &of_context("gke_other_us-east1_prod"));
        assert_eq!(found.into_parts(), ("acme".to_owned(), String::new(), "europe-west1".to_owned()), "the nodes know better");
        assert_eq!(of_context("kind-local"), Found::default());
    }
}
