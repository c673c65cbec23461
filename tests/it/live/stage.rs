//! A recorded world on stage: in the API server, in the stand-in for Google, in the pods.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use testbed::world::KeepAlive;
use testbed::{Google, Pods, World};

use super::cluster::Cluster;
use super::product::Product;
use super::{OWN, until};

/// An address at which a connection fails without being the pod's fault.
const NOWHERE: &str = "255.255.255.255:1";

/// A world that is played.
pub struct Stage<'a> {
    pub cluster: &'a Cluster,
    pub world: World,
    pub google: Google,
    pub pods: Pods,
    leases: KeepAlive,
}

impl<'a> Stage<'a> {
    /// Loads a folder of `tests/scenarios`, as if it had been recorded now.
    pub async fn open(cluster: &'a Cluster, folder: impl AsRef<Path>) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
        Self::of(cluster, World::read(root.join(folder)).unwrap()).await
    }

    /// The same for any world.
    pub async fn of(cluster: &'a Cluster, mut world: World) -> Self {
        world.shift_to_now();
        Self::play(cluster, world).await
    }

    /// Loads a world of now.
    pub async fn play(cluster: &'a Cluster, world: World) -> Self {
        let google = Google::start(world.clone()).await.unwrap();
        let pods = Pods::start(world.probes.as_deref().unwrap_or_default()).await.unwrap();
        world.load(&cluster.server).await.unwrap();
        let leases = world.keep_alive(&cluster.server);
        Self { cluster, world, google, pods, leases }
    }

    /// Settings: the stand-ins in the place of Google and of the pods. Pods are asked only where somebody was when it was recorded.
    pub fn settings(&self) -> Value {
        let meta = &self.world.meta;
        json!({
            "project": meta.project,
            "cluster": {"name": meta.cluster.name, "location": meta.cluster.location},
            "compute": {"endpoint": self.google.url(), "readsPerMinute": 6000},
            "container": {"endpoint": self.google.url()},
            "credentials": "anonymous",
            "probe": {"enabled": self.world.probes.is_some(), "connectTo": self.connect_to()},
            "server": {"listen": "127.0.0.1:0"},
            "leaderElection": {"namespace": OWN},
        })
    }

    /// Starts the program in this world.
    pub async fn run(&self, pod: &str) -> Product {
        Product::start(&self.cluster.server, &self.cluster.token, &self.settings(), pod).await
    }

    /// Waits until the diagnoses have these verdicts.
    pub async fn until_verdicts(&self, verdicts: &[(&str, &str)], product: &Product) {
        until(&format!("the verdicts are {verdicts:?}"), async || {
            let stand = self.cluster.diagnoses().await;
            let is = |key: &str| stand.get(key).and_then(|object| object["status"]["verdict"].as_str()).unwrap_or_default();
            let all = verdicts.iter().all(|(key, verdict)| is(key) == *verdict);
            let seen: Vec<_> = verdicts.iter().map(|(key, _)| is(key)).collect();
            if all { Ok(()) } else { Err(format!("{seen:?}\n{}", product.words())) }
        })
        .await;
    }

    /// Removes what was loaded, and the diagnoses.
    pub async fn clear(self) {
        let stand: Vec<Value> = self.cluster.diagnoses().await.into_values().collect();
        self.cluster.server.delete(&stand).await.unwrap();
        self.clear_loaded().await;
    }

    /// Removes what was loaded, where nobody diagnosed it.
    pub async fn clear_loaded(self) {
        drop(self.leases);
        self.world.clear(&self.cluster.server).await.unwrap();
    }

    /// Where the pods really are; whose answer was not recorded is nowhere.
    fn connect_to(&self) -> BTreeMap<String, String> {
        let containers = |pod: &Value| pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
        let ports = |pod: &Value| -> Vec<u64> {
            let all =
                containers(pod).into_iter().flat_map(|container| container["ports"].as_array().cloned().unwrap_or_default());
            all.filter_map(|port| port["containerPort"].as_u64()).collect()
        };
        let of_pods = self.world.of_kind("Pod").flat_map(|pod| {
            let ip = pod["status"]["podIP"].as_str().unwrap_or_default().to_owned();
            ports(pod).into_iter().map(move |port| format!("{ip}:{port}"))
        });
        let compute = self.world.compute.iter().flat_map(|compute| compute.endpoints.values().flatten());
        let of_groups = compute.filter_map(|entry| {
            let endpoint = &entry["networkEndpoint"];
            Some(format!("{}:{}", endpoint["ipAddress"].as_str()?, endpoint["port"].as_u64()?))
        });
        let nowhere = of_pods.chain(of_groups).map(|address| (address, NOWHERE.to_owned()));
        nowhere.chain(self.pods.connect_to()).collect()
    }
}
