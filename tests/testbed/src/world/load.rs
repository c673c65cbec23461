//! A world in an API server.
//!
//! In: a world and a running API server. Out: its objects there, exactly as recorded. Never goes
//! through admission.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::World;
use crate::apiserver::ApiServer;

/// A Lease that was renewed this many of its durations ago, or less, is held by somebody alive.
const FRESH: i32 = 2;
const RENEW_EVERY: Duration = Duration::from_secs(3);

impl World {
    /// Writes every object, namespaces first; uid, status, finalizers and times stay as recorded. A
    /// namespace that was not recorded is made.
    ///
    /// # Errors
    /// When the API server does not know a kind: for GKE's own, call
    /// [`ApiServer::install_gke_crds`] first.
    pub async fn load(&self, server: &ApiServer) -> Result<()> {
        let (recorded, others): (Vec<Value>, Vec<Value>) =
            self.objects.iter().cloned().partition(|object| object["kind"] == "Namespace");
        server.put(&recorded).await?;
        for namespace in self
            .own_namespaces()
            .iter()
            .filter(|own| recorded.iter().all(|one| one["metadata"]["name"] != own["metadata"]["name"]))
        {
            server.apply(namespace).await?;
        }
        server.put(&others).await
    }

    /// Removes what [`World::load`] wrote, and every Event in its namespaces, so that another world
    /// can be loaded. Namespaces of the system stay. What others made in these namespaces, but
    /// Events, is theirs to remove, before this.
    ///
    /// # Errors
    /// When etcd refuses.
    pub async fn clear(&self, server: &ApiServer) -> Result<()> {
        let others: Vec<Value> = self.objects.iter().filter(|object| object["kind"] != "Namespace").cloned().collect();
        server.delete(&others).await?;
        for namespace in self.namespaces() {
            server.delete_events(&namespace).await?;
        }
        server.delete(&self.own_namespaces()).await
    }

    fn own_namespaces(&self) -> Vec<Value> {
        let named = |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.namespaces().into_iter().map(named).collect()
    }

    /// Renews, until the returned value is dropped, the Leases of `kube-system` that were fresh
    /// when the world was taken.
    #[must_use]
    pub fn keep_alive(&self, server: &Arc<ApiServer>) -> KeepAlive {
        let leases: Vec<Value> = self.of_kind("Lease").filter(|lease| self.is_fresh(lease)).cloned().collect();
        let server = Arc::downgrade(server);
        let task = tokio::spawn(async move {
            while let Some(server) = server.upgrade() {
                for lease in &leases {
                    // A Lease that was removed is no reason to stop the others.
                    renew(&server, lease).await.ok();
                }
                drop(server);
                tokio::time::sleep(RENEW_EVERY).await;
            }
        });
        KeepAlive { task }
    }

    fn is_fresh(&self, lease: &Value) -> bool {
        let renewed = lease["spec"]["renewTime"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let seconds = lease["spec"]["leaseDurationSeconds"].as_i64();
        let in_system = lease["metadata"]["namespace"] == "kube-system";
        let (true, Some(renewed), Some(seconds)) = (in_system, renewed, seconds) else {
            return false;
        };
        self.meta.taken_at.duration_since(renewed) <= SignedDuration::from_secs(seconds) * FRESH
    }
}

async fn renew(server: &ApiServer, lease: &Value) -> Result<()> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    server.patch(&server.path_of(lease).await?, &json!({"spec": {"renewTime": now}})).await.map(drop)
}

/// Keeps Leases fresh while it lives.
#[derive(Debug)]
pub struct KeepAlive {
    task: JoinHandle<()>,
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.task.abort();
    }
}
