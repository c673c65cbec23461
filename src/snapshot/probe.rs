//! Answers of in-cluster requests that behave like a Google Cloud health check.
//!
//! Enters: answers, as `probes.yaml` or the prober gives them. Leaves: [`Probes`], asked by address and question.
//! Never: sends a request; a question that nobody asked is [`Unknown`], not a failure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::observed::{Source, Unknown};

/// What is spoken; certificates are never verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "UPPERCASE")]
pub enum Scheme {
    /// Plain HTTP.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
    /// Nothing: the connection is made and ended.
    Tcp,
}

impl Scheme {
    /// `http`, `https` or `tcp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
        }
    }
}

/// Why a request got no HTTP answer, or a connection was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProbeError {
    /// Nothing listens on the port.
    ConnectionRefused,
    /// The connection was reset.
    ConnectionReset,
    /// No answer within the health check's timeout.
    Timeout,
    /// The TLS handshake failed.
    Tls,
    /// What came back is not HTTP.
    Protocol,
}

impl ProbeError {
    /// The word used in `probes.yaml`, in evidence and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "ConnectionRefused",
            Self::ConnectionReset => "ConnectionReset",
            Self::Timeout => "Timeout",
            Self::Tls => "Tls",
            Self::Protocol => "Protocol",
        }
    }
}

/// The way that a request took, where it was not the straight one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Via {
    /// The API server's pod proxy.
    #[serde(rename = "pods/proxy")]
    PodProxy,
}

/// One request and what came back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeAnswer {
    /// `namespace/name` of the pod.
    #[serde(default)]
    pub pod: Box<str>,
    /// Address that was asked.
    pub ip: IpAddr,
    /// Port that was asked.
    pub port: u16,
    /// HTTP, HTTPS or TCP.
    #[serde(default)]
    pub scheme: Scheme,
    /// Path that was asked.
    pub path: Box<str>,
    /// Host header; empty means the address.
    #[serde(default)]
    pub host: Box<str>,
    /// HTTP status, when there was an answer. A TCP connection that was made has neither this nor an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The answer's `Location` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Box<str>>,
    /// Time to the answer in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Why there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ProbeError>,
    /// What the error said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<str>>,
    /// Which way it went; absent: straight from within the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
}

/// All answers of one moment.
#[derive(Debug, Clone, Default)]
pub struct Probes {
    /// False when no probe was sent at all (the file is absent, or probing is off).
    pub asked: bool,
    answers: BTreeMap<(IpAddr, u16), Vec<ProbeAnswer>>,
}

impl Probes {
    /// Keeps an answer; a newer one to the same question replaces the older.
    pub fn insert(&mut self, answer: ProbeAnswer) {
        self.asked = true;
        let answers = self.answers.entry((answer.ip, answer.port)).or_default();
        answers.retain(|known| {
            (known.scheme, &known.path, &known.host, &known.pod) != (answer.scheme, &answer.path, &answer.host, &answer.pod)
        });
        answers.push(answer);
        answers.sort();
    }

    /// Forgets the answers for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&ProbeAnswer) -> bool) {
        self.answers.retain(|_, answers| {
            answers.retain(&mut keep);
            !answers.is_empty()
        });
    }

    /// The answer of `pod` at this address to a health check's question. An answer recorded for another pod that held the
    /// address before does not count.
    pub fn answer(
        &self,
        pod: &str,
        ip: IpAddr,
        port: u16,
        scheme: Scheme,
        path: &str,
        host: &str,
    ) -> Result<&ProbeAnswer, Unknown> {
        self.answers
            .get(&(ip, port))
            .and_then(|answers| {
                answers.iter().find(|answer| {
                    answer.scheme == scheme
                        && &*answer.path == path
                        && &*answer.host == host
                        && (answer.pod.is_empty() || &*answer.pod == pod)
                })
            })
            .ok_or_else(|| Unknown::not_read(Source::Probe, format!("{}://{}:{}{}", scheme.as_str(), ip, port, path)))
    }

    /// Every answer, ordered by address.
    pub fn iter(&self) -> impl Iterator<Item = &ProbeAnswer> {
        self.answers.values().flatten()
    }
}
