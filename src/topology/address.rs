//! The reserved address that an Ingress names: where it is, of what kind, and who listens there.
//!
//! Enters: a [`Topology`], addresses and forwarding rules. Leaves: [`Reservation`] and [`Holder`]s. Never: counts the Ingress's own
//! forwarding rules, or somebody else's on another port of a shareable address.
//! Source: ingress-gce `pkg/loadbalancers/address*.go`: the name is looked up in the scope of the class, whatever the annotation's key.

use std::net::IpAddr;

use crate::snapshot::compute::{Address, ForwardingRule, location, normalise, short_name};
use crate::snapshot::kubernetes::Event;
use crate::snapshot::{Observed, Unknown};

use super::frontend::{self, Frontend, Protocol};
use super::{Class, Topology, events};

/// A reserved address by name.
#[derive(Debug)]
pub struct Reservation<'a> {
    /// Path in the class's scope.
    pub path: String,
    /// The address there.
    pub address: Observed<&'a Address>,
    /// Paths of addresses of the same name in other scopes, as far as they were seen.
    pub elsewhere: Vec<&'a str>,
}

/// Somebody else at the same address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Path of the forwarding rule, or of whatever else uses the address.
    pub path: String,
    /// The Ingress that it belongs to, as `namespace/name`.
    pub ingress: Option<String>,
}

/// What the controller complains of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complaint {
    /// It cannot read the address: missing, in another scope, or forbidden, for which it has one text.
    NotFound,
    /// Compute refuses it: in use, or of a kind that does not fit.
    Refused,
}

impl<'a> Topology<'a> {
    /// What the controller says of the address of this name, and still stands.
    pub fn address_complaint(&self, name: &str) -> Option<(&'a Event, &'a str, Complaint)> {
        let errors = self.sync_errors().unwrap_or_default();
        errors.into_iter().rev().find_map(|(event, error)| {
            if let Some(named) = events::between(error, "static IP name ", " doesn't translate to an existing static IP") {
                return (named == name).then_some((event, error, Complaint::NotFound));
            }
            let refused = error.contains("IP_IN_USE_BY_ANOTHER_RESOURCE")
                || error.contains("in-use and would result in a conflict")
                || error.contains("Invalid value for field 'resource.IPAddress'")
                // The same words are used of certificates and URL maps that somebody else holds.
                || (error.contains("is already being used") && error.contains("IP "));
            refused.then_some((event, error, Complaint::Refused))
        })
    }

    /// The address of this name.
    pub fn reservation(&self, name: &str) -> Reservation<'a> {
        let compute = &self.snapshot.compute;
        let path = format!("{}/addresses/{name}", self.scope());
        let suffix = format!("/addresses/{name}");
        let project = format!("projects/{}/", self.project());
        let elsewhere = compute.seen_in_scope::<Address>(&project).map(|(path, _)| path);
        let elsewhere = elsewhere.filter(|other| other.ends_with(&suffix) && *other != path).collect();
        Reservation { address: self.named::<Address>(&path), path, elsewhere }
    }

    /// What the Ingress asks for at this address and does not have; an error when its forwarding rules could not be read.
    pub fn protocols_missing_at(&self, address: &str, frontend: &Frontend<'_>) -> Result<Vec<Protocol>, Unknown> {
        let mut missing = Vec::new();
        for protocol in frontend.protocols() {
            match self.forwarding_rule(protocol).known()? {
                Some((_, rule)) if same_address(&rule.ip_address, address) => {}
                _ => missing.push(protocol),
            }
        }
        Ok(missing)
    }

    /// Who else sits at the address where one of `protocols` has to listen.
    pub fn holders(&self, address: &Address, protocols: &[Protocol]) -> Vec<Holder> {
        let compute = &self.snapshot.compute;
        // One rule alone may use an internal address that was not reserved to be shared.
        let exclusive = self.class() == Some(Class::Internal) && &*address.purpose != "SHARED_LOADBALANCER_VIP";
        let in_the_way =
            |rule: &ForwardingRule| exclusive || protocols.iter().any(|protocol| frontend::listens_on(rule, protocol.port()));
        let own: Vec<String> = [Protocol::Http, Protocol::Https]
            .into_iter()
            .filter_map(|protocol| self.forwarding_rule(protocol).seen())
            .map(|(path, _)| path)
            .collect();
        let scope = format!("{}/", self.scope());
        let mut holders: Vec<Holder> = compute
            .seen_in_scope::<ForwardingRule>(&scope)
            .filter(|(path, rule)| {
                same_address(&rule.ip_address, &address.address) && in_the_way(rule) && !own.iter().any(|own| own == path)
            })
            .map(|(path, rule)| Holder { path: path.to_owned(), ingress: frontend::ingress_of(rule) })
            .collect();
        for user in &address.users {
            let path = normalise(user, self.project()).into_owned();
            // Of a rule that was seen the port is known, and it was judged above.
            let seen = compute.get::<ForwardingRule>(&path).seen().is_some();
            if !seen && !path.contains("/forwardingRules/") {
                holders.push(Holder { path, ingress: None });
            }
        }
        holders
    }

    /// The other Ingresses that name the same address and want one of `protocols` there, as `namespace/name`, each with the address
    /// that it has published.
    pub fn rivals(&self, name: &str, protocols: &[Protocol]) -> Vec<(String, Option<&'a str>)> {
        let Some(class) = self.class() else { return Vec::new() };
        let claims = self.fleet.static_addresses.get(&(name.into(), class.regional()));
        claims
            .into_iter()
            .flatten()
            .filter(|(namespace, name)| **namespace != *self.namespace() || **name != *self.name())
            .filter_map(|(namespace, name)| self.snapshot.kubernetes.ingresses.get(namespace, name).seen())
            .filter(|other| {
                let other = Frontend::of(other, class, &self.snapshot.kubernetes);
                other.protocols().any(|protocol| protocols.contains(&protocol))
            })
            .map(|other| (format!("{}/{}", other.metadata.namespace, other.metadata.name), other.address()))
            .collect()
    }
}

/// The scope of a path in words: `global`, `region us-central1`.
pub fn scope_name(path: &str) -> String {
    location(path).map_or_else(|| "global".to_owned(), |region| format!("region {region}"))
}

/// The last part of a holder's path, and its kind.
pub fn holder_name(path: &str) -> String {
    let kind = path.rsplit('/').nth(1).unwrap_or_default();
    format!("{} {}", kind.strip_suffix('s').unwrap_or(kind), short_name(path))
}

/// Two spellings of one address.
fn same_address(a: &str, b: &str) -> bool {
    if a.is_empty() || b.is_empty() {
        return false;
    }
    // A global IPv6 rule may be spelled with its prefix.
    let parse = |text: &str| text.split('/').next().unwrap_or(text).parse::<IpAddr>().ok();
    a == b || matches!((parse(a), parse(b)), (Some(a), Some(b)) if a == b)
}
