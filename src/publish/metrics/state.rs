//! The state of every target as lines of the text format.
//!
//! Enters: the `IngressDiagnosis` that stands for each target, what could not be read. Leaves: text. Never: more series for a target than
//! the limits of its status allow, or a label value that is not escaped or bounded.
//!
//! These families are written by hand, not by the prometheus crate: for 10,000 Ingresses they are some 113,000 series, and the crate makes
//! several allocations for each, sorts them and copies them before it writes them. The rest goes through the crate.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;

use super::table::{CAUSE_INFO, ENDPOINTS, FACTS_OLDEST, FINDING, Family, UNKNOWN, VERDICT, VERDICT_SINCE};
use crate::api::{Backend, IngressDiagnosis, IngressDiagnosisStatus};
use crate::publish::text::cut;
use crate::snapshot::Unknown;
use crate::topology::TargetRef;

/// Longest label value that is a sentence, in bytes.
const SENTENCE: usize = 200;

/// Typical size of a target's lines, for the first allocation.
const TYPICAL: usize = 2048;

/// What the leader shows.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// What stands for each target; shared with whoever keeps the objects.
    pub(super) published: BTreeMap<TargetRef, Arc<IngressDiagnosis>>,
    /// What could not be read.
    pub(super) unknown: Vec<Unknown>,
    /// When the oldest Compute fact was read.
    pub(super) oldest: Option<Timestamp>,
}

impl State {
    /// Appends all families; one without a series is left out.
    pub(super) fn write(&self, out: &mut String) {
        let mut verdict = Lines::new(&VERDICT);
        let mut since = Lines::new(&VERDICT_SINCE);
        let mut finding = Lines::new(&FINDING);
        let mut cause = Lines::new(&CAUSE_INFO);
        let mut endpoints = Lines::new(&ENDPOINTS);
        let mut of = String::new();
        out.reserve(self.published.len() * TYPICAL);
        for (target, object) in &self.published {
            let Some(status) = &object.status else { continue };
            of.clear();
            label(&mut of, "namespace", &target.namespace);
            label(&mut of, "kind", target.kind.as_str());
            label(&mut of, "name", &target.name);
            verdict.add(&of, &[("verdict", &status.verdict)], 1);
            if let Some(time) = &status.since {
                since.add_time(&of, time.0);
            }
            write_findings(status, &of, &mut finding, &mut cause);
            for backend in &status.backends {
                write_endpoints(backend, target, &of, &mut endpoints);
            }
        }
        for lines in [verdict, since, finding, cause, endpoints] {
            lines.end(out);
        }
        self.write_sight(out);
    }

    /// What was seen, and how long ago.
    fn write_sight(&self, out: &mut String) {
        let mut unknown = Lines::new(&UNKNOWN);
        for why in &self.unknown {
            unknown.add("", &[("source", why.source.as_str()), ("resource", &why.resource), ("reason", &why.reason)], 1);
        }
        unknown.end(out);
        let mut oldest = Lines::new(&FACTS_OLDEST);
        if let Some(read) = self.oldest {
            oldest.add_time("", read);
        }
        oldest.end(out);
    }
}

/// What follows from an accepted cause is accepted with it.
fn write_findings(status: &IngressDiagnosisStatus, of: &str, finding: &mut Lines, info: &mut Lines) {
    for cause in &status.findings {
        let role = match () {
            () if cause.acknowledged => "acknowledged",
            () if status.root_cause.as_deref() == Some(&*cause.code) => "root",
            () => "cause",
        };
        let backend = cause.backend.as_deref().unwrap_or_default();
        finding.add(of, &[("backend", backend), ("code", &cause.code), ("severity", &cause.severity), ("role", role)], 1);
        let mend = cause.fix.first().and_then(|fix| fix.lines().next()).unwrap_or_default();
        let words = [("message", &*bounded(&cause.message)), ("mend", &*bounded(mend))];
        let page = cause.doc_url.as_deref().unwrap_or_default();
        info.add(
            of,
            &[("backend", backend), ("code", &cause.code), ("role", role), words[0], words[1], ("runbook_url", page)],
            1,
        );
        for symptom in &cause.symptoms {
            let role = if cause.acknowledged || symptom.acknowledged { "acknowledged" } else { "symptom" };
            let backend = symptom.backend.as_deref().unwrap_or_default();
            finding.add(of, &[("backend", backend), ("code", &symptom.code), ("severity", &symptom.severity), ("role", role)], 1);
        }
    }
}

fn write_endpoints(backend: &Backend, target: &TargetRef, of: &str, lines: &mut Lines) {
    // As findings name it: with the namespace where that is another one.
    let service = backend.service.strip_prefix(&*target.namespace).and_then(|rest| rest.strip_prefix('/'));
    let name = format!("{}:{}", service.unwrap_or(&backend.service), backend.port);
    let sum = |count: fn(&crate::api::Group) -> Option<u32>| backend.groups.iter().filter_map(count).map(u64::from).sum();
    let counts: [(&str, u64); 3] = [
        ("healthy", sum(|group| group.healthy)),
        ("unhealthy", sum(|group| group.unhealthy)),
        ("unknown", sum(|group| group.unknown)),
    ];
    for (state, count) in counts {
        lines.add(of, &[("backend", &name), ("state", state)], count);
    }
}

/// A sentence that is no longer than a label value may be.
fn bounded(text: &str) -> Cow<'_, str> {
    cut(text, SENTENCE)
}

/// The lines of one family.
struct Lines {
    family: &'static Family,
    text: String,
}

impl Lines {
    const fn new(family: &'static Family) -> Self {
        Self { family, text: String::new() }
    }

    /// A line with the labels that are written already, more labels, and a value.
    fn add(&mut self, of: &str, more: &[(&str, &str)], value: u64) {
        self.labels(of, more);
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{value}");
    }

    fn add_time(&mut self, of: &str, time: Timestamp) {
        self.labels(of, &[]);
        let _ = writeln!(self.text, "{}", time.as_millisecond() as f64 / 1000.0);
    }

    fn labels(&mut self, of: &str, more: &[(&str, &str)]) {
        self.text.push_str(self.family.name);
        if !of.is_empty() || !more.is_empty() {
            self.text.push('{');
            self.text.push_str(of);
            for (name, value) in more {
                label(&mut self.text, name, value);
            }
            // In the place of the last comma.
            self.text.pop();
            self.text.push('}');
        }
        self.text.push(' ');
    }

    fn end(self, out: &mut String) {
        if self.text.is_empty() {
            return;
        }
        let Family { name, kind, help, .. } = self.family;
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
        out.push_str(&self.text);
    }
}

/// `name="value",`
fn label(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    if value.bytes().any(|byte| matches!(byte, b'"' | b'\\' | b'\n')) {
        for c in value.chars() {
            match c {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
    } else {
        text.push_str(value);
    }
    text.push_str("\",");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped_and_bounded() {
        let mut lines = Lines::new(&UNKNOWN);
        lines.add("", &[("source", "a\"b\\c\nd"), ("reason", "ö")], 1);
        lines.add("name=\"x\",", &[], 2);
        let name = UNKNOWN.name;
        assert_eq!(lines.text, format!("{name}{{source=\"a\\\"b\\\\c\\nd\",reason=\"ö\"}} 1\n{name}{{name=\"x\"}} 2\n"));
        let long = bounded(&"ö".repeat(200)).into_owned();
        assert!(long.len() <= SENTENCE && long.ends_with("ö…"), "{long}");
        assert_eq!(bounded("short"), "short");
    }
}
