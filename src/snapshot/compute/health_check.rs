//! Health checks: what Google asks the endpoints, and at which port. Field names are the REST API's.
//! Enters: JSON. Leaves: the question, by the type of the check. Never: asks it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::types::{Link, resource};
use crate::snapshot::kubernetes::meta::or_default;

resource! {
    /// A health check.
    HealthCheck, "healthChecks" {
        /// Who derived it from what.
        description: Box<str>,
        /// `HTTP`, `HTTPS`, `HTTP2`, `TCP`, …
        type_: Box<str> = "type",
        /// Seconds between two questions.
        check_interval_sec: i64,
        /// Seconds until a question counts as failed.
        timeout_sec: i64,
        /// Successes in a row.
        healthy_threshold: i64,
        /// Failures in a row.
        unhealthy_threshold: i64,
        /// The question, for type HTTP.
        http_health_check: Option<HttpCheck>,
        /// The question, for type HTTPS.
        https_health_check: Option<HttpCheck>,
        /// The question, for type HTTP2.
        http2_health_check: Option<HttpCheck>,
        /// The question, for type TCP.
        tcp_health_check: Option<ConnectionCheck>,
        /// The question, for type SSL.
        ssl_health_check: Option<ConnectionCheck>,
        /// The question, for type GRPC.
        grpc_health_check: Option<ConnectionCheck>,
        /// The question, for type GRPC_WITH_TLS.
        grpc_tls_health_check: Option<ConnectionCheck>,
        /// When it was made.
        creation_timestamp: Option<Timestamp>,
    }
}

/// The question of an HTTP health check.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpCheck {
    /// Port, where the specification is fixed or absent.
    pub port: Option<i64>,
    /// `USE_FIXED_PORT`, `USE_NAMED_PORT`, `USE_SERVING_PORT`, or absent.
    #[serde(deserialize_with = "or_default")]
    pub port_specification: Box<str>,
    /// Path; `/` when empty.
    #[serde(deserialize_with = "or_default")]
    pub request_path: Box<str>,
    /// Host header; the endpoint's address when empty.
    #[serde(deserialize_with = "or_default")]
    pub host: Box<str>,
}

/// The question of a health check that does not speak HTTP/1 or plain HTTP/2: a connection, and for some types more.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionCheck {
    /// Port, where the specification is fixed or absent.
    pub port: Option<i64>,
    /// `USE_FIXED_PORT`, `USE_NAMED_PORT`, `USE_SERVING_PORT`, or absent.
    #[serde(deserialize_with = "or_default")]
    pub port_specification: Box<str>,
    /// Bytes that must come, for types TCP and SSL; empty: none.
    #[serde(deserialize_with = "or_default")]
    pub response: Box<str>,
}

/// The port that a health check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedPort<'a> {
    /// Its number, if the check has one.
    pub number: Option<i64>,
    /// `USE_FIXED_PORT`, `USE_NAMED_PORT`, `USE_SERVING_PORT`, or empty.
    pub specification: &'a str,
}

impl AskedPort<'_> {
    /// The number, where the check says that it asks no other.
    pub fn fixed(self) -> Option<i64> {
        self.number.filter(|_| self.specification == "USE_FIXED_PORT")
    }
}

impl HealthCheck {
    /// The question of a type that does not speak HTTP: whatever else it wants, it begins with a TCP connection.
    pub fn connection(&self) -> Option<&ConnectionCheck> {
        match &*self.type_ {
            "TCP" => self.tcp_health_check.as_ref(),
            "SSL" => self.ssl_health_check.as_ref(),
            "GRPC" => self.grpc_health_check.as_ref(),
            "GRPC_WITH_TLS" => self.grpc_tls_health_check.as_ref(),
            _ => None,
        }
    }

    /// A TCP connection is all that it wants.
    pub fn only_connects(&self) -> bool {
        &*self.type_ == "TCP" && self.connection().is_some_and(|check| check.response.is_empty())
    }

    /// The port that its type asks.
    pub fn asked_port(&self) -> Option<AskedPort<'_>> {
        let http = self.http().map(|http| AskedPort { number: http.port, specification: &http.port_specification });
        let other = || self.connection().map(|check| AskedPort { number: check.port, specification: &check.port_specification });
        http.or_else(other)
    }

    /// The HTTP question that its type asks; `None` for TCP and other types.
    pub fn http(&self) -> Option<&HttpCheck> {
        match &*self.type_ {
            "HTTP" => self.http_health_check.as_ref(),
            "HTTPS" => self.https_health_check.as_ref(),
            "HTTP2" => self.http2_health_check.as_ref(),
            _ => None,
        }
    }
}
