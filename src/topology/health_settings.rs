//! The health check that GKE's controller would make for a backend now, from everything that it looks at.
//!
//! Enters: a [`Backend`]. Leaves: [`Due`], or nothing where the controller would refuse to derive one, and what differs from it.
//! Never: takes a health check for the controller's that somebody else has made.
//! Source: ingress-gce `pkg/controller/translator/translator.go` (`GetProbe`), `pkg/healthchecks/healthchecks.go`.

use serde_json::Value;

use crate::snapshot::compute::{HealthCheck, short_name};
use crate::snapshot::kubernetes::{BackendConfig, HealthCheckConfig, Pod};
use crate::snapshot::{Observed, Unknown};

use super::Topology;
use super::annotations;
use super::backend::{Backend, GroupKind, Role};
use super::health_check::{Chosen, Derived, choose, derive};

/// The health check that the controller would make now.
#[derive(Debug, Clone)]
pub struct Due<'a> {
    /// Its fields.
    pub derived: Derived,
    /// The readinessProbe that they come from; `None` means the defaults.
    pub chosen: Option<Chosen<'a>>,
    /// What BackendConfig sets, which wins over the probe.
    pub config: Option<&'a HealthCheckConfig>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Its name in a BackendConfig, which is the API's but for the port.
    pub field: &'static str,
    /// What the health check has.
    pub is: String,
    /// What it would have.
    pub due: String,
    /// What a BackendConfig would have to say; `None` where it cannot.
    pub set: Option<Value>,
}

impl Due<'_> {
    /// What differs. The type is always brought into line, and what BackendConfig sets is with the next sync: neither can drift.
    pub fn differences(&self, live: &HealthCheck, backend: &Backend<'_>) -> Vec<Difference> {
        let Some(http) = live.http() else { return Vec::new() };
        let Derived { request_path, host, check_interval_sec, timeout_sec, healthy_threshold, unhealthy_threshold, .. } =
            &self.derived;
        let config = self.config.cloned().unwrap_or_default();
        let mut differences = Vec::new();
        let path = if http.request_path.is_empty() { "/" } else { &*http.request_path };
        if config.request_path.is_none() && path != &**request_path {
            let set = Some(Value::from(&**request_path));
            differences.push(Difference { field: "requestPath", is: path.to_owned(), due: request_path.to_string(), set });
        }
        if http.host != *host {
            let word = |host: &str| if host.is_empty() { "none".to_owned() } else { host.to_owned() };
            differences.push(Difference { field: "host", is: word(&http.host), due: word(host), set: None });
        }
        let numbers = [
            ("checkIntervalSec", live.check_interval_sec, *check_interval_sec, config.check_interval_sec),
            ("timeoutSec", live.timeout_sec, *timeout_sec, config.timeout_sec),
            ("healthyThreshold", live.healthy_threshold, *healthy_threshold, config.healthy_threshold),
            ("unhealthyThreshold", live.unhealthy_threshold, *unhealthy_threshold, config.unhealthy_threshold),
        ];
        for (field, is, due, set) in numbers {
            if set.is_none() && is != due && is != 0 {
                differences.push(Difference { field, is: is.to_string(), due: due.to_string(), set: Some(due.into()) });
            }
        }
        let fixed = http.port.filter(|_| &*http.port_specification == "USE_FIXED_PORT" && config.port.is_none());
        if let (Some(fixed), Some(port)) = (fixed, backend.port) {
            let (due, number) = match backend.kind {
                GroupKind::InstanceGroup => (format!("{} of the nodes", port.node_port), Some(i64::from(port.node_port))),
                GroupKind::Neg => ("of the endpoint".to_owned(), backend.endpoint_port()),
            };
            if number != Some(fixed) {
                differences.push(Difference { field: "port", is: fixed.to_string(), due, set: number.map(Value::from) });
            }
        }
        differences
    }
}

impl<'a> Backend<'a> {
    /// The controller's own health check: its name is the backend service's, and its description one of the controller's, other than that
    /// of transparent health checks, which look at no probe.
    pub fn made_by_controller(&self, live: &HealthCheck) -> bool {
        // ingress-gce `pkg/translator/healthchecks.go` (texts), `pkg/utils/healthcheck/healthcheck.go` (JSON).
        let text = &*live.description;
        let described = text.starts_with("Default kubernetes L7 Loadbalancing health check")
            || text.starts_with("Kubernetes L7 health check generated with")
            || text.contains("\"k8sResource\"") && !text.contains("\"TransparentHC\"");
        described && self.backend_service_path.as_deref().is_some_and(|path| short_name(path) == &*live.name)
    }

    /// The pods that the controller looks at for a readinessProbe, finished ones included; of a Service without selector, all of the
    /// namespace.
    pub fn probed_pods(&self, topology: &Topology<'a>) -> Result<Vec<&'a Pod>, Unknown> {
        match self.service.as_ref().seen() {
            Some(service) if service.spec.selector.is_empty() => {
                Ok(topology.snapshot.kubernetes.pods.in_namespace(self.namespace)?.collect())
            }
            _ => self.pods.clone(),
        }
    }

    /// The BackendConfig that the Service names for this port; `None` when it names one that is not there, or is not understood: the
    /// controller then derives nothing.
    pub fn named_config(&self) -> Result<Option<Option<&'a BackendConfig>>, Unknown> {
        let named = self.service.as_ref().seen().zip(self.port).and_then(|(service, port)| {
            Some(annotations::backend_config(service)?.1.map(|annotation| annotation.for_port(&port.name, port.port).is_some()))
        });
        match (named, &self.backend_config) {
            (None | Some(Ok(false)), _) => Ok(Some(None)),
            (Some(Err(_)), _) | (_, Observed::Absent) => Ok(None),
            (_, Observed::Present(config)) => Ok(Some(Some(config))),
            (_, Observed::Unknown(why)) => Err(why.clone()),
        }
    }

    /// The health check that the controller would make now from these pods; `None` where it makes none, or one that no probe and no
    /// BackendConfig decides (transparent health checks).
    pub fn due_health_check(&self, pods: &[&'a Pod]) -> Result<Option<Due<'a>>, Unknown> {
        let Some(service) = self.service.clone().known()? else { return Ok(None) };
        let Some(port) = self.port else { return Ok(None) };
        let understood = match annotations::app_protocols(service) {
            None => true,
            Some((_, Err(_))) => false,
            Some((_, Ok(protocols))) => {
                protocols.get(&port.name).is_none_or(|protocol| matches!(&**protocol, "HTTP" | "HTTPS" | "HTTP2"))
            }
        };
        if !understood || self.role == Role::Standalone || annotations::transparent_health_checks(service) {
            return Ok(None);
        }
        let Some(config) = self.named_config()? else { return Ok(None) };
        let config = config.and_then(|config| config.spec.health_check.as_ref());
        let chosen = choose(pods, port, &self.protocol);
        let default_path = if self.role == Role::SystemDefault { "/healthz" } else { "/" };
        let derived =
            derive(&self.protocol, self.kind == GroupKind::Neg, default_path, chosen.map(|chosen| chosen.probe), config);
        Ok(Some(Due { derived, chosen, config }))
    }
}
