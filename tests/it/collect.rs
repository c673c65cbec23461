//! Reading, against the stand-in for Google's APIs and a real API server.

mod google;
mod kubernetes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ingress_diagnosis::collect::{Collector, CredentialsMode, Settings, Urgency, Want, World, start};
use ingress_diagnosis::snapshot::Snapshot;
use tokio::sync::watch;

/// A collector at work; it ends with the value.
struct Running {
    world: Arc<World>,
    collector: Collector,
    active: watch::Sender<bool>,
    _shutdown: watch::Sender<bool>,
}

/// Settings for stand-ins, of which `google` is the address.
fn settings(google: &str) -> Settings {
    Settings {
        project: "acme-prod".to_owned(),
        cluster_name: "prod".to_owned(),
        cluster_location: "us-central1".to_owned(),
        compute_endpoint: google.to_owned(),
        container_endpoint: google.to_owned(),
        reads_per_minute: 6000,
        credentials: CredentialsMode::Anonymous,
        ..Settings::default()
    }
}

fn run(client: kube::Client, settings: Settings) -> Running {
    run_as(client, settings, true)
}

fn run_as(client: kube::Client, settings: Settings, active: bool) -> Running {
    let world = Arc::new(World::new());
    let (active, is_active) = watch::channel(active);
    let (shutdown, is_shut_down) = watch::channel(false);
    let collector = start(client, settings, world.clone(), is_active, is_shut_down);
    Running { world, collector, active, _shutdown: shutdown }
}

impl Running {
    /// Waits until the world is as it should be.
    async fn until(&self, what: &str, is_so: impl Fn(&Snapshot) -> bool) {
        let limit = Instant::now() + Duration::from_secs(60);
        while !is_so(&self.world.read()) {
            assert!(Instant::now() < limit, "{what}: not within a minute; {}", self.state());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn state(&self) -> String {
        let snapshot = self.world.read();
        let compute = &snapshot.compute;
        format!(
            "awaited {:?}, unread {:?}, errors {:?}, cluster {:?}, requests {:?}",
            self.world.awaited(),
            compute.unread,
            compute.errors,
            snapshot.cluster,
            self.collector.compute.stats().requests
        )
    }

    /// Wants every group that a backend service names.
    fn want_all(&self, urgency: Urgency) -> BTreeSet<Box<str>> {
        let snapshot = self.world.read();
        let services = snapshot.compute.backend_services.iter();
        let pairs = services.flat_map(|(path, service)| {
            let groups = service.backends.iter().map(|backend| &*backend.group);
            groups.map(move |group| (path, ingress_diagnosis::snapshot::compute::normalise(group, "acme-prod").into_owned()))
        });
        let wants: Vec<Want> =
            pairs.map(|(service, group)| Want { backend_service: service.into(), group: group.into(), urgency }).collect();
        let groups = wants.iter().map(|want| want.group.clone()).collect();
        self.collector.compute.want(wants);
        groups
    }
}

/// A world of the testbed's own.
fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testbed/tests/data").join(name)
}

/// A client of an API server that is not there.
fn nobody() -> kube::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    kube::Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap()
}
