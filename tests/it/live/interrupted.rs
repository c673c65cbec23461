//! A `capture` that is interrupted on its way.

use std::path::Path;
use std::process::Stdio;

use testbed::google::{Fault, FaultKind};

use super::cluster::Cluster;
use super::oneshot::{Desk, text};
use super::product::signal;
use super::stage::Stage;
use super::{LIMIT, until};

/// Everything below a folder, by its path in it.
fn entries(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let (entry, name) = (entry.as_ref().unwrap().path(), entry.as_ref().unwrap().file_name().into_string().unwrap());
        let below = if entry.is_dir() { entries(&entry) } else { Vec::new() };
        names.extend(below.into_iter().map(|below| format!("{name}/{below}")).chain([name.clone()]));
    }
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_interrupts_a_capture_finds_nothing_of_it() {
    let cluster = Cluster::without_definition().await;
    let stage = Stage::open(&cluster, "healthy-neg").await;
    let desk = Desk::new(&cluster, &cluster.token, &stage.settings());
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("empty")).unwrap();
    stage.google.fault(Fault::new("/compute/", FaultKind::Hang));
    for (name, with) in [("taken", "INT"), ("taken.tar.gz", "INT"), ("empty", "INT"), ("taken", "TERM")] {
        stage.google.clear_requests();
        let path = place.path().join(name);
        let mut command = desk.command(&["capture", path.to_str().unwrap(), "-A"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("it asks Google", async || {
            let asked = stage.google.requests();
            if asked.iter().any(|request| request.path.contains("/compute/")) { Ok(()) } else { Err(format!("{asked:?}")) }
        })
        .await;
        signal(child.id().unwrap(), with);
        let done = tokio::time::timeout(LIMIT, child.wait_with_output()).await.expect("it ends").unwrap();
        assert_eq!(text(&done.stderr), "ingress-diagnosis: interrupted, nothing was written\n", "{name} {with}");
        assert_eq!((done.status.code(), text(&done.stdout)), (Some(130), String::new()), "{name} {with}");
        assert_eq!(entries(place.path()), ["empty"], "{name} {with}");
    }
}
