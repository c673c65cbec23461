//! Every component of `manifests/components` builds and applies, with `kubectl` on a real API server.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testbed::{ApiServer, Assets};

use crate::sources;

/// Components with a kind that not every cluster knows, and that kind.
const FOREIGN: [(&str, &str, &str); 4] = [
    ("service-monitor", "ServiceMonitor", "monitoring.coreos.com/v1"),
    ("prometheus-rule", "PrometheusRule", "monitoring.coreos.com/v1"),
    ("managed-prometheus", "ClusterPodMonitoring", "monitoring.googleapis.com/v1"),
    ("cluster-rules", "ClusterRules", "monitoring.googleapis.com/v1"),
];

fn components() -> BTreeSet<String> {
    let folder = sources::root().join("manifests/components");
    let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    folders.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// From one folder to another: kustomize takes no absolute path.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, to) = (from.canonicalize().unwrap(), to.canonicalize().unwrap());
    from.components().skip(1).map(|_| Path::new("..")).collect::<PathBuf>().join(to.strip_prefix("/").unwrap())
}

/// What `kubectl kustomize` makes of `manifests/` with a component.
fn built(component: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let manifests = relative(folder.path(), &sources::root().join("manifests"));
    let manifests = manifests.display();
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- {manifests}\ncomponents:\n- {manifests}/components/{component}\n"
    );
    std::fs::write(folder.path().join("kustomization.yaml"), text).unwrap();
    let output = Command::new("kubectl").arg("kustomize").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{component}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn apply(server: &ApiServer, text: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.yaml");
    std::fs::write(&file, text).unwrap();
    let kubeconfig = format!("--kubeconfig={}", server.admin_kubeconfig().display());
    Command::new("kubectl").args([&kubeconfig, "apply", "--server-side", "--filename"]).arg(file).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn components_apply_where_their_kinds_are_known() {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        eprintln!("kubectl is not here: the components are not tried");
        return;
    }
    let components = components();
    assert!(FOREIGN.iter().all(|(component, ..)| components.contains(*component)), "{components:?}");
    let readme = std::fs::read_to_string(sources::root().join("manifests/components/README.md")).unwrap();
    let server = ApiServer::start(&Assets::locate().unwrap()).await.unwrap();
    for (component, kind, version) in FOREIGN {
        let output = apply(&server, &built(component));
        let said = String::from_utf8_lossy(&output.stderr);
        let sentence = format!("no matches for kind \"{kind}\" in version \"{version}\"");
        assert!(!output.status.success() && said.contains(&sentence), "{component}: {said}");
    }
    assert!(readme.contains("no matches for kind \"ServiceMonitor\" in version \"monitoring.coreos.com/v1\""));
    server.install_monitoring_crds().await.unwrap();
    for component in &components {
        assert!(readme.contains(&format!("| `{component}` |")), "manifests/components/README.md names {component}");
        let output = apply(&server, &built(component));
        assert!(output.status.success(), "{component}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let monitor = "/apis/monitoring.coreos.com/v1/namespaces/ingress-diagnosis/servicemonitors/ingress-diagnosis";
    assert_eq!(server.get(monitor).await.unwrap()["spec"]["endpoints"][0]["honorLabels"], true);
    let pods = "/apis/monitoring.googleapis.com/v1/clusterpodmonitorings/ingress-diagnosis";
    assert_eq!(server.get(pods).await.unwrap()["spec"]["targetLabels"]["metadata"], serde_json::json!([]));
}
