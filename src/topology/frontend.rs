//! The front door: what an Ingress asks for, and what Compute has of it.
//!
//! Enters: an Ingress, its FrontendConfig, forwarding rules. Leaves: [`Frontend`], the Ingress's own forwarding rules, and whether HTTPS
//! is programmed. Never: reads a Secret, or takes a forwarding rule that could not be read for one that is not there.
//! Source: ingress-gce `pkg/loadbalancers/l7.go` (`edgeHop`), `pkg/annotations/ingress.go`.

use crate::snapshot::Observed;
use crate::snapshot::compute::{ForwardingRule, NetworkEndpointGroup, short_name};
use crate::snapshot::kubernetes::{FrontendConfig, Ingress, Kubernetes};

use super::Topology;
use super::annotations::{self, keys};
use super::class::{Class, FINALIZERS};

/// What the load balancer may listen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Port 80.
    Http,
    /// Port 443.
    Https,
}

impl Protocol {
    /// The only port that the controller uses for it.
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn annotation(self) -> &'static str {
        match self {
            Self::Http => keys::FORWARDING_RULE,
            Self::Https => keys::HTTPS_FORWARDING_RULE,
        }
    }
}

/// What an Ingress asks for at its front door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontend<'a> {
    /// HTTP is wanted.
    pub http: bool,
    /// HTTP does nothing but send clients to HTTPS.
    pub redirects: bool,
    /// The Secrets of `spec.tls`; an entry without a name is the empty string.
    pub secrets: Vec<&'a str>,
    /// The certificates of the pre-shared-cert annotation; the managed certificates' are among them once they are attached.
    pub pre_shared: Vec<&'a str>,
    /// The ManagedCertificates.
    pub managed: Vec<&'a str>,
    /// The reserved address and the annotation that names it.
    pub static_address: Option<(&'static str, &'a str)>,
}

impl<'a> Frontend<'a> {
    /// What this Ingress asks for.
    pub fn of(ingress: &'a Ingress, class: Class, kubernetes: &Kubernetes) -> Self {
        let config =
            config_name(ingress).and_then(|name| kubernetes.frontend_configs.get(&ingress.metadata.namespace, name).seen());
        let redirects = may_redirect(ingress, class) && config.is_some_and(redirect_enabled);
        // The regional annotation wins, whatever the class; the scope comes from the class.
        let static_address = [keys::REGIONAL_STATIC_IP, keys::GLOBAL_STATIC_IP]
            .into_iter()
            .find_map(|key| Some((key, ingress.metadata.annotation(key).filter(|name| !name.is_empty())?)));
        Self {
            http: annotations::http_allowed(ingress),
            redirects,
            secrets: ingress.spec.tls.iter().map(|tls| &*tls.secret_name).collect(),
            pre_shared: annotations::list(ingress, keys::PRE_SHARED_CERT),
            managed: annotations::list(ingress, keys::MANAGED_CERTIFICATES),
            static_address,
        }
    }

    /// The controller sees a certificate: it programs HTTPS. A ManagedCertificate counts from when its certificate is attached.
    pub fn https(&self) -> bool {
        !self.secrets.is_empty() || !self.pre_shared.is_empty()
    }

    /// No certificate of any kind is configured.
    pub fn without_certificate(&self) -> bool {
        !self.https() && self.managed.is_empty()
    }

    /// Nobody is served but over HTTPS.
    pub fn https_alone(&self) -> bool {
        (!self.http || self.redirects) && !self.without_certificate()
    }

    /// What the load balancer is to listen to.
    pub fn protocols(&self) -> impl Iterator<Item = Protocol> {
        let http = self.http.then_some(Protocol::Http);
        let https = (!self.without_certificate()).then_some(Protocol::Https);
        http.into_iter().chain(https)
    }
}

/// The FrontendConfig that an Ingress names.
fn config_name(ingress: &Ingress) -> Option<&str> {
    ingress.metadata.annotation(keys::FRONTEND_CONFIG).filter(|name| !name.is_empty())
}

/// The controller refuses a redirect on an internal load balancer, and on one with names of the v1 scheme: nothing is redirected there.
pub fn may_redirect(ingress: &Ingress, class: Class) -> bool {
    let has = |finalizer: &str| ingress.metadata.finalizers.iter().any(|held| **held == *finalizer);
    class != Class::Internal && (has(FINALIZERS[1]) || !has(FINALIZERS[0]))
}

/// A FrontendConfig sends HTTP clients to HTTPS.
pub fn redirect_enabled(config: &FrontendConfig) -> bool {
    config.spec.redirect_to_https.as_ref().is_some_and(|redirect| redirect.enabled)
}

/// A forwarding rule listens on a port; one that does not say where is known by the proxy that it leads to.
pub fn listens_on(rule: &ForwardingRule, port: u16) -> bool {
    let number = |text: &str| text.trim().parse::<u16>().ok();
    match rule
        .port_range
        .split_once('-')
        .map_or_else(|| (number(&rule.port_range), number(&rule.port_range)), |(from, to)| (number(from), number(to)))
    {
        (Some(from), Some(to)) => (from..=to).contains(&port),
        _ => match port {
            80 => rule.target.contains("/targetHttpProxies/"),
            443 => rule.target.contains("/targetHttpsProxies/"),
            _ => false,
        },
    }
}

/// `namespace/name` of the Ingress that a forwarding rule's description names.
pub fn ingress_of(rule: &ForwardingRule) -> Option<String> {
    let description: serde_json::Value = serde_json::from_str(&rule.description).ok()?;
    Some(description.get("kubernetes.io/ingress-name")?.as_str()?.to_owned())
}

impl<'a> Topology<'a> {
    /// What the Ingress asks for; `None` for a Service, and for an Ingress that is being deleted: its frontend no longer matters.
    pub fn frontend(&self) -> Option<Frontend<'a>> {
        let ingress = self.ingress().filter(|ingress| ingress.metadata.deletion_timestamp.is_none())?;
        Some(Frontend::of(ingress, self.class()?, &self.snapshot.kubernetes))
    }

    /// The FrontendConfig that the Ingress names, by name.
    pub fn frontend_config(&self) -> Option<(&'a str, Observed<&'a FrontendConfig>)> {
        let name = config_name(self.ingress()?)?;
        Some((name, self.snapshot.kubernetes.frontend_configs.get(self.namespace(), name)))
    }

    /// The Ingress's own forwarding rule: of the name that the controller wrote down, of one that it would give, or described as such.
    pub fn forwarding_rule(&self, protocol: Protocol) -> Observed<(String, &'a ForwardingRule)> {
        let compute = &self.snapshot.compute;
        let scope = self.scope();
        let https = protocol == Protocol::Https;
        let written = self.meta().annotation(protocol.annotation()).map(str::to_owned);
        let names = written.into_iter().chain(self.fleet.ids.forwarding_rules(self.namespace(), self.name(), https));
        for name in names {
            let path = format!("{scope}/forwardingRules/{name}");
            if let Observed::Present(rule) = compute.get::<ForwardingRule>(&path) {
                return Observed::Present((path, rule));
            }
        }
        let scope = format!("{scope}/");
        let key = format!("{}/{}", self.namespace(), self.name());
        let described = compute
            .seen_in_scope::<ForwardingRule>(&scope)
            .find(|(_, rule)| listens_on(rule, protocol.port()) && ingress_of(rule).as_deref() == Some(&*key));
        match described {
            Some((path, rule)) => Observed::Present((path.to_owned(), rule)),
            None => match compute.in_scope::<ForwardingRule>(&scope) {
                Ok(_) => Observed::Absent,
                Err(why) => Observed::Unknown(why),
            },
        }
    }

    /// The load balancer listens for HTTPS; where Compute could not be read, as far as the controller wrote it down.
    pub fn https_programmed(&self) -> bool {
        match self.forwarding_rule(Protocol::Https) {
            Observed::Present(_) => true,
            Observed::Absent => false,
            Observed::Unknown(_) => self.meta().annotation(keys::HTTPS_FORWARDING_RULE).is_some(),
        }
    }

    /// Nobody is served: HTTPS is all that was asked for, and the load balancer does not listen for it.
    pub fn https_alone_is_dead(&self) -> bool {
        self.frontend().is_some_and(|frontend| frontend.https_alone()) && !self.https_programmed()
    }

    /// The cluster's network by path, where something says: the Container API, else a group of one of the backends.
    pub fn network(&self) -> Option<String> {
        let normalise = |link: &str| crate::snapshot::compute::normalise(link, self.project()).into_owned();
        let said = self.snapshot.cluster.as_ref().seen().map(|cluster| &cluster.network_config.network);
        if let Some(link) = said.filter(|link| !link.is_empty()) {
            return Some(normalise(link));
        }
        let groups = self.backends.iter().flat_map(|backend| backend.groups.as_deref().unwrap_or_default());
        let negs = groups.filter_map(|group| self.snapshot.compute.get::<NetworkEndpointGroup>(&group.path).seen());
        negs.map(|neg| &neg.network).find(|link| link.contains('/')).map(|link| normalise(link))
    }

    /// The subnetwork in which the cluster's nodes are: by name in the cluster's own project, by path in another.
    pub fn subnetwork(&self) -> Option<&'a str> {
        let cluster = match &self.snapshot.cluster {
            Observed::Present(cluster) => cluster,
            Observed::Absent | Observed::Unknown(_) => return None,
        };
        let path = &*cluster.network_config.subnetwork;
        if path.is_empty() {
            return None;
        }
        let own = path.starts_with(&format!("projects/{}/", self.project())) || !path.contains("projects/");
        Some(if own { short_name(path) } else { path })
    }
}
