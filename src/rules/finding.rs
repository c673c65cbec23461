//! What a rule says when it fires.
//!
//! Enters: words and facts of a rule. Leaves: a [`Finding`]. Never: longer texts than a status may hold, or control characters in them.

use jiff::Timestamp;

/// How bad it is for traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Traffic is, or will be, refused.
    Error,
    /// Part of it, or the next change.
    Warning,
    /// By design, or it passes.
    Info,
}

impl Severity {
    /// The word in the custom resource and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Info => "Info",
        }
    }
}

/// How sure the rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// The cause itself was seen.
    Certain,
    /// What was seen is explained best by it.
    Likely,
    /// It fits what was seen.
    Possible,
}

impl Confidence {
    /// The word in the custom resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "Certain",
            Self::Likely => "Likely",
            Self::Possible => "Possible",
        }
    }
}

/// What was seen, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The object and field, the event, the probe.
    pub from: String,
    /// The value, or the text.
    pub saw: String,
}

/// What a rule says when it fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Another severity than the rule's own.
    pub severity: Option<Severity>,
    /// How sure it is.
    pub confidence: Confidence,
    /// What is wrong, with the user's own names: lower-case start, no full stop.
    pub message: String,
    /// What was seen, and where.
    pub evidence: Vec<Evidence>,
    /// What mends it: sentences, and commands that can be pasted.
    pub fix: Vec<String>,
    /// It means by itself that nobody is served, or that a deletion is blocked.
    pub breaks: bool,
    /// Since when, where something says so.
    pub since: Option<Timestamp>,
    /// Code of a rule that explains others of this finding's code, and not this one.
    pub beside: Option<&'static str>,
}

/// Longest message, evidence or fix, in bytes.
const TEXT_LIMIT: usize = 1024;
/// Most pieces of evidence, and most lines of a fix.
const LIST_LIMIT: usize = 8;

impl Finding {
    fn new(confidence: Confidence, message: impl Into<String>) -> Self {
        let message = clean(&message.into());
        let (evidence, fix) = (Vec::new(), Vec::new());
        Self { severity: None, confidence, message, evidence, fix, breaks: false, since: None, beside: None }
    }

    /// The cause itself was seen.
    pub fn certain(message: impl Into<String>) -> Self {
        Self::new(Confidence::Certain, message)
    }

    /// What was seen is explained best by it.
    pub fn likely(message: impl Into<String>) -> Self {
        Self::new(Confidence::Likely, message)
    }

    /// It fits what was seen.
    pub fn possible(message: impl Into<String>) -> Self {
        Self::new(Confidence::Possible, message)
    }

    /// Adds what was seen; the list is bounded, and its last place says how much more there was.
    #[must_use]
    pub fn evidence(mut self, from: impl AsRef<str>, saw: impl AsRef<str>) -> Self {
        if self.evidence.len() < LIST_LIMIT {
            self.evidence.push(Evidence { from: clean(from.as_ref()), saw: clean(saw.as_ref()) });
        }
        self
    }

    /// Adds a step of the mend: a sentence, or a command that can be pasted.
    #[must_use]
    pub fn fix(mut self, step: impl AsRef<str>) -> Self {
        if self.fix.len() < LIST_LIMIT {
            self.fix.push(clean_lines(step.as_ref()));
        }
        self
    }

    /// Another severity than the rule's own.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }

    /// It means by itself that nobody is served, or that a deletion is blocked.
    #[must_use]
    pub fn breaking(mut self) -> Self {
        self.breaks = true;
        self
    }

    /// Stands beside what the rule of this code finds, not below it.
    #[must_use]
    pub fn beside(mut self, code: &'static str) -> Self {
        self.beside = Some(code);
        self
    }

    /// Since when.
    #[must_use]
    pub fn since(mut self, since: Option<Timestamp>) -> Self {
        self.since = since;
        self
    }
}

/// One line without control characters, bounded.
pub(crate) fn clean(text: &str) -> String {
    clean_with(text, |c| if c.is_control() { ' ' } else { c })
}

/// A name, for a place where only a name belongs: Kubernetes allows 253 characters.
pub(crate) fn name(text: &str) -> String {
    clean(&text[..text.floor_char_boundary(256)])
}

/// Lines without other control characters, bounded: a YAML patch keeps its form.
fn clean_lines(text: &str) -> String {
    clean_with(text, |c| if c.is_control() && c != '\n' { ' ' } else { c })
}

fn clean_with(text: &str, replace: impl Fn(char) -> char) -> String {
    let cut = text.floor_char_boundary(TEXT_LIMIT);
    let mut clean: String = text[..cut].chars().map(replace).collect();
    if cut < text.len() {
        clean.push('…');
    }
    clean
}
