//! HealthCheckTimesOut: the pod answers later than the health check waits.

use serde_json::json;

use super::mend::backend_config;
use super::{Answer, Check, Finding, HEALTH_SYMPTOMS, Rule, Section, Severity};
use crate::snapshot::probe::{ProbeError, Scheme};
use crate::topology::answers::Answered;
use crate::topology::{Backend, Topology};

/// The rule.
pub static RULE: Rule = Rule {
    code: "HealthCheckTimesOut",
    section: Section::Health,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "the pod is Ready, and answers the health check too late or never",
    doc: include_str!("health_check_times_out.md"),
    explains: HEALTH_SYMPTOMS,
    check: Check::Backend(check),
};

/// The longest timeout and interval that Compute takes, in seconds.
const LONGEST: i64 = 300;

fn late(one: &Answered<'_>) -> bool {
    let limit = u64::try_from(one.question.timeout_sec).unwrap_or_default().saturating_mul(1000);
    one.answer.error == Some(ProbeError::Timeout) || one.answer.latency_ms.is_some_and(|latency| latency > limit)
}

fn check(topology: &Topology<'_>, backend: &Backend<'_>) -> Answer {
    if !backend.failing_answers(topology)?.iter().any(late) {
        return Ok(None);
    }
    // An answer that came, however late, was kept out by nobody.
    let mut answered = backend.failing_answers(topology)?;
    if answered.iter().any(|one| one.answer.error.is_some() && late(one)) {
        let reached = |one: &Answered<'_>| one.answer.error.is_none();
        let in_reach = backend.failing_answers_in_reach(topology);
        answered.retain(reached);
        match in_reach {
            Ok(in_reach) => answered.extend(in_reach.into_iter().filter(|one| !reached(one))),
            Err(why) if !answered.iter().any(late) => return Err(why),
            Err(_) => {}
        }
    }
    let late: Vec<_> = answered.iter().filter(|one| late(one)).collect();
    let Some(first) = late.first() else { return Ok(None) };
    let (timeout, path, port) = (first.question.timeout_sec, first.question.path, first.question.port);
    let connects = first.question.scheme == Scheme::Tcp;
    let (message, missed) = if connects {
        (format!("the pods take no connection on port {port} within the health check's timeout of {timeout} s"), "connection")
    } else {
        (format!("the pods do not answer the health check on {path} within its timeout of {timeout} s"), "answer")
    };
    let mut finding = Finding::certain(message);
    for one in &late {
        let saw = one.answer.latency_ms.map_or_else(|| format!("no {missed} within {timeout} s"), |_| format!("an answer after more than {timeout} s"));
        finding = finding.evidence(one.place(), saw);
    }
    // Who takes no connection has no path to be made cheaper.
    if connects {
        let look = format!("find out why the application accepts no connection on port {port}: it hangs, or has more of them than it can take");
        return Ok(Some(finding.fix(look)));
    }
    let finding = finding.fix(format!("make {path} cheaper, or point the health check at a cheaper path"));
    let slowest = late.iter().filter_map(|one| one.answer.latency_ms).max().unwrap_or_default();
    let enough = i64::try_from(slowest.div_ceil(1000)).unwrap_or(timeout).max(timeout).saturating_mul(2).min(LONGEST);
    if enough <= timeout {
        return Ok(Some(finding));
    }
    let interval = backend.health_check.as_ref().seen().map_or(0, |check| check.check_interval_sec).max(enough);
    let steps = backend_config::set(topology, backend, &json!({"checkIntervalSec": interval, "timeoutSec": enough}));
    let finding = finding.fix("or give it more time, as follows");
    Ok(Some(steps.iter().fold(finding, |finding, step| finding.fix(step))))
}

#[cfg(test)]
mod tests {
    use crate::snapshot::probe::ProbeError;
    use crate::testing::world;
    use crate::topology::{TargetKind, TargetRef};

    #[test]
    fn who_takes_no_connection_is_not_told_of_a_path() {
        let target = TargetRef { kind: TargetKind::Service, namespace: "payments".into(), name: "ledger".into() };
        let late = world("standalone-neg-tcp-refused").answered(|answer| answer.error = Some(ProbeError::Timeout));
        let diagnosis = late.diagnosis(target);
        let root = &diagnosis.findings.first().expect("a cause").found;
        assert_eq!(root.rule.code, "HealthCheckTimesOut");
        assert_eq!(root.finding.message, "the pods take no connection on port 8080 within the health check's timeout of 5 s");
        assert!(root.finding.fix.iter().all(|fix| !fix.contains("path")), "{:?}", root.finding.fix);
    }
}
