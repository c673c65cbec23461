//! The health check that GKE's controller would make for a backend now, from everything that it looks at.
//!
//! Enters: a [`Backend`]. Leaves: [`Due`], or nothing where the controller would refuse to derive one. Never: compares it with what
//! exists; that is a rule's work.
//! Source: ingress-gce `pkg/controller/translator/translator.go` (`GetProbe`), `pkg/healthchecks/healthchecks.go`.

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

impl<'a> Backend<'a> {
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
