//! The pages of the rules and the table of all of them.
//!
//! Enters: the catalogue. Leaves: Markdown. Never: text that is kept anywhere else.

use std::fmt::Write as _;

use super::{CATALOGUE, Rule};

/// The headings that every page has, in this order.
pub const SECTIONS: [&str; 6] =
    ["What it means", "Why traffic breaks", "How to confirm", "How to mend", "How it differs from its neighbours", "Sources"];

/// The end of every page: a page cannot know the reader's names, a diagnosis does.
const NAMES: &str = "\n\nWords in capitals stand for names of yours. A diagnosis has them filled in: `kubectl -n NAMESPACE describe ingressdiagnosis NAME`.\n";

/// The page of a rule: a heading with code and severity, then the rule's own text.
pub fn page(rule: &Rule) -> String {
    let role = if rule.symptom { "symptom" } else { "cause" };
    let mut page = format!(
        "# {}\n\n{}\n\nSeverity: {}. Role: {role}. Section: {}.\n",
        rule.code,
        rule.summary,
        rule.severity.as_str(),
        rule.section.title()
    );
    if !rule.explains.is_empty() {
        let _ = writeln!(page, "Explains: {}.", rule.explains.join(", "));
    }
    page.push('\n');
    page.push_str(rule.doc.trim());
    page.push_str(NAMES);
    page
}

/// The rules by section, then code.
pub fn sorted() -> Vec<&'static Rule> {
    let mut rules = CATALOGUE.to_vec();
    rules.sort_by_key(|rule| (rule.section, rule.code));
    rules
}

/// The table of all rules.
pub fn table() -> String {
    let mut table = String::from("| code | severity | role | what |\n|---|---|---|---|\n");
    for rule in sorted() {
        let role = if rule.symptom { "symptom" } else { "cause" };
        let _ = writeln!(
            table,
            "| [{0}]({1}.md) | {2} | {role} | {3} |",
            rule.code,
            snake_case(rule.code),
            rule.severity.as_str(),
            rule.summary
        );
    }
    table
}

/// `health_check_redirected` of `HealthCheckRedirected`: the name of a rule's files.
pub fn snake_case(code: &str) -> String {
    let mut snake = String::new();
    for (at, c) in code.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
