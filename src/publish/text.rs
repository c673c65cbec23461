//! Diagnoses as text for people: a table, then what is wrong, worst first; who is healthy, or cannot be judged, in one line at
//! the end.
//!
//! Enters: [`Diagnosis`]es. Leaves: text of at most 80 columns, but for commands, which are never broken. Never: colours a text that is
//! not asked to be coloured.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use jiff::SignedDuration;

use crate::diagnose::{Diagnosis, Found, Root, Verdict};
use crate::rules::Severity;
use crate::snapshot::{Source, Unknown};
use crate::topology::TargetKind;

/// Width of sentences.
const WIDTH: usize = 80;

/// Facts that are older than this are said to be.
const WORTH_A_WORD: SignedDuration = SignedDuration::from_mins(5);

/// The table and the findings. `wide` adds addresses, evidence of symptoms and everything that could not be seen.
pub fn render(diagnoses: &[Diagnosis], wide: bool) -> String {
    let mut sorted: Vec<_> = diagnoses.iter().collect();
    sorted.sort_by_key(|diagnosis| {
        (Reverse(diagnosis.verdict), &diagnosis.target.namespace, &diagnosis.target.name, diagnosis.target.kind)
    });
    if sorted.is_empty() {
        return "no Ingress of GKE's and no Service with a standalone NEG\n".to_owned();
    }
    let quiet = |verdict: Verdict| move |one: &&Diagnosis| !wide && one.verdict == verdict && one.findings.is_empty();
    let (unknown, healthy) = (quiet(Verdict::Unknown), quiet(Verdict::Healthy));
    let rows: Vec<_> = sorted.iter().copied().filter(|one| !unknown(one) && !healthy(one)).collect();
    let mut text = if rows.is_empty() { String::new() } else { table(&rows, wide) };
    for diagnosis in &rows {
        let unanswered = wide && !diagnosis.inconclusive.is_empty();
        if diagnosis.findings.is_empty() && diagnosis.verdict != Verdict::Unknown && !unanswered {
            continue;
        }
        text.push('\n');
        details(&mut text, diagnosis, wide);
    }
    for (verdict, word) in [(Verdict::Unknown, "unknown"), (Verdict::Healthy, "healthy")] {
        let these: Vec<_> = sorted.iter().copied().filter(quiet(verdict)).collect();
        if !these.is_empty() {
            text.push_str(if text.is_empty() { "" } else { "\n" });
            in_one_line(&mut text, verdict, word, &these);
            unanswered(&mut text, &these);
        }
    }
    text
}

/// How many there are, and as many names as the line holds.
fn in_one_line(text: &mut String, verdict: Verdict, word: &str, diagnoses: &[&Diagnosis]) {
    let count = format!("{} ", diagnoses.len());
    let mut names = String::new();
    for (at, diagnosis) in diagnoses.iter().enumerate() {
        let left = diagnoses.len() - at;
        let comma = if at > 0 { ", " } else { "" };
        let name = format!("{comma}{}/{}", diagnosis.target.namespace, diagnosis.target.diagnosis_name());
        let room = if left > 1 { format!(" and {left} more").len() } else { 0 };
        let used = count.len() + word.len() + 2 + names.chars().count();
        if at > 0 && used + name.chars().count() + room > WIDTH {
            let _ = write!(names, " and {left} more");
            break;
        }
        names.push_str(&name);
    }
    let style = verdict_style(verdict);
    let _ = writeln!(text, "{count}{style}{word}{style:#}: {names}");
}

/// What kept the answers back, like with like.
fn unanswered(text: &mut String, diagnoses: &[&Diagnosis]) {
    let mut reasons: BTreeMap<(Source, &str), (&Unknown, usize)> = BTreeMap::new();
    for one in diagnoses.iter().flat_map(|diagnosis| &diagnosis.inconclusive) {
        let why = &one.unknown;
        reasons.entry((why.source, &why.reason)).or_insert((why, 0)).1 += 1;
    }
    if reasons.is_empty() {
        return;
    }
    let all = reasons.values().map(|(_, count)| count).sum();
    let _ = writeln!(text, "  {} could not be answered, -o wide lists them:", crate::rules::text::counted(all, "question"));
    for (why, count) in reasons.values() {
        let times = if *count > 1 { format!(", and {} more like it", count - 1) } else { String::new() };
        wrap(text, &format!("{why}{times}"), "    - ", "      ");
    }
}

fn table(diagnoses: &[&Diagnosis], wide: bool) -> String {
    let mut rows =
        vec![vec!["NAMESPACE", "NAME", "VERDICT", "ENDPOINTS", "ROOT CAUSE"].into_iter().map(str::to_owned).collect::<Vec<_>>()];
    if wide {
        rows[0].extend(["ADDRESS".to_owned(), "SUMMARY".to_owned()]);
    }
    for diagnosis in diagnoses {
        let endpoints = diagnosis.endpoints;
        let mut row = vec![
            diagnosis.target.namespace.to_string(),
            diagnosis.target.diagnosis_name(),
            diagnosis.verdict.as_str().to_owned(),
            format!("{}/{}", endpoints.healthy, endpoints.total()),
            diagnosis.root_cause.unwrap_or("-").to_owned(),
        ];
        if wide {
            row.extend([diagnosis.address.clone().unwrap_or_else(|| "-".to_owned()), diagnosis.summary.clone()]);
        }
        rows.push(row);
    }
    let columns = rows[0].len();
    let widths: Vec<_> =
        (0..columns).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()).collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let verdict = at.checked_sub(1).map(|at| diagnoses[at].verdict);
        for (column, cell) in row.iter().enumerate() {
            let style = if column == 2 { verdict.map(verdict_style).unwrap_or_default() } else { Style::new() };
            let padding = if column + 1 == columns { 0 } else { widths[column] - cell.chars().count() + 2 };
            let _ = write!(text, "{style}{cell}{style:#}{:padding$}", "");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn details(text: &mut String, diagnosis: &Diagnosis, wide: bool) {
    let kind = if diagnosis.target.kind == TargetKind::Service { "Service " } else { "" };
    let (bold, style) = (Style::new().bold(), verdict_style(diagnosis.verdict));
    let _ = writeln!(
        text,
        "{bold}{kind}{}/{}{bold:#}: {style}{}{style:#}",
        diagnosis.target.namespace,
        diagnosis.target.name,
        diagnosis.verdict.as_str()
    );
    if let Some(age) = old(diagnosis) {
        wrap(text, &format!("the health of its endpoints was read in Compute {age} ago"), "  ", "  ");
    }
    for root in &diagnosis.findings {
        finding(text, root, wide);
    }
    if diagnosis.findings.is_empty() {
        wrap(text, &diagnosis.summary, "  ", "  ");
    }
    if diagnosis.inconclusive.is_empty() {
        return;
    }
    if wide {
        let _ = writeln!(text, "  could not be answered:");
        for one in &diagnosis.inconclusive {
            wrap(text, &format!("{}: {}", one.code, one.unknown), "    - ", "      ");
        }
    } else if diagnosis.verdict == Verdict::Unknown {
        unanswered(text, &[diagnosis]);
    } else {
        let _ = writeln!(
            text,
            "  {} could not be answered, -o wide lists them",
            crate::rules::text::counted(diagnosis.inconclusive.len(), "question")
        );
    }
}

/// The age of the facts of Compute that a diagnosis rests on, once it is worth a word.
fn old(diagnosis: &Diagnosis) -> Option<String> {
    let age = diagnosis.made_at.duration_since(diagnosis.compute_facts_at?);
    match (age.as_hours(), age.as_mins()) {
        _ if age < WORTH_A_WORD => None,
        (0, minutes) => Some(format!("{minutes} min")),
        (hours, minutes) => Some(format!("{hours} h {} min", minutes - hours * 60)),
    }
}

fn finding(text: &mut String, root: &Root, wide: bool) {
    headline(text, &root.found, "  ");
    wrap(text, &root.found.finding.message, "    ", "    ");
    for fix in &root.found.finding.fix {
        step(text, fix);
    }
    for evidence in &root.found.finding.evidence {
        wrap(text, &format!("{}: {}", evidence.from, evidence.saw), "    saw   ", "          ");
    }
    for symptom in &root.symptoms {
        headline(text, symptom, "    └ ");
        wrap(text, &symptom.finding.message, "      ", "      ");
        if wide {
            for evidence in &symptom.finding.evidence {
                wrap(text, &format!("{}: {}", evidence.from, evidence.saw), "      saw   ", "            ");
            }
        }
    }
}

fn headline(text: &mut String, found: &Found, indent: &str) {
    let style = severity_style(found.severity());
    let about = found.backend.as_ref().map(|backend| format!(" of {backend}")).unwrap_or_default();
    let accepted = if found.acknowledged { ", acknowledged" } else { "" };
    let _ = writeln!(
        text,
        "{indent}{style}{}{style:#}{about} ({}, {}{accepted})",
        found.rule.code,
        found.severity().as_str().to_lowercase(),
        found.finding.confidence.as_str().to_lowercase()
    );
}

/// A step of a mend: a command or a patch stays in one piece, a sentence is wrapped.
fn step(text: &mut String, fix: &str) {
    if is_command(fix) {
        for (at, line) in fix.lines().enumerate() {
            let _ = writeln!(text, "{}{line}", if at == 0 { "    mend  " } else { "          " });
        }
    } else {
        wrap(text, fix, "    mend  ", "          ");
    }
}

/// Whether a step of a mend is a command or a patch, which are of no use in part.
pub(super) fn is_command(fix: &str) -> bool {
    fix.starts_with("kubectl ") || fix.starts_with("gcloud ") || fix.contains('\n')
}

/// A text of at most so many bytes; one that was longer says so.
pub(super) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let kept = most.checked_sub('…'.len_utf8());
    kept.map_or_else(String::new, |kept| format!("{}…", &text[..text.floor_char_boundary(kept)])).into()
}

fn wrap(text: &mut String, sentence: &str, first: &str, rest: &str) {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in sentence.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = rest.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "{line}");
}

fn verdict_style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Healthy => AnsiColor::Green.on_default(),
        Verdict::Progressing => AnsiColor::Cyan.on_default(),
        Verdict::Unknown => AnsiColor::Magenta.on_default(),
        Verdict::Degraded => AnsiColor::Yellow.on_default().bold(),
        Verdict::Broken => AnsiColor::Red.on_default().bold(),
    }
}

fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::Error => AnsiColor::Red.on_default(),
        Severity::Warning => AnsiColor::Yellow.on_default(),
        Severity::Info => Style::new(),
    }
}
