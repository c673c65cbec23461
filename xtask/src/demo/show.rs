//! What the story shows.
//!
//! Enters: answers of the API server. Leaves: text, as kubectl would print it or shorter. Pure.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

/// The API server's table, of which the columns that kubectl shows without `-o wide` are kept.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    column_definitions: Vec<Column>,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    #[serde(default)]
    priority: u32,
}

#[derive(Debug, Deserialize)]
struct Row {
    cells: Vec<Value>,
    object: Value,
}

/// A table of all namespaces, as kubectl prints it.
pub fn table(table: &Table) -> String {
    let shown: Vec<usize> =
        (0..table.column_definitions.len()).filter(|at| table.column_definitions[*at].priority == 0).collect();
    let mut lines = vec![
        std::iter::once("NAMESPACE".to_owned())
            .chain(shown.iter().map(|at| table.column_definitions[*at].name.to_uppercase()))
            .collect::<Vec<_>>(),
    ];
    for row in &table.rows {
        let namespace = row.object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let cells = shown.iter().map(|at| row.cells.get(*at).map(cell).unwrap_or_default());
        lines.push(std::iter::once(namespace).chain(cells).collect());
    }
    aligned(&lines)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |at: usize| lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let padded: String = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}   ")).collect();
        let _ = writeln!(text, "{}", padded.trim_end());
    }
    text
}

/// The program's events in a list of events, in the order in which they were written.
pub fn events(answer: &Value) -> String {
    let mut ours: Vec<&Value> =
        list(&answer["items"]).iter().filter(|event| event["source"]["component"] == "ingress-diagnosis").collect();
    ours.sort_by_key(|event| word(&event["firstTimestamp"]));
    let row = |event: &Value| ["type", "reason", "message"].map(|field| word(&event[field]).to_owned()).to_vec();
    aligned(&ours.into_iter().map(row).collect::<Vec<_>>())
}

/// The findings of a diagnosis: what is wrong, what was seen, what mends it.
pub fn findings(diagnosis: &Value) -> String {
    let status = &diagnosis["status"];
    let mut text = format!("summary: {}\n", word(&status["summary"]));
    for finding in list(&status["findings"]) {
        let _ = writeln!(text, "{} ({}, {})", word(&finding["code"]), word(&finding["severity"]), word(&finding["confidence"]));
        let _ = writeln!(text, "  {}", word(&finding["message"]));
        for evidence in list(&finding["evidence"]) {
            let _ = writeln!(text, "  seen: {}: {}", word(&evidence["from"]), word(&evidence["saw"]));
        }
        for step in list(&finding["fix"]) {
            let _ = writeln!(text, "  mend: {}", word(step));
        }
        for symptom in list(&finding["symptoms"]) {
            let _ = writeln!(text, "  so also {}: {}", word(&symptom["code"]), word(&symptom["message"]));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_kubectls() {
        let answer = json!({
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Summary", "priority": 1}, {"name": "Endpoints"}],
            "rows": [{"cells": ["web", "hidden", "0/2"], "object": {"metadata": {"namespace": "shop"}}},
                     {"cells": ["a-longer-name", null, null], "object": {"metadata": {"namespace": "b"}}}],
        });
        let text = table(&serde_json::from_value(answer).unwrap());
        assert_eq!(text, "NAMESPACE   NAME            ENDPOINTS\nshop        web             0/2\nb           a-longer-name\n");
    }
}
