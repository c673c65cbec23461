//! `explain` and `crd`: what the program knows by heart.
//!
//! Enters: a code, or none. Leaves: a page, the list of all codes, or the CustomResourceDefinition. Never: needs a cluster.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::rules::page::{page, sorted};
use crate::rules::{CATALOGUE, Section};

use super::{Outcome, print};

pub(super) fn explain(code: Option<&str>) -> Outcome {
    let Some(code) = code else {
        print(&all())?;
        return Ok(ExitCode::SUCCESS);
    };
    match CATALOGUE.iter().find(|rule| rule.code.eq_ignore_ascii_case(code)) {
        Some(rule) => {
            print(&page(rule))?;
            Ok(ExitCode::SUCCESS)
        }
        None => Err(unknown(code).into()),
    }
}

pub(super) fn crd() -> Outcome {
    print(&crd_yaml()?)?;
    Ok(ExitCode::SUCCESS)
}

/// The CustomResourceDefinition as YAML.
pub fn crd_yaml() -> Result<String, Box<dyn std::error::Error>> {
    Ok(serde_saphyr::to_string(&serde_json::to_value(crate::api::crd())?)?)
}

/// Every code with its summary, by section.
fn all() -> String {
    let mut text = String::new();
    let mut section: Option<Section> = None;
    for rule in sorted() {
        if section.map(Section::title) != Some(rule.section.title()) {
            let _ = writeln!(text, "{}{}", if section.is_some() { "\n" } else { "" }, rule.section.title());
        }
        section = Some(rule.section);
        let role = if rule.symptom { ", symptom" } else { "" };
        let _ = writeln!(text, "  {} ({}{role}): {}", rule.code, rule.severity.as_str().to_lowercase(), rule.summary);
    }
    text
}

fn unknown(code: &str) -> String {
    let wanted = code.to_ascii_lowercase();
    let near: Vec<_> = CATALOGUE
        .iter()
        .map(|rule| rule.code)
        .filter(|known| wanted.len() > 2 && known.to_ascii_lowercase().contains(&wanted))
        .collect();
    let hint = if near.is_empty() {
        "`explain` without a code lists all of them".to_owned()
    } else {
        format!("did you mean {}", near.join(", "))
    };
    format!("there is no code {code:?}: {hint}")
}
