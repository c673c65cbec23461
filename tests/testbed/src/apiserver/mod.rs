//! A real Kubernetes API server with an etcd of its own.
//!
//! In: the two binaries. Out: an address, credentials, and ways to fill it. Never shares a port, a
//! folder or a process with another instance, and leaves nothing behind when the value is dropped
//! or this process dies.
//!
//! There is no controller manager: nothing collects garbage, finishes the deletion of a namespace
//! or makes ServiceAccounts.

mod audit;
mod credentials;
mod etcd;
mod keys;
mod rest;
mod store;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::assets::Assets;
use crate::port::Port;
use crate::supervised::Supervised;
use credentials::Credentials;
use etcd::Etcd;
pub use rest::Refused;
use rest::Rest;

/// The range of the ClusterIPs; the Services of a world outside of it are given a range of their
/// own.
const SERVICE_RANGE: &str = "10.8.0.0/20";
const AUDIT_LOG: &str = "audit.log";
const START_LIMIT: Duration = Duration::from_secs(120);
const GKE_CRDS: [&str; 4] = [
    include_str!("../../crds/backendconfigs.yaml"),
    include_str!("../../crds/frontendconfigs.yaml"),
    include_str!("../../crds/managedcertificates.yaml"),
    include_str!("../../crds/servicenetworkendpointgroups.yaml"),
];
const MONITORING_CRDS: [&str; 4] = [
    include_str!("../../crds/servicemonitors.yaml"),
    include_str!("../../crds/prometheusrules.yaml"),
    include_str!("../../crds/clusterpodmonitorings.yaml"),
    include_str!("../../crds/clusterrules.yaml"),
];

/// A running API server. Everything ends when it is dropped.
#[derive(Debug)]
pub struct ApiServer {
    // The order is that of the ends: the API server before its store. Each removes the folder, the
    // last one for good.
    server: Supervised,
    _store: Supervised,
    _ports: [Port; 3],
    rest: Rest,
    etcd: Etcd,
    credentials: Credentials,
    url: String,
    admin_kubeconfig: PathBuf,
    audit_log: PathBuf,
    _folder: tempfile::TempDir,
}

impl ApiServer {
    /// Starts etcd and the API server and waits until it is ready (about three seconds).
    ///
    /// # Errors
    /// When one of them does not start; the message ends with the last lines of its log.
    pub async fn start(assets: &Assets) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ingress-diagnosis-apiserver-").tempdir().context("no temporary folder")?;
        let ports = [Port::take()?, Port::take()?, Port::take()?];
        let [secure, client, peer] = &ports;

        let etcd = Etcd::new(format!("http://{}", client.address()))?;
        let mut store = start_etcd(assets, folder.path(), client, peer)?;
        wait_until(&mut store, async || etcd.is_healthy().await).await?;

        let credentials = Credentials::make(&folder.path().join("credentials"))?;
        let url = format!("https://{}", secure.address());
        let rest = Rest::new(&url, credentials.ca_pem(), credentials.admin_token())?;
        let mut server = start_server(assets, folder.path(), &credentials, secure, etcd.url())?;
        wait_until(&mut server, async || rest.is_ready().await).await?;

        let admin_kubeconfig = folder.path().join("admin.kubeconfig");
        credentials.write_kubeconfig(&admin_kubeconfig, &url, credentials.admin_token())?;
        let audit_log = folder.path().join(AUDIT_LOG);
        Ok(Self {
            server,
            _store: store,
            _ports: ports,
            rest,
            etcd,
            credentials,
            url,
            admin_kubeconfig,
            audit_log,
            _folder: folder,
        })
    }

    /// The address, `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of the authority that signed the server's.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.credentials.ca_pem()
    }

    /// The token of a user in `system:masters`.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        self.credentials.admin_token()
    }

    /// A kubeconfig of the administrator; it goes away with the server.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    /// Writes a kubeconfig that uses `token`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path, token: &str) -> Result<()> {
        self.credentials.write_kubeconfig(path, &self.url, token)
    }

    /// The last lines of the API server's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }

    /// Makes the API server know BackendConfig, FrontendConfig, ManagedCertificate and
    /// ServiceNetworkEndpointGroup, as GKE's does.
    ///
    /// # Errors
    /// When the API server refuses them or does not serve them in time.
    pub async fn install_gke_crds(&self) -> Result<()> {
        for manifest in GKE_CRDS {
            self.apply_yaml(manifest).await?;
        }
        Ok(())
    }

    /// Makes the API server know ServiceMonitor and PrometheusRule, as with the Prometheus Operator,
    /// and ClusterPodMonitoring and ClusterRules, as with Managed Prometheus; strictly, and only
    /// the fields that this repository uses.
    ///
    /// # Errors
    /// When the API server refuses them or does not serve them in time.
    pub async fn install_monitoring_crds(&self) -> Result<()> {
        for manifest in MONITORING_CRDS {
            self.apply_yaml(manifest).await?;
        }
        Ok(())
    }
}

fn start_etcd(assets: &Assets, root: &Path, client: &Port, peer: &Port) -> Result<Supervised> {
    let (client, peer) = (format!("http://{}", client.address()), format!("http://{}", peer.address()));
    let mut data = OsString::from("--data-dir=");
    data.push(root.join("etcd"));
    let arguments = [
        data,
        "--name=testbed".into(),
        "--unsafe-no-fsync".into(),
        "--socket-reuse-port".into(),
        "--log-level=warn".into(),
        "--quota-backend-bytes=8589934592".into(),
        "--max-request-bytes=33554432".into(),
        format!("--listen-client-urls={client}").into(),
        format!("--advertise-client-urls={client}").into(),
        format!("--listen-peer-urls={peer}").into(),
        format!("--initial-advertise-peer-urls={peer}").into(),
        format!("--initial-cluster=testbed={peer}").into(),
    ];
    Supervised::start(&assets.etcd, arguments, &[], root)
}

fn start_server(assets: &Assets, root: &Path, credentials: &Credentials, port: &Port, etcd: &str) -> Result<Supervised> {
    let mut arguments: Vec<OsString> = [
        format!("--etcd-servers={etcd}"),
        format!("--secure-port={}", port.number()),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
    ]
    .map(OsString::from)
    .into();
    arguments.extend(
        [
            "--permit-port-sharing",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none", // no endpoint may be a loopback address
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--storage-media-type=application/json", // so that all of etcd can be read and written as JSON
            "--disable-admission-plugins=ServiceAccount", // nothing makes the `default` ServiceAccounts
            "--profiling=false",
        ]
        .map(OsString::from),
    );
    arguments.extend(credentials.server_arguments());
    let policy = root.join("audit-policy.json");
    std::fs::write(&policy, audit::POLICY).with_context(|| format!("cannot write {}", policy.display()))?;
    for (flag, file) in [("--audit-policy-file=", policy), ("--audit-log-path=", root.join(AUDIT_LOG))] {
        let mut argument = OsString::from(flag);
        argument.push(file);
        arguments.push(argument);
    }
    let mut certificates = OsString::from("--cert-dir=");
    certificates.push(root.join("unused"));
    arguments.push(certificates);
    // A soft limit, for worlds of hundreds of thousands of pods.
    Supervised::start(&assets.kube_apiserver, arguments, &[("GOMEMLIMIT", "12GiB")], root)
}

async fn wait_until(process: &mut Supervised, ready: impl AsyncFn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !ready().await {
        if process.has_ended() {
            bail!("{} has ended before it was ready; its last words:\n{}", process.name(), process.log_tail());
        }
        if start.elapsed() > START_LIMIT {
            bail!("{} was not ready within {} s; its last words:\n{}", process.name(), START_LIMIT.as_secs(), process.log_tail());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
