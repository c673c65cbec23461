//! What a pod answers, and to which request.
//!
//! In: an entry of `probes.yaml`. Out: a reply and what it belongs to. Pure.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::world::Probe;

/// How a pod answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An HTTP answer.
    Status {
        /// Its status.
        status: u16,
        /// Its Location, if it redirects.
        location: Option<String>,
        /// How long it takes.
        latency: Duration,
    },
    /// Nobody listens. Holds for the whole address when it is the first of its answers.
    ConnectionRefused,
    /// The connection is accepted and reset.
    ConnectionReset,
    /// The connection is accepted and never answered.
    Timeout,
    /// The other side does not speak TLS where the client does, or the other way round.
    Tls,
    /// Something that is not HTTP.
    Protocol,
}

impl Reply {
    /// A status at once.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status { status, location: None, latency: Duration::ZERO }
    }

    /// A redirect at once.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Status { status, location: Some(location.to_owned()), latency: Duration::ZERO }
    }
}

/// What the server of an address speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scheme {
    #[default]
    Http,
    Https,
}

impl Scheme {
    pub(super) fn named(name: &str) -> Self {
        if name.eq_ignore_ascii_case("https") { Self::Https } else { Self::Http }
    }
}

/// A reply, and the requests that it is given to.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// `None` is every path.
    pub(super) path: Option<String>,
    /// Empty is every host.
    pub(super) host: String,
    pub(super) reply: Reply,
}

impl Answer {
    pub(super) fn to_all(reply: Reply) -> Self {
        Self { path: None, host: String::new(), reply }
    }

    pub(super) fn to_path(path: &str, reply: Reply) -> Self {
        Self { path: Some(path.to_owned()), host: String::new(), reply }
    }

    pub(super) fn recorded(probe: &Probe) -> Result<Self> {
        let reply = match (probe.status, probe.error.as_deref()) {
            (Some(status), None) => {
                let latency = Duration::from_millis(probe.latency_ms.unwrap_or_default());
                Reply::Status { status, location: probe.location.clone(), latency }
            }
            (None, Some("ConnectionRefused")) => Reply::ConnectionRefused,
            (None, Some("ConnectionReset")) => Reply::ConnectionReset,
            (None, Some("Timeout")) => Reply::Timeout,
            (None, Some("Tls")) => Reply::Tls,
            (None, Some("Protocol")) => Reply::Protocol,
            // Whoever made the connection does not speak.
            (None, None) if probe.scheme.eq_ignore_ascii_case("tcp") => Reply::Protocol,
            (status, error) => {
                bail!("neither a status nor a known error: status {status:?}, error {error:?}")
            }
        };
        Ok(Self { path: Some(probe.path.clone()), host: probe.host.clone(), reply })
    }

    pub(super) fn fits(&self, path: &str, host: &str) -> bool {
        self.path.as_deref().is_none_or(|of| of == path) && (self.host.is_empty() || self.host.eq_ignore_ascii_case(host))
    }
}

/// The first reply that fits; 404 when none does.
pub(super) fn choose(answers: &[Answer], path: &str, host: &str) -> Reply {
    answers.iter().find(|answer| answer.fits(path, host)).map_or_else(|| Reply::status(404), |answer| answer.reply.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits_is_given() {
        let probe = |path: &str, host: &str, status| {
            Answer::recorded(&Probe { path: path.into(), host: host.into(), status: Some(status), ..Probe::default() }).unwrap()
        };
        let answers = [probe("/", "shop.example", 200), probe("/", "", 301), probe("/healthz", "", 204)];
        let status = |path, host| match choose(&answers, path, host) {
            Reply::Status { status, .. } => status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status("/", "SHOP.example"), 200);
        assert_eq!(status("/", "10.4.0.5"), 301);
        assert_eq!(status("/healthz", "x"), 204);
        assert_eq!(status("/other", "x"), 404);
        assert!(Answer::recorded(&Probe { error: Some("Cosmic".into()), ..Probe::default() }).is_err());
    }
}
