//! Which readinessProbe GKE's controller would take for a Service port, and the health check that it would derive.
//!
//! Enters: a Service port, its protocol, the selected pods, the BackendConfig. Leaves: the chosen probe or why none qualifies, and the
//! fields of the health check that would be made now. Never: compares with what exists; that is a rule's work.
//! Source: ingress-gce `pkg/controller/translator/translator.go` (`GetProbe`, `getHTTPProbe`, `isSimpleHTTPProbe`),
//! `pkg/healthchecks/healthchecks.go`, `pkg/translator/healthchecks.go`.

use crate::snapshot::kubernetes::{Container, HealthCheckConfig, HttpGet, Pod, PortRef, ReadinessProbe, ServicePort};
use crate::snapshot::probe::Scheme;

use super::questions::Question;

/// Why a readinessProbe is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// `exec`, `tcpSocket` or `grpc`.
    Kind(&'static str),
    /// `httpGet.host` is set.
    Host,
    /// A header other than a single `Host`.
    Headers,
    /// The scheme is not the one of the Service port's protocol.
    Scheme {
        /// The probe's.
        probe: Box<str>,
        /// The one that would qualify.
        wanted: &'static str,
    },
    /// The container does not declare the Service's targetPort.
    Undeclared(PortRef),
    /// The probe asks another port than the Service's targetPort.
    OtherPort {
        /// The probe's.
        probe: PortRef,
        /// The Service's.
        target: PortRef,
    },
}

/// A probe that the controller accepts, and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// The probe.
    pub probe: &'a ReadinessProbe,
}

/// A probe that the controller passes over, whose it is, and why.
#[derive(Debug, Clone)]
pub struct PassedOver<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// Why.
    pub why: Unusable,
}

/// The scheme that a probe must have for a protocol: HTTP2 means TLS.
pub fn probe_scheme(protocol: &str) -> &'static str {
    if protocol == "HTTP" { "HTTP" } else { "HTTPS" }
}

/// The selected pods in the order in which the controller looks at them: oldest first, finished ones included.
pub fn oldest_first<'a>(pods: &[&'a Pod]) -> Vec<&'a Pod> {
    let mut pods = pods.to_vec();
    pods.sort_by(|a, b| {
        (a.metadata.creation_timestamp, &a.metadata.name).cmp(&(b.metadata.creation_timestamp, &b.metadata.name))
    });
    pods
}

/// The probe that the controller would choose now.
pub fn choose<'a>(pods: &[&'a Pod], port: &ServicePort, protocol: &str) -> Option<Chosen<'a>> {
    oldest_first(pods).into_iter().find_map(|pod| {
        pod.spec.containers.iter().find_map(|container| {
            let probe = container.readiness_probe.as_ref()?;
            unusable(container, probe, port, protocol).is_none().then_some(Chosen { pod, container, probe })
        })
    })
}

/// The probes that the controller passes over, oldest pod first; empty when no pod has one.
pub fn passed_over<'a>(pods: &[&'a Pod], port: &ServicePort, protocol: &str) -> Vec<PassedOver<'a>> {
    oldest_first(pods)
        .into_iter()
        .flat_map(|pod| {
            pod.spec.containers.iter().filter_map(move |container| {
                let probe = container.readiness_probe.as_ref()?;
                unusable(container, probe, port, protocol).map(|why| PassedOver { pod, container, why })
            })
        })
        .collect()
}

fn unusable(container: &Container, probe: &ReadinessProbe, port: &ServicePort, protocol: &str) -> Option<Unusable> {
    let Some(get) = &probe.http_get else {
        let kind = if probe.tcp_socket.is_some() {
            "tcpSocket"
        } else if probe.grpc.is_some() {
            "grpc"
        } else {
            "exec"
        };
        return Some(Unusable::Kind(kind));
    };
    if !get.host.is_empty() {
        return Some(Unusable::Host);
    }
    if !(get.http_headers.is_empty() || get.http_headers.len() == 1 && &*get.http_headers[0].name == "Host") {
        return Some(Unusable::Headers);
    }
    let scheme: &str = if get.scheme.is_empty() { "HTTP" } else { &get.scheme };
    let wanted = probe_scheme(protocol);
    if scheme != wanted {
        return Some(Unusable::Scheme { probe: scheme.into(), wanted });
    }
    let target = port.target();
    let declared = container.ports.iter().filter(|declared| match &target {
        PortRef::Number(number) => declared.container_port == *number,
        PortRef::Name(name) => &declared.name == name,
    });
    let mut declares = false;
    for declared in declared {
        declares = true;
        let same = match &get.port {
            PortRef::Number(number) => declared.container_port == *number,
            PortRef::Name(name) => &declared.name == name,
        };
        if same {
            return None;
        }
    }
    Some(if declares { Unusable::OtherPort { probe: get.port.clone(), target } } else { Unusable::Undeclared(target) })
}

/// Another path than the question's that the kubelet asks at the same port over the same scheme, and that makes the pod Ready.
pub fn passing_path<'a>(question: &Question<'a>) -> Option<&'a str> {
    let pod = question.pod;
    let asks_here = |get: &&HttpGet, container: &Container| {
        let number = container.number_of(&get.port);
        let scheme = if &*get.scheme == "HTTPS" { Scheme::Https } else { Scheme::Http };
        get.host.is_empty() && number == Some(i32::from(question.port)) && scheme == question.scheme
    };
    let gets =
        pod.spec.containers.iter().filter_map(|container| {
            container.readiness_probe.as_ref()?.http_get.as_ref().filter(|get| asks_here(get, container))
        });
    gets.map(|get| if get.path.is_empty() { "/" } else { &*get.path })
        .find(|path| *path != question.path && path.starts_with('/'))
}

/// The fields of a health check that the controller derives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// `HTTP`, `HTTPS`, `HTTP2`.
    pub type_: Box<str>,
    /// Path.
    pub request_path: Box<str>,
    /// Host header; empty means none.
    pub host: Box<str>,
    /// Seconds.
    pub check_interval_sec: i64,
    /// Seconds.
    pub timeout_sec: i64,
    /// Successes in a row.
    pub healthy_threshold: i64,
    /// Failures in a row.
    pub unhealthy_threshold: i64,
    /// A fixed port, when BackendConfig sets one.
    pub port: Option<i64>,
}

/// The health check that the controller would make now. `neg` is false for an instance group; `default_path` is `/`, or `/healthz` for
/// the system default backend.
pub fn derive(
    protocol: &str,
    neg: bool,
    default_path: &str,
    probe: Option<&ReadinessProbe>,
    config: Option<&HealthCheckConfig>,
) -> Derived {
    let mut derived = Derived {
        type_: protocol.into(),
        request_path: default_path.into(),
        host: "".into(),
        check_interval_sec: if neg { 15 } else { 60 },
        timeout_sec: if neg { 15 } else { 60 },
        healthy_threshold: 1,
        unhealthy_threshold: if neg { 2 } else { 10 },
        port: None,
    };
    if let Some(probe) = probe
        && let Some(get) = &probe.http_get
    {
        derived.request_path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path).into() };
        if let [header] = &*get.http_headers {
            derived.host = header.value.clone();
        }
        derived.timeout_sec = probe.timeout();
        derived.check_interval_sec = if neg { probe.period() } else { probe.period().saturating_add(60) };
    }
    if let Some(config) = config {
        let number = |field: &mut i64, value: Option<i64>| {
            if let Some(value) = value {
                *field = value;
            }
        };
        number(&mut derived.check_interval_sec, config.check_interval_sec);
        number(&mut derived.timeout_sec, config.timeout_sec);
        number(&mut derived.healthy_threshold, config.healthy_threshold);
        number(&mut derived.unhealthy_threshold, config.unhealthy_threshold);
        if let Some(type_) = &config.type_ {
            derived.type_ = type_.clone();
        }
        if let Some(path) = &config.request_path {
            derived.request_path = path.clone();
        }
        derived.port = config.port.or(derived.port);
    }
    derived
}
