//! The first moments: nobody answers, our kind is not installed, everything is there.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::Cluster;
use super::product::{Product, program};
use super::stage::Stage;
use super::{OWN, until};

/// Runs `run` with a kubeconfig until it ends by itself.
fn run_to_the_end(kubeconfig: &std::path::Path) -> (Output, Duration) {
    let start = Instant::now();
    let output = Command::new(program())
        .args(["run", "--set", "server.listen=127.0.0.1:0"])
        .env("KUBECONFIG", kubeconfig)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap();
    (output, start.elapsed())
}

fn sentence(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(output.stdout.is_empty());
    text
}

#[test]
fn without_a_kubeconfig_it_says_so() {
    let text = sentence(&run_to_the_end(std::path::Path::new("/nonexistent/kubeconfig")).0);
    assert!(text.starts_with("ingress-diagnosis: no Kubernetes cluster to talk to: "), "{text}");
}

#[test]
fn an_api_server_that_is_not_there_is_told_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let text = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "c", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]}"#;
    std::fs::write(&kubeconfig, text).unwrap();
    let (output, took) = run_to_the_end(&kubeconfig);
    let text = sentence(&output);
    assert!(text.contains("the Kubernetes API server https://127.0.0.1:1/ cannot be reached: "), "{text}");
    assert!(text.contains("refused"), "{text}");
    assert!(took < Duration::from_secs(40), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_definition_it_waits() {
    let cluster = Cluster::without_definition().await;
    let stage = Stage::open(&cluster, "addon-disabled").await;
    let mut settings = stage.settings();
    settings["leaderElection"]["enabled"] = false.into();
    let product = Product::start(&cluster.server, &cluster.token, &settings, "it-0").await;
    until("it says what is missing", async || match product.said("cannot be watched").first() {
        Some(line) if line.to_string().contains("ingressdiagnoses.ingressdiagnosis.dev is not installed, waiting for it") => {
            Ok(())
        }
        other => Err(format!("{other:?}")),
    })
    .await;
    let (status, text) = product.get("/readyz").await.unwrap();
    assert_eq!(status, 503);
    assert!(text.contains("ingressdiagnoses.ingressdiagnosis.dev"), "{text}");
    cluster.install_definition().await;
    stage.until_verdicts(&[("shop/checkout", "Broken"), ("grafana/grafana", "Broken")], &product).await;
    assert_eq!(product.get("/readyz").await.unwrap().0, 200);
    let asked = cluster.server.audit().unwrap();
    let own_lease = |request: &Value| request["objectRef"]["resource"] == "leases" && request["objectRef"]["namespace"] == OWN;
    assert!(!asked.iter().any(own_lease), "who is alone needs no Lease");
    what_is_served_is_whole(&product).await;
}

async fn what_is_served_is_whole(product: &Product) {
    assert_eq!(product.get("/livez").await.unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(product.get("/").await.unwrap().0, 404);
    // The API server has a status a moment before its writer shows it.
    until("the verdicts are shown", async || {
        let text = product.get("/metrics").await.unwrap().1;
        if text.contains("ingress_diagnosis_verdict{") { Ok(()) } else { Err(text) }
    })
    .await;
    let text = product.get("/metrics").await.unwrap().1;
    for line in text.lines() {
        let well_formed = line.starts_with("# HELP ") || line.starts_with("# TYPE ") || is_sample(line);
        assert!(well_formed, "{line}");
    }
    for family in [
        "ingress_diagnosis_verdict",
        "ingress_diagnosis_verdict_since_timestamp_seconds",
        "ingress_diagnosis_finding",
        "ingress_diagnosis_compute_requests_total",
        "ingress_diagnosis_compute_budget_reads_per_minute",
        "ingress_diagnosis_compute_facts_age_seconds",
        "ingress_diagnosis_reconcile_duration_seconds",
        "ingress_diagnosis_leader",
        "ingress_diagnosis_build_info",
        "process_resident_memory_bytes",
    ] {
        assert!(text.contains(&format!("# TYPE {family} ")), "{family} is missing:\n{text}");
    }
}

/// `name{label="value",…} 1.5`
fn is_sample(line: &str) -> bool {
    let Some((series, value)) = line.rsplit_once(' ') else { return false };
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name(name) && labels.ends_with('}') && value.parse::<f64>().is_ok()
}
