//! The real executable, as users and scripts meet it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ingress_diagnosis::api::IngressDiagnosis;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ingress-diagnosis");

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env_remove("KUBECONFIG");
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn scenario(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name).display().to_string()
}

/// A copy of a folder, of which one file is replaced; `None` removes it.
fn spoilt(name: &str, file: &str, content: Option<&str>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(scenario(name)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join(file);
    match content {
        Some(content) => std::fs::write(&path, content).unwrap(),
        None => std::fs::remove_file(&path).unwrap(),
    }
    (folder, path)
}

/// The one sentence with which it refuses.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    let said = said.trim_end().strip_prefix("ingress-diagnosis: ").unwrap_or_else(|| panic!("{said}")).to_owned();
    assert!(!said.ends_with('.'), "{said}");
    said
}

#[test]
fn a_bad_folder_is_refused_in_one_sentence() {
    assert_eq!(refused(&["diagnose", "/nonexistent/x"]), "there is no folder /nonexistent/x: name a folder that `capture` wrote");
    assert_eq!(
        refused(&["diagnose", "/nonexistent/x.tar.gz"]),
        "there is no archive /nonexistent/x.tar.gz: name one that `capture` wrote"
    );

    for (file, content, says) in [
        ("meta.yaml", None, "is absent: a snapshot folder needs meta.yaml and kubernetes.yaml".to_owned()),
        ("kubernetes.yaml", None, "is absent: a snapshot folder needs meta.yaml and kubernetes.yaml".to_owned()),
        ("meta.yaml", Some("takenAt: soon\n"), ":1:".to_owned()),
        ("meta.yaml", Some("project: x\n"), "takenAt".to_owned()),
        ("kubernetes.yaml", Some("kind: Pod\nmetadata: [\n"), "kubernetes.yaml:".to_owned()),
        ("compute.json", Some("{\"resources\": 7}"), ":1:".to_owned()),
        ("compute.json", Some("{\n\"resources\": {},"), ":2:".to_owned()),
        ("cluster.json", Some("{\"addonsConfig\": \"on\"}"), ":1:".to_owned()),
        ("probes.yaml", Some("- {pod: a/b, ip: 10.0.0.1, port: many, path: /}\n"), "probes.yaml:1:".to_owned()),
    ] {
        let (folder, path) = spoilt("argocd-redirect", file, content);
        let said = refused(&["diagnose", folder.path().to_str().unwrap()]);
        assert!(said.starts_with(path.to_str().unwrap()), "{said}");
        assert!(said.contains(&says), "{file}: {said}");
    }
}

#[test]
fn a_wrong_type_deep_in_compute_is_named() {
    let text = std::fs::read_to_string(format!("{}/compute.json", scenario("argocd-redirect"))).unwrap();
    let mut compute: Value = serde_json::from_str(&text).unwrap();
    let resources = compute["resources"].as_object_mut().unwrap();
    let (path, service) = resources.iter_mut().find(|(path, _)| path.contains("/backendServices/")).unwrap();
    service["backends"] = "none".into();
    let path = path.clone();
    let (folder, file) = spoilt("argocd-redirect", "compute.json", Some(&compute.to_string()));
    let said = refused(&["diagnose", folder.path().to_str().unwrap()]);
    assert!(said.starts_with(file.to_str().unwrap()) && said.contains(&path), "{said}");
}

#[test]
fn bad_settings_are_refused_by_name() {
    let folder = scenario("healthy-neg");
    let settings = tempfile::tempdir().unwrap();
    let file = settings.path().join("settings.yaml");
    for command in [vec!["diagnose", &folder], vec!["run"]] {
        for (arguments, says) in [
            (
                vec!["--set", "compute.reads=1"],
                "--set: unknown setting \"compute.reads\", the settings here are: endpoint, readsPerMinute",
            ),
            (vec!["--set", "grace.rollout=soon"], "must be a time like 90s or 10m"),
            (vec!["--set", "probe.enabled"], "has no value: write --set KEY=VALUE"),
            (vec!["--config", "/nonexistent/settings.yaml"], "the settings file /nonexistent/settings.yaml cannot be read: "),
        ] {
            let said = refused(&[command.clone(), arguments].concat());
            assert!(said.contains(says), "{said}");
        }
        for (content, says) in [
            ("grace: {rollout: 90s, patience: 1s}\n", "unknown setting \"grace.patience\""),
            ("server: {listen: [1]}\n", "must be"),
            ("compute:\n  readsPerMinute: [\n", "settings.yaml:"),
        ] {
            std::fs::write(&file, content).unwrap();
            let said = refused(&[command.clone(), vec!["--config", file.to_str().unwrap()]].concat());
            assert!(said.contains(says) && said.contains("settings.yaml"), "{said}");
        }
    }
}

#[test]
fn the_exit_code_says_whether_there_is_an_error() {
    for (folder, code) in [("healthy-neg", 0), ("provisioning", 0), ("argocd-redirect", 1), ("addon-disabled", 1)] {
        for output in ["table", "wide", "json", "yaml"] {
            let done = run(&["diagnose", &scenario(folder), "-o", output]);
            assert_eq!(done.status.code(), Some(code), "{folder} -o {output}: {}", text(&done.stderr));
            assert!(done.stderr.is_empty(), "{}", text(&done.stderr));
            assert!(!done.stdout.is_empty());
        }
    }
}

#[test]
fn json_and_yaml_are_lists_of_what_the_controller_writes() {
    let done = run(&["diagnose", &scenario("argocd-redirect"), "-o", "json"]);
    let list: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&list["apiVersion"], &list["kind"]), (&"v1".into(), &"List".into()));
    let items: Vec<IngressDiagnosis> = serde_json::from_value(list["items"].clone()).unwrap();
    assert_eq!(items.len(), 2);
    for (item, typed) in list["items"].as_array().unwrap().iter().zip(&items) {
        assert_eq!(item["apiVersion"], "ingressdiagnosis.dev/v1alpha1");
        assert_eq!(item["kind"], "IngressDiagnosis");
        assert_eq!(*item, serde_json::to_value(typed).unwrap(), "nothing is lost in the types");
    }
    let done = run(&["diagnose", &scenario("argocd-redirect"), "-o", "yaml"]);
    let yaml: Vec<Value> = ingress_diagnosis::snapshot::folder::yaml_documents(Path::new("yaml"), &text(&done.stdout)).unwrap();
    assert_eq!(yaml, [list]);
}

#[test]
fn a_folder_may_be_asked_for_one_namespace_or_name() {
    let folder = scenario("argocd-redirect");
    for (arguments, has, has_not) in [
        (&["thumbs"][..], "media/thumbs", "argocd-server"),
        (&["-n", "argocd"], "argocd-server", "thumbs"),
        (&["-n", "media", "-o", "wide"], "thumbs", "argocd-server"),
    ] {
        let told = text(&run(&[&["diagnose", &folder], arguments].concat()).stdout);
        assert!(told.contains(has) && !told.contains(has_not), "{arguments:?}: {told}");
    }
    assert!(refused(&["diagnose", &folder, "cart"]).starts_with("there is no Ingress of GKE's named cart in "));
    assert!(refused(&["diagnose", &folder, "--watch"]).contains("a folder does not change"));
    let known = program(&["diagnose", "argocd-redirect"]).current_dir(Path::new(&folder).parent().unwrap()).output().unwrap();
    assert_eq!(
        known.status.code(),
        Some(1),
        "a folder that holds a snapshot is one without a / as well: {}",
        text(&known.stderr)
    );
}

/// The one sentence with which it refuses a kubeconfig.
fn refused_kubeconfig(kubeconfig: Option<&Path>, arguments: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = program(arguments);
    command.env("HOME", home.path()).env_remove("KUBERNETES_SERVICE_HOST");
    if let Some(path) = kubeconfig {
        command.env("KUBECONFIG", path);
    }
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty() && !said.contains("panicked"), "{said}");
    said.trim_end().to_owned()
}

#[test]
fn a_cluster_that_cannot_be_reached_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    // Nobody listens on a port that was given back.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: one\ncontexts: [{{name: one, context: {{cluster: c, user: u}}}}, {{name: two, context: {{cluster: gone}}}}]\n\
         clusters: [{{name: c, cluster: {{server: \"http://{nobody}\"}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n"
    );
    std::fs::write(&file, &kubeconfig).unwrap();
    let target = folder.path().join("taken");
    let target = target.to_str().unwrap();
    for command in [&["diagnose"][..], &["diagnose", "-A", "--watch"], &["capture", target]] {
        let with = |more: &[&str]| refused_kubeconfig(Some(&file), &[command, more].concat());
        assert!(
            refused_kubeconfig(None, command).contains("there is no kubeconfig and this is no pod: name one with --kubeconfig")
        );
        let said = with(&["--kubeconfig", "/nonexistent/kubeconfig"]);
        assert!(said.contains("the kubeconfig /nonexistent/kubeconfig cannot be read: No such file"), "{said}");
        let said = with(&["--context", "three"]);
        assert!(said.contains("there is no context \"three\"") && said.ends_with("it has one, two"), "{said}");
        let said = with(&["--context", "two"]);
        assert!(said.contains("the context \"two\" of the kubeconfig") && said.contains("gone"), "{said}");
        let said = with(&[]);
        assert!(said.contains(&format!("the Kubernetes API server http://{nobody}/ cannot be reached: ")), "{said}");
        assert!(said.contains("refused"), "{said}");
    }
    std::fs::write(&file, kubeconfig.replace("current-context: one\n", "")).unwrap();
    let said = refused_kubeconfig(Some(&file), &["diagnose"]);
    assert!(said.contains("has no current context: name one with --context, it has one, two"), "{said}");
    std::fs::write(&file, "contexts: [").unwrap();
    let said = refused_kubeconfig(Some(&file), &["diagnose"]);
    assert!(said.contains("kubeconfig cannot be read: "), "{said}");
    assert!(!Path::new(target).exists());
}

#[test]
fn a_capture_has_its_own_place() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(at("full")).unwrap();
    std::fs::write(at("full/notes.txt"), "mine").unwrap();
    assert!(refused(&["capture", &at("full")]).ends_with("is not empty: name one that is empty or does not exist yet"));
    assert!(refused(&["capture", &at("full/notes.txt")]).contains("exists already"));
    assert!(refused(&["capture", &at("nowhere/taken")]).contains("there is no folder"));
    assert!(refused(&["capture", "/proc/taken"]).starts_with("/proc/taken cannot be written"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    assert_eq!(std::fs::read_dir(at("full")).unwrap().count(), 1, "nothing is put beside what is there");
    assert_eq!(std::fs::read_to_string(at("full/notes.txt")).unwrap(), "mine");
}

#[test]
fn an_object_that_cannot_be_understood_is_named_and_stops_nobody() {
    let path = format!("{}/kubernetes.yaml", scenario("argocd-redirect"));
    let broken = "apiVersion: cloud.google.com/v1\nkind: BackendConfig\nmetadata: {namespace: media, name: broken}\nspec: {healthCheck: none}\n";
    let objects = format!("{}\n---\n{broken}", std::fs::read_to_string(path).unwrap());
    let (folder, _) = spoilt("argocd-redirect", "kubernetes.yaml", Some(&objects));
    let done = run(&["diagnose", folder.path().to_str().unwrap()]);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(1));
    assert!(said.starts_with("warning: BackendConfig media/broken is passed over"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(text(&done.stdout).contains("HealthCheckRedirected"));
}

#[test]
fn colours_are_for_terminals() {
    let escape = '\u{1b}';
    let folder = scenario("argocd-redirect");
    let plain = run(&["diagnose", &folder]);
    assert!(!text(&plain.stdout).contains(escape));
    let forced = program(&["diagnose", &folder]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(text(&forced.stdout).contains(escape));
    let both = program(&["diagnose", &folder]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().unwrap();
    assert_eq!(both.stdout, plain.stdout);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = program(&["diagnose", &scenario("argocd-redirect"), "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), text(&done.stderr)), (Some(1), String::new()));
}

#[test]
fn pages_and_the_definition_are_printed() {
    let definition = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/ingressdiagnoses.yaml")).unwrap();
    let done = run(&["crd"]);
    assert_eq!((done.status.code(), text(&done.stdout)), (Some(0), definition));

    let all = text(&run(&["explain"]).stdout);
    assert!(all.contains("HealthCheckRedirected (error)"), "{all}");
    let page = run(&["explain", "healthcheckredirected"]);
    assert_eq!(page.status.code(), Some(0));
    assert!(text(&page.stdout).contains("HealthCheckRedirected"));
    assert!(refused(&["explain", "redirected"]).ends_with("did you mean HealthCheckRedirected"));
    assert!(refused(&["explain", "x"]).contains("`explain` without a code lists all of them"));
}

#[test]
fn arguments_that_make_no_sense_are_refused_on_stderr() {
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"]] {
        let done = run(arguments);
        assert_eq!(done.status.code(), Some(0));
        assert!(done.stderr.is_empty() && !done.stdout.is_empty());
    }
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["capture"],
        &["diagnose", "x", "-o", "xml"],
        &["diagnose", "-A", "-n", "x"],
        &["diagnose", "--timeout", "soon"],
        &["crd", "x"],
    ] {
        let done = run(arguments);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
        assert!(done.stdout.is_empty() && !done.stderr.is_empty());
    }
}
