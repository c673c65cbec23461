//! A real API server with everything of `crds/` and `manifests/` that matters to the program.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use testbed::{ApiServer, Assets};

use super::OWN;

/// What `manifests/` grants; the rest of it needs nodes that run pods.
const GRANTS: [&str; 5] = ["namespace", "service-account", "cluster-role", "kube-system-role", "leader-role"];

/// The list of all diagnoses.
pub const DIAGNOSES: &str = "/apis/ingressdiagnosis.dev/v1alpha1/ingressdiagnoses";

/// A running API server.
pub struct Cluster {
    pub server: Arc<ApiServer>,
    pub token: String,
}

impl Cluster {
    /// An API server that knows GKE's kinds and ours, and what our ServiceAccount may do.
    pub async fn start() -> Self {
        let cluster = Self::without_definition().await;
        cluster.install_definition().await;
        cluster
    }

    /// The same without our own kind.
    pub async fn without_definition() -> Self {
        let server = ApiServer::start(&Assets::locate().unwrap()).await.unwrap();
        server.install_gke_crds().await.unwrap();
        for name in GRANTS {
            server.apply_yaml(&manifest(name)).await.unwrap();
        }
        let token = server.service_account_token(OWN, OWN).await.unwrap();
        Self { server: Arc::new(server), token }
    }

    pub async fn install_definition(&self) {
        self.server.apply(&serde_json::to_value(ingress_diagnosis::api::crd()).unwrap()).await.unwrap();
    }

    /// Every diagnosis by namespace and name.
    pub async fn diagnoses(&self) -> BTreeMap<String, Value> {
        // For a moment after the definition was applied the API server asks to come back later.
        loop {
            match self.server.get(DIAGNOSES).await {
                Ok(list) => return by_key(list),
                Err(error) if error.to_string().contains("storage is (re)initializing") => {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
                Err(error) => panic!("{error:#}"),
            }
        }
    }

    /// One diagnosis; null when there is none.
    pub async fn diagnosis(&self, key: &str) -> Value {
        self.diagnoses().await.remove(key).unwrap_or_default()
    }

    /// What was asked of our own kind and changed it, so far.
    pub fn changes(&self) -> Vec<Value> {
        let changes = |request: &Value| {
            let verb = request["verb"].as_str().unwrap_or_default();
            request["objectRef"]["resource"] == "ingressdiagnoses" && !matches!(verb, "get" | "list" | "watch")
        };
        self.server.audit().unwrap().into_iter().filter(changes).collect()
    }

    /// How often the status of each diagnosis was written so far.
    pub fn writes(&self) -> BTreeMap<String, usize> {
        let mut writes = BTreeMap::new();
        for request in self.changes() {
            let of = &request["objectRef"];
            if request["responseStatus"]["code"] == 200 && of["subresource"] == "status" {
                let part = |name: &str| of[name].as_str().unwrap_or_default();
                *writes.entry(format!("{}/{}", part("namespace"), part("name"))).or_default() += 1;
            }
        }
        writes
    }
}

/// The items of a list by namespace and name.
pub fn by_key(mut list: Value) -> BTreeMap<String, Value> {
    let items = list["items"].take();
    let items = items.as_array().cloned().unwrap_or_default();
    items.into_iter().map(|item| (key(&item), item)).collect()
}

/// `namespace/name`.
pub fn key(object: &Value) -> String {
    let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    format!("{}/{}", part("namespace"), part("name"))
}

/// A file of `manifests/base`.
pub fn manifest(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("manifests/base/{name}.yaml"));
    std::fs::read_to_string(path).unwrap()
}
