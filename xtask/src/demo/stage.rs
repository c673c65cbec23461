//! A cluster with the program in it.
//!
//! Enters: a recorded world. Leaves: a Kubernetes API server that holds it, the stand-ins for Google and for the pods, and the program
//! running as its own ServiceAccount. Never: gives the program more rights than `manifests/` does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use testbed::world::KeepAlive;
use testbed::{ApiServer, Assets, Google, Pods, World};

use super::product::Product;
use super::show;
use crate::cargo;

/// The namespace and the name of the ServiceAccount in `manifests/`.
pub const OWN: &str = "ingress-diagnosis";

/// The kind's definition, and what `manifests/` grants; the rest of `manifests/` needs nodes that run pods.
const GRANTS: [&str; 6] = [
    "crds/ingressdiagnoses.yaml",
    "manifests/base/namespace.yaml",
    "manifests/base/service-account.yaml",
    "manifests/base/cluster-role.yaml",
    "manifests/base/kube-system-role.yaml",
    "manifests/base/leader-role.yaml",
];

const DIAGNOSES: &str = "/apis/ingressdiagnosis.dev/v1alpha1";

/// A running cluster; everything ends when it is dropped.
pub struct Stage {
    // The program ends first, so that it does not see the others go.
    product: Product,
    _leases: KeepAlive,
    google: Google,
    pods: Pods,
    server: Arc<ApiServer>,
    client: reqwest::Client,
    world: World,
    title: &'static str,
}

impl Stage {
    /// Starts everything and waits until the program has read all there is.
    pub async fn open(title: &'static str, assets: &Assets, world: World) -> Result<Self> {
        let start = Instant::now();
        let server = Arc::new(ApiServer::start(assets).await?);
        // First, because it makes a namespace and an account without labels.
        let token = server.service_account_token(OWN, OWN).await?;
        server.install_gke_crds().await?;
        for file in GRANTS {
            let path = cargo::root().join(file);
            let manifest = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            server.apply_yaml(&manifest).await?;
        }
        world.load(&server).await?;
        let leases = world.keep_alive(&server);
        let google = Google::start(world.clone()).await?;
        let pods = Pods::start(world.probes.as_deref().unwrap_or_default()).await?;
        println!(
            "A Kubernetes API server with {} objects, stand-ins for Google's APIs and for the pods: up after {:.1} s.",
            world.objects.len(),
            start.elapsed().as_secs_f64()
        );
        let start = Instant::now();
        let mut product = Product::start(&server, &token, &settings(&world, &google, &pods)).await?;
        product.wait_until_ready().await?;
        println!(
            "ingress-diagnosis run, as ServiceAccount {OWN}/{OWN} with the rights of manifests/: ready after {:.1} s.",
            start.elapsed().as_secs_f64()
        );
        let client = client(&server)?;
        Ok(Self { product, _leases: leases, google, pods, server, client, world, title })
    }

    /// What it shows.
    pub fn title(&self) -> &str {
        self.title
    }

    /// What was recorded.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The stand-in for Google's APIs.
    pub fn google(&self) -> &Google {
        &self.google
    }

    /// The stand-in for the pods.
    pub fn pods(&self) -> &Pods {
        &self.pods
    }

    /// Where the program serves its metrics.
    pub fn address(&self) -> &str {
        self.product.address()
    }

    /// How to look at it from another terminal.
    pub fn directions(&self) -> String {
        format!(
            "export KUBECONFIG={}\nkubectl get ingressdiagnosis -A\ncurl {}/metrics\ntail -f {}",
            self.server.admin_kubeconfig().display(),
            self.address(),
            self.product.log().display()
        )
    }

    /// Waits for something that the program writes.
    pub async fn until(&self, what: &str, patience: Duration, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        while !holds().await? {
            if let Some(words) = self.product.words_if_ended() {
                bail!("ingress-diagnosis has ended; its last words:\n{words}");
            }
            if start.elapsed() > patience {
                let table = self.table().await?;
                bail!(
                    "waited {} s in vain until {what}; what there is:\n{table}\nlast words of ingress-diagnosis:\n{}",
                    patience.as_secs(),
                    self.product.words()
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// What `kubectl get ingressdiagnosis -A` prints.
    pub async fn table(&self) -> Result<String> {
        let answer = self
            .client
            .get(format!("{}{DIAGNOSES}/ingressdiagnoses", self.server.url()))
            .bearer_auth(self.server.admin_token())
            .header("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .context("the API server gives no table")?;
        Ok(show::table(&answer.json().await.context("the table is not one")?))
    }

    /// One diagnosis; null when there is none.
    pub async fn diagnosis(&self, namespace: &str, name: &str) -> Result<Value> {
        let path = format!("{DIAGNOSES}/namespaces/{namespace}/ingressdiagnoses/{name}");
        match self.server.get(&path).await {
            Err(error) if error.downcast_ref::<testbed::apiserver::Refused>().is_some_and(|refused| refused.status == 404) => {
                Ok(Value::Null)
            }
            answer => answer,
        }
    }

    /// Its verdict; empty when there is none.
    pub async fn verdict(&self, namespace: &str, name: &str) -> Result<String> {
        self.status(namespace, name, "verdict").await
    }

    /// The code of its root cause; empty when there is none.
    pub async fn root_cause(&self, namespace: &str, name: &str) -> Result<String> {
        self.status(namespace, name, "rootCause").await
    }

    async fn status(&self, namespace: &str, name: &str, field: &str) -> Result<String> {
        let diagnosis = self.diagnosis(namespace, name).await?;
        Ok(diagnosis["status"][field].as_str().unwrap_or_default().to_owned())
    }

    /// What `kubectl describe` prints of the program's events in a namespace.
    pub async fn events(&self, namespace: &str) -> Result<String> {
        Ok(show::events(&self.server.get(&format!("/api/v1/namespaces/{namespace}/events")).await?))
    }

    /// The program's metrics whose line begins so.
    pub async fn metrics(&self, prefix: &str) -> Result<String> {
        let text = self.product.get("/metrics").await?;
        Ok(text.lines().filter(|line| line.starts_with(prefix)).map(|line| format!("{line}\n")).collect())
    }

    /// What `kubectl rollout restart deployment` does.
    pub async fn restart_deployment(&self, namespace: &str, name: &str) -> Result<()> {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        let annotations = json!({"kubectl.kubernetes.io/restartedAt": self.world.meta.taken_at.to_string()});
        self.server.patch(&path, &json!({"spec": {"template": {"metadata": {"annotations": annotations}}}})).await.map(drop)
    }
}

/// A client of the API server as its administrator.
fn client(server: &ApiServer) -> Result<reqwest::Client> {
    let authority =
        reqwest::Certificate::from_pem(server.ca_pem().as_bytes()).context("the authority's certificate is not PEM")?;
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([authority])
        .timeout(Duration::from_secs(30))
        .build()
        .context("no HTTP client")
}

/// The program's settings: the stand-ins in the place of Google and of the pods.
fn settings(world: &World, google: &Google, pods: &Pods) -> Value {
    let cluster = &world.meta.cluster;
    json!({
        "project": world.meta.project,
        "cluster": {"name": cluster.name, "location": cluster.location},
        "compute": {"endpoint": google.url()},
        "container": {"endpoint": google.url()},
        "credentials": "anonymous",
        "probe": {"connectTo": pods.connect_to()},
        "leaderElection": {"namespace": OWN},
    })
}
