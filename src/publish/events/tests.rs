use jiff::{Timestamp, ToSpan};

use super::*;
use crate::diagnose::Root;
use crate::publish::status::{Context, status};
use crate::topology::TargetKind;
use crate::{snapshot, testing};

fn redirected() -> Diagnosis {
    testing::World::recorded("argocd-redirect").ingress("argocd", "argocd-server")
}

/// The same target when nothing is wrong with it any more.
fn mended() -> Diagnosis {
    let summary = "serves at 203.0.113.33, 2 of 2 endpoints healthy".to_owned();
    Diagnosis { verdict: Verdict::Healthy, root_cause: None, findings: Vec::new(), summary, ..redirected() }
}

fn at(minute: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + minute.minutes()
}

/// Type, code and minute of each event that is new.
fn story(diagnoses: &[&Diagnosis]) -> Vec<(String, String, i64)> {
    let (mut last, mut new) = (None, Vec::new());
    for (minute, diagnosis) in (0..).zip(diagnoses) {
        let next = super::last(last.as_ref(), diagnosis, at(minute));
        if next != last {
            let event = next.clone().unwrap();
            new.push((event.type_, event.root_cause, minute));
        }
        last = next;
    }
    new
}

fn says(type_: &str, code: &str, minute: i64) -> (String, String, i64) {
    (type_.to_owned(), code.to_owned(), minute)
}

fn accepted(mut diagnosis: Diagnosis) -> Diagnosis {
    diagnosis.root_cause = None;
    diagnosis.verdict = Verdict::Healthy;
    diagnosis.findings.iter_mut().for_each(|root| root.found.acknowledged = true);
    diagnosis
}

#[test]
fn each_change_of_the_root_cause_is_said_once() {
    let (broken, healthy) = (redirected(), mended());
    assert_eq!(story(&[&healthy, &healthy]), []);
    let said = story(&[&broken, &broken, &healthy, &healthy, &broken]);
    let redirected = "HealthCheckRedirected";
    assert_eq!(said, [says("Warning", redirected, 0), says("Normal", redirected, 2), says("Warning", redirected, 4)]);

    let mut other = redirected_as("BackendUnhealthy");
    other.verdict = Verdict::Degraded;
    let said = story(&[&broken, &other, &healthy]);
    assert_eq!(
        said,
        [says("Warning", redirected, 0), says("Warning", "BackendUnhealthy", 1), says("Normal", "BackendUnhealthy", 2)]
    );
}

/// The same diagnosis with another cause first.
fn redirected_as(code: &'static str) -> Diagnosis {
    let mut diagnosis = redirected();
    let symptom = diagnosis.findings[0].symptoms.iter().find(|found| found.rule.code == code).unwrap().clone();
    diagnosis.findings.insert(0, Root { found: symptom, symptoms: Vec::new() });
    diagnosis.root_cause = Some(code);
    diagnosis
}

#[test]
fn what_cannot_be_seen_has_not_gone() {
    let (broken, healthy) = (redirected(), mended());
    let blind = Diagnosis { verdict: Verdict::Unknown, ..mended() };
    let said = story(&[&broken, &blind, &broken, &blind, &healthy]);
    assert_eq!(said, [says("Warning", "HealthCheckRedirected", 0), says("Normal", "HealthCheckRedirected", 4)]);
    assert_eq!(story(&[&blind, &healthy]), []);
}

#[test]
fn what_is_accepted_or_by_design_is_no_warning() {
    let broken = redirected();
    assert_eq!(story(&[&accepted(redirected())]), []);
    let said = story(&[&broken, &accepted(redirected()), &broken]);
    assert_eq!(said.iter().map(|(type_, ..)| type_.as_str()).collect::<Vec<_>>(), ["Warning", "Normal", "Warning"]);
    let young = testing::World::recorded("provisioning").ingress("hr", "careers");
    assert_eq!(young.root_cause, Some("Provisioning"));
    assert_eq!(story(&[&young, &mended()]), []);
}

fn written(diagnosis: &Diagnosis, stands: Option<&LastEvent>) -> (IngressDiagnosisStatus, LastEvent) {
    let context = Context { now: at(0), generation: None, docs: "" };
    let last = super::last(stands, diagnosis, at(0)).unwrap();
    (status(diagnosis, None, context), last)
}

/// What was said on the target is remembered, and is no reason to write the same status again.
#[test]
fn what_was_said_is_no_change() {
    let read = |minute| Diagnosis { compute_facts_at: Some(at(minute)), ..redirected() };
    let context = Context { now: at(0), generation: None, docs: "" };
    let mut stands = status(&read(1), None, context);
    assert_eq!(stands.last_event, None);
    stands.last_event = super::last(None, &read(1), at(0));
    assert_eq!(status(&read(5), Some(&stands), context), stands);
}

#[test]
fn the_text_holds_the_reason_and_the_mend() {
    let broken = redirected();
    let (status, last) = written(&broken, None);
    let (reason, message) = words(&status, &last);
    assert_eq!(reason, "HealthCheckRedirected");
    assert!(message.starts_with("the pods answer the health check on /healthz with 307"), "{message}");
    assert!(message.contains("; mend: kubectl -n argocd patch configmap argocd-cmd-params-cm"), "{message}");
    assert!(message.len() <= LIMIT);

    let (status, last) = written(&mended(), Some(&last));
    let gone = "HealthCheckRedirected has gone; serves at 203.0.113.33, 2 of 2 endpoints healthy";
    assert_eq!(words(&status, &last), ("Resolved".to_owned(), gone.to_owned()));
    let (status, _) = written(&accepted(redirected()), Some(&last));
    assert_eq!(words(&status, &last).0, "Acknowledged");
}

#[test]
fn no_text_is_too_long_and_the_first_command_is_whole() {
    for (message, sentence, command) in
        [(3000, 10, 400), (10, 3000, 900), (1500, 1500, 1), (900, 900, 700), (10, 10, 10), (2000, 5, 1000)]
    {
        let long = |word: &str, length: usize| word.repeat(length / word.len() + 1);
        let command = format!("kubectl {}", long("é", command));
        let finding = Finding {
            message: long("ü", message),
            fix: vec![long("say so to whoever ö ", sentence), command.clone(), "kubectl get pods".to_owned(), long("ä", 300)],
            ..Finding::default()
        };
        let text = warning(&finding);
        assert!(text.len() <= LIMIT, "{} bytes", text.len());
        assert!(text.contains(&command), "{text}");
        assert!(finding.message.starts_with(text.split(['…', ';']).next().unwrap()), "{text}");
    }
    let endless =
        Finding { message: "a".repeat(5000), fix: vec![format!("kubectl {}", "é".repeat(1000))], ..Finding::default() };
    let text = warning(&endless);
    assert!(text.len() <= LIMIT && text.ends_with("a…"), "a command that is cut is of no use: {text}");
    let summary = IngressDiagnosisStatus { summary: "ß".repeat(4000), ..IngressDiagnosisStatus::default() };
    for type_ in ["Warning", "Normal"] {
        let last = LastEvent { type_: type_.to_owned(), root_cause: "NoEndpoints".to_owned(), time: Time(at(0)) };
        assert!(words(&summary, &last).1.len() <= LIMIT);
    }
}

#[test]
fn an_event_has_one_name_whoever_writes_it() {
    let target = |name: &str| TargetRef { kind: TargetKind::Ingress, namespace: "shop".into(), name: name.into() };
    let last = |code: &str, minute| LastEvent { type_: "Warning".into(), root_cause: code.into(), time: Time(at(minute)) };
    let web = target("web");
    let named = |uid, last: &LastEvent| super::name(&web, uid, last);
    assert_eq!(named("1", &last("NoEndpoints", 3)), named("1", &last("NoEndpoints", 3)));
    let others = [named("2", &last("NoEndpoints", 3)), named("1", &last("NoAddress", 3)), named("1", &last("NoEndpoints", 4))];
    let names: BTreeSet<String> = others.into_iter().chain([named("1", &last("NoEndpoints", 3))]).collect();
    assert_eq!(names.len(), 4, "another object, cause or time is another event");
    for long in ["a".repeat(253), format!("{}.{}", "a".repeat(229), "b".repeat(23))] {
        let name = super::name(&target(&long), "1", &last("NoEndpoints", 3));
        assert!(name.len() <= 253 && !name.contains(".."), "{name}");
    }
}

/// What the program says itself proves nothing, and wakes nobody.
#[test]
fn our_own_events_are_no_evidence() {
    let broken = redirected();
    let (status, last) = written(&broken, None);
    let event = event(&broken.target, &broken.uid, &status, &last);
    let mut seen: snapshot::kubernetes::Event = serde_json::from_value(serde_json::to_value(event).unwrap()).unwrap();
    assert_eq!((&*seen.object.kind, &*seen.object.name, &*seen.object.uid), ("Ingress", "argocd-server", &*broken.uid));
    assert!(!seen.relevant());
    seen.component = "loadbalancer-controller".into();
    assert!(seen.relevant());
}

#[tokio::test]
async fn what_was_said_long_ago_or_never_is_not_said() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = kube::Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let (leads, leading) = watch::channel(false);
    let events = Events::new(client, leading);
    let broken = redirected();
    let (mut status, last) = written(&broken, None);
    assert!(events.tell(&broken.target, &broken.uid, &status, at(0)).await, "there is nothing to say");
    status.last_event = Some(last);
    assert!(events.tell(&broken.target, &broken.uid, &status, at(11)).await, "too long ago");
    assert!(!events.tell(&broken.target, &broken.uid, &status, at(9)).await, "another one leads");
    leads.send_replace(true);
    assert!(!events.tell(&broken.target, &broken.uid, &status, at(9)).await, "nobody answers");
    assert!(guard(&events.rests).is_some());
}
