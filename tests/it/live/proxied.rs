//! Pods asked through the API server's own proxy, which is real here; so are the pods, as far as it can tell.

use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use testbed::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::cluster::Cluster;
use super::oneshot::{Desk, text};
use super::stage::Stage;

/// The proxy refuses addresses that no pod can have, so the pods of this world are given one of this machine. No packet is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.200:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// Answers every request in the same words; keeps what it was asked.
async fn serve(ip: IpAddr, location: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap_or_default();
            kept.lock().unwrap().push(text(&head[..read]));
            let location = location.replace("SELF", &format!("{ip}:{port}"));
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    (port, heard)
}

/// The recorded redirect, with pods that can be reached.
fn moved(ip: IpAddr, port: u16) -> World {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/argocd-redirect");
    let mut world = World::read(root).unwrap();
    let change = |value: &serde_json::Value| -> serde_json::Value {
        let text = value.to_string().replace("10.4.0.11", &ip.to_string()).replace("10.4.2.17", &ip.to_string());
        serde_json::from_str(&text.replace("8080", &port.to_string())).unwrap()
    };
    world.objects = world.objects.iter().map(change).collect();
    let compute = world.compute.as_mut().unwrap();
    compute.resources.values_mut().for_each(|value| *value = change(value));
    compute.endpoints.values_mut().flatten().for_each(|value| *value = change(value));
    world.probes = None;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_pods_answer_through_the_proxy_is_evidence_of_its_own_kind() {
    let Some(ip) = own_address() else {
        println!("this machine has no address but its own loopback, to which no API server connects for a pod");
        return;
    };
    let cluster = Cluster::without_definition().await;
    for (location, told) in
        [("https://SELF/healthz", "with 307;"), ("https://login.example/", "with 307 to https://login.example/;")]
    {
        let (port, heard) = serve(ip, location).await;
        let stage = Stage::of(&cluster, moved(ip, port)).await;

        // Off unless it is asked for.
        let desk = Desk::new(&cluster, cluster.server.admin_token(), &stage.settings());
        let off = desk.run(&["diagnose", "-n", "argocd"]).await;
        assert!(!text(&off.stdout).contains("HealthCheckRedirected"), "{}", text(&off.stdout));
        assert!(heard.lock().unwrap().is_empty());

        let done = desk.run(&["diagnose", "-n", "argocd", "--probe=proxy"]).await;
        let said = text(&done.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(told) && said.contains("through the API server's pod proxy: 307"), "{said}{}", text(&done.stderr));
        let heard = heard.lock().unwrap().clone();
        assert!(!heard.is_empty());
        for request in heard.iter().map(|request| request.to_ascii_lowercase()) {
            assert!(request.starts_with("get /healthz http/1.1\r\n"), "{request}");
            assert!(request.contains(&format!("\r\nhost: {ip}\r\n")), "{request}");
            assert!(request.contains("\r\nuser-agent: googlehc/1.0 "), "{request}");
        }

        // What it heard is in the folder, and says which way it came.
        let folder = desk.path("taken");
        let done = desk.run(&["capture", folder.to_str().unwrap(), "-n", "argocd", "--probe=proxy"]).await;
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        let probes = std::fs::read_to_string(folder.join("probes.yaml")).unwrap();
        assert!(probes.contains("via: pods/proxy"), "{probes}");
        let again = desk.run(&["diagnose", folder.to_str().unwrap()]).await;
        assert!(text(&again.stdout).contains("HealthCheckRedirected"), "{}", text(&again.stdout));

        // Without the right nothing is claimed, and the right is named.
        let desk = Desk::new(&cluster, &cluster.token, &stage.settings());
        let done = desk.run(&["diagnose", "-n", "argocd", "--probe=proxy"]).await;
        assert!(!text(&done.stdout).contains("HealthCheckRedirected"), "{}", text(&done.stdout));
        assert!(
            text(&done.stderr).contains("the API server's pod proxy may not be used in namespace argocd: "),
            "{}",
            text(&done.stderr)
        );
        assert!(text(&done.stderr).contains("pods/proxy"), "{}", text(&done.stderr));
        stage.clear_loaded().await;
    }
}
