//! Three-valued facts: seen, known to be absent, or not seen.
//!
//! Enters: nothing. Leaves: [`Observed`] and [`Unknown`], used everywhere.
//! Never: turns "could not see" into "is not there".

use std::fmt;

/// Where a fact comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The Kubernetes API server.
    Kubernetes,
    /// The Compute Engine API.
    Compute,
    /// The Container (GKE) API.
    Container,
    /// An in-cluster request to an endpoint.
    Probe,
}

impl Source {
    /// The word used in `meta.yaml`, in metric labels and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Compute => "compute",
            Self::Container => "container",
            Self::Probe => "probe",
        }
    }

    /// The inverse of [`Source::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Kubernetes, Self::Compute, Self::Container, Self::Probe].into_iter().find(|source| source.as_str() == word)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why something was not seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unknown {
    /// Which server would have told.
    pub source: Source,
    /// What was asked for: `networkpolicies.networking.k8s.io`, `backendServices`, `projects/…/backendServices/NAME/getHealth`.
    pub resource: Box<str>,
    /// One word: `Forbidden`, `rateLimitExceeded`, `NotRead`, `Malformed`, …
    pub reason: Box<str>,
    /// What the server said, or what else explains it; may be empty.
    pub message: Box<str>,
}

impl Unknown {
    /// The reason of what was read, but before something changed that it has to do with.
    pub const OUTDATED: &str = "Outdated";

    /// Something that was not seen, and why.
    pub fn new(source: Source, resource: impl Into<Box<str>>, reason: impl Into<Box<str>>, message: impl Into<Box<str>>) -> Self {
        Self { source, resource: resource.into(), reason: reason.into(), message: message.into() }
    }

    /// A fact that nobody asked for: the file is absent from the folder, or the read has not happened yet.
    pub fn not_read(source: Source, resource: impl Into<Box<str>>) -> Self {
        Self::new(source, resource, "NotRead", "it was not read")
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.source, self.resource, self.reason)?;
        if !self.message.is_empty() {
            write!(f, " ({})", self.message)?;
        }
        Ok(())
    }
}

/// A fact with three values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed<T> {
    /// It was seen.
    Present(T),
    /// It was looked for, and is not there.
    Absent,
    /// It could not be seen.
    Unknown(Unknown),
}

impl<T> Default for Observed<T> {
    fn default() -> Self {
        Self::Unknown(Unknown::not_read(Source::Container, "clusters"))
    }
}

impl<T> Observed<T> {
    /// `Some` when seen, `None` when absent, the reason when it could not be seen: made for `?` in a rule.
    pub fn known(self) -> Result<Option<T>, Unknown> {
        match self {
            Self::Present(value) => Ok(Some(value)),
            Self::Absent => Ok(None),
            Self::Unknown(why) => Err(why),
        }
    }

    /// `Some` only when seen; for what a text may mention but nothing depends on.
    pub fn seen(self) -> Option<T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// The same fact, borrowed.
    pub fn as_ref(&self) -> Observed<&T> {
        match self {
            Self::Present(value) => Observed::Present(value),
            Self::Absent => Observed::Absent,
            Self::Unknown(why) => Observed::Unknown(why.clone()),
        }
    }

    /// Known to be absent.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The fact, changed in form.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Observed<U> {
        match self {
            Self::Present(value) => Observed::Present(change(value)),
            Self::Absent => Observed::Absent,
            Self::Unknown(why) => Observed::Unknown(why),
        }
    }
}
