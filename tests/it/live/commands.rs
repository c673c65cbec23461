//! Every `kubectl` command that a finding gives, pasted into a shell before the API server that holds the world it was found in.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::cluster::Cluster;
use super::stage::Stage;
use crate::commands::{by_folder, is_there, of_pages};

/// Stands in the place of `kubectl`: what would change something is checked by the API server and not kept, what needs a kubelet or a
/// terminal is only understood.
const STAND_IN: &str = r#"#!/bin/bash
real="$REAL_KUBECTL"
words=()
for word in "$@"; do case "$word" in -n|--namespace) skip=1;; -*) ;; *) [ -n "$skip" ] && skip= || words+=("$word");; esac; done
understood() {
  said="$("$real" --server=http://127.0.0.1:1 "$@" 2>&1)"
  case "$said" in *refused*) exit 0;; *) echo "$said" >&2; exit 1;; esac
}
case "${words[0]}" in
  logs|exec|wait|port-forward) understood "$@" ;;
  rollout) understood "$@" ;;
  run)
    kept=()
    for word in "$@"; do [ "$word" = -- ] && over=1; case "$word" in --rm|-it|-i|-t) [ -n "$over" ] && kept+=("$word");; *) kept+=("$word");; esac; done
    # The flags end where the words for the container begin.
    exec "$real" --dry-run=server "${kept[@]}" ;;
  annotate|patch|apply|delete|create|scale|label|set|replace|expose|taint)
    case " $* " in *" --dry-run="*) exec "$real" "$@" ;; *) exec "$real" --dry-run=server "$@" ;; esac ;;
  *) exec "$real" "$@" ;;
esac
"#;

/// What no recording holds, and every cluster may: a command about one finds nothing here.
const NEVER_RECORDED: [&str; 2] = ["(NotFound): secrets \"", "(NotFound): configmaps \""];

/// A shell in which the commands are pasted.
struct Shell {
    folder: tempfile::TempDir,
    path: String,
    real: String,
}

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let real = Command::new("sh").args(["-c", "command -v kubectl"]).output().unwrap();
        let stand_in = folder.path().join("bin/kubectl");
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::fs::write(&stand_in, STAND_IN).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(&stand_in).status().unwrap().success());
        // What some commands tell the reader to have at hand.
        let key = rcgen::generate_simple_self_signed(["www.acme.example".to_owned()]).unwrap();
        std::fs::write(folder.path().join("tls.crt"), key.cert.pem()).unwrap();
        std::fs::write(folder.path().join("tls.key"), key.signing_key.serialize_pem()).unwrap();
        let path = format!("{}:{}", folder.path().join("bin").display(), std::env::var("PATH").unwrap());
        Self { folder, path, real: String::from_utf8(real.stdout).unwrap().trim().to_owned() }
    }

    /// What went wrong, if anything did.
    fn paste(&self, kubeconfig: &Path, command: &str) -> Option<String> {
        let done = Command::new("bash")
            .args(["-o", "pipefail", "-c", command])
            .current_dir(self.folder.path())
            .envs([("PATH", &*self.path), ("REAL_KUBECTL", &*self.real), ("KUBE_EDITOR", "true")])
            .env("KUBECONFIG", kubeconfig)
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let expected = NEVER_RECORDED.iter().any(|never| said.contains(never));
        (!done.status.success() && !expected).then(|| format!("{command}\n  {}", said.trim().replace('\n', "\n  ")))
    }
}

/// A command without its names: two that differ in nothing else are tried once, unless they change something.
fn shape(command: &str) -> String {
    let changes = ["annotate", "patch", "apply", "delete", "create", "scale", "label"]
        .iter()
        .any(|verb| command.contains(&format!(" {verb} ")));
    if changes {
        return command.to_owned();
    }
    let words = command.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
    words.take(5).enumerate().filter(|(at, _)| !matches!(at, 2)).map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kubectl_command_is_taken_by_the_api_server() {
    if !is_there("kubectl") {
        return;
    }
    let start = Instant::now();
    let cluster = Cluster::start().await;
    let kubeconfig = cluster.server.admin_kubeconfig().to_owned();
    let shell = Shell::new();
    for wrong in [
        "kubectl get pods --nonsense",
        "kubectl -n default annotate service nobody a=b",
        "kubectl -n default logs a -x",
        "kubectl explode",
    ] {
        assert!(shell.paste(&kubeconfig, wrong).is_some(), "{wrong} is taken");
    }
    let (mut tried, mut folders, mut known, mut wrong) = (0, 0, BTreeSet::new(), Vec::new());
    for (folder, commands) in by_folder() {
        let commands = commands.into_iter().filter(|command| command.contains("kubectl "));
        let commands: Vec<_> = commands.filter(|command| known.insert(shape(command))).collect();
        if commands.is_empty() {
            continue;
        }
        let stage = Stage::open(&cluster, &folder).await;
        folders += 1;
        for command in commands {
            tried += 1;
            wrong.extend(shell.paste(&kubeconfig, &command).map(|why| format!("{folder}: {why}")));
        }
        stage.clear().await;
    }
    // A page speaks of no object in particular: its commands have to be understood.
    let of_pages: BTreeSet<_> = of_pages().into_iter().filter(|(_, command)| command.starts_with("kubectl ")).collect();
    for (code, command) in &of_pages {
        let flags = [
            "unknown flag",
            "unknown shorthand",
            "unknown command",
            "Usage:",
            "must specify",
            "required flag",
            "invalid argument",
            "See 'kubectl",
            "unable to parse",
            "syntax error",
        ];
        let said = shell.paste(&kubeconfig, command).filter(|said| flags.iter().any(|flag| said.contains(flag)));
        wrong.extend(said.map(|why| format!("the page of {code}: {why}")));
    }
    eprintln!(
        "{tried} kubectl commands in {folders} folders and {} of the pages, {} of them wrong, {:.0} s",
        of_pages.len(),
        wrong.len(),
        start.elapsed().as_secs_f64()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
