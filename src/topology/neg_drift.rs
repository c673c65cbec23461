//! How the network endpoint groups of a Service port differ from its EndpointSlices.
//!
//! Enters: a backend, its groups, its slices. Leaves: endpoints that lack in the groups or are too many there, and since when.
//! Never: counts what is on its way in or out, or compares with a group that was not read.
//! Source: ingress-gce `pkg/neg/syncers/endpoints_calculator.go`: ready and unready endpoints are attached, terminating ones are not; the
//! port is that of the Service port's name; IPv6 slices are left out; the zone is the node's.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::snapshot::Unknown;
use crate::snapshot::kubernetes::{EndpointSlice, Node, Pod};

use super::annotations::keys;
use super::backend::SliceEndpoint;
use super::{Backend, Topology, nodes};

/// An endpoint of which the groups and the slices tell different things.
#[derive(Debug, Clone)]
pub struct Differing<'a> {
    /// Address.
    pub address: &'a str,
    /// Port.
    pub port: i64,
    /// Zone of the group; empty when it is not known.
    pub zone: Box<str>,
    /// Name of the node; may be empty.
    pub node: &'a str,
    /// The pod, where there is one.
    pub pod: Option<&'a Pod>,
    /// Since when at the latest, where something says so.
    pub since: Option<Timestamp>,
}

/// How the groups differ from the slices.
#[derive(Debug, Default)]
pub struct Drift<'a> {
    /// In the slices, and in no group.
    pub missing: Vec<Differing<'a>>,
    /// In a group, and not in the slices.
    pub surplus: Vec<Differing<'a>>,
    /// Why some group could not be compared.
    pub unread: Option<Unknown>,
    /// When the oldest of the groups was read; `None`: with all the rest of the snapshot.
    pub read_at: Option<Timestamp>,
}

impl Drift<'_> {
    /// It had lasted longer than a rollout may take when the groups were read.
    pub fn lasted(&self, topology: &Topology<'_>, one: &Differing<'_>) -> bool {
        let read_at = self.read_at.unwrap_or(topology.now);
        one.since.is_none_or(|since| read_at.duration_since(since) > topology.grace.endpoint_drift)
    }
}

impl<'a> Backend<'a> {
    /// How the existing groups of this port differ from its slices.
    pub fn drift(&self, topology: &Topology<'a>) -> Result<Drift<'a>, Unknown> {
        let negs = self.negs(topology)?;
        let slices = self.endpoints.as_ref().map_err(Clone::clone)?;
        let read_at = negs.iter().filter_map(|neg| topology.snapshot.compute.group_read_at("", &neg.path)).min();
        let mut drift = Drift { read_at, ..Drift::default() };
        let (mut attached, mut zones) = (BTreeSet::new(), BTreeMap::new());
        let mut compared = Vec::new();
        for neg in &negs {
            let group = neg.group.clone().and_then(|group| Ok((group, self.is_foreign(topology, group)?)));
            match (group, &neg.endpoints) {
                (Ok((_, true)), _) => {}
                (Ok((group, false)), Ok(endpoints)) => {
                    zones.insert(neg.zone().to_owned(), group.creation_timestamp);
                    attached
                        .extend(endpoints.iter().map(|entry| (&*entry.network_endpoint.ip_address, entry.network_endpoint.port)));
                    compared.push((neg.zone(), *endpoints));
                }
                (Err(why), _) => drift.unread = Some(why),
                (_, Err(why)) => drift.unread = Some(why.clone()),
            }
        }
        for slot in slices {
            let Some(mut differing) = self.wanted(topology, slot) else { continue };
            let nowhere = differing.zone.is_empty() && drift.unread.is_none() && !zones.is_empty();
            let group_made = zones.get(&*differing.zone);
            if (nowhere || group_made.is_some()) && !attached.contains(&(differing.address, differing.port)) {
                differing.since = differing.since.max(group_made.copied().flatten());
                drift.missing.push(differing);
            }
        }
        let served: BTreeSet<_> = slices.iter().filter_map(|slot| Some((slot.address, i64::from(slot.port?)))).collect();
        let own_slices = topology.snapshot.kubernetes.slices_of(self.namespace, self.service_name)?;
        let changed = own_slices.iter().filter_map(|slice| last_change(slice)).max();
        for (zone, endpoints) in compared {
            for entry in endpoints {
                let endpoint = &entry.network_endpoint;
                let address = &*endpoint.ip_address;
                let leaving = entry.healths.iter().any(|health| &*health.health_state == "DRAINING");
                if address.is_empty() || leaving || served.contains(&(address, endpoint.port)) {
                    continue;
                }
                let pod = self
                    .pods
                    .as_deref()
                    .unwrap_or_default()
                    .iter()
                    .copied()
                    .find(|pod| !pod.finished() && pod.has_address(address));
                if pod.is_some_and(Pod::terminating) {
                    continue;
                }
                let (zone, node) = (zone.into(), &*endpoint.instance);
                drift.surplus.push(Differing { address, port: endpoint.port, zone, node, pod, since: changed });
            }
        }
        Ok(drift)
    }

    /// The endpoint that the controller would attach for one of a slice.
    fn wanted(&self, topology: &Topology<'a>, slot: &SliceEndpoint<'a>) -> Option<Differing<'a>> {
        let port = i64::from(slot.port?);
        let leaving = slot.endpoint.terminating() || slot.pod.is_some_and(|pod| pod.terminating() || pod.finished());
        if leaving || slot.address.parse::<std::net::Ipv4Addr>().is_err() {
            return None;
        }
        let name = slot.endpoint.node_name.as_deref().unwrap_or_default();
        let node: Option<&'a Node> = topology.snapshot.kubernetes.nodes.get("", name).seen();
        if node.is_some_and(nodes::elsewhere) {
            return None;
        }
        let zone =
            node.and_then(Node::provider).map(|(_, zone, _)| zone).or(slot.endpoint.zone.as_deref()).unwrap_or_default().into();
        let since = match slot.pod {
            Some(pod) => pod.serving_since().max(slot.slice.metadata.creation_timestamp),
            None => last_change(slot.slice),
        };
        Some(Differing { address: slot.address, port, zone, node: name, pod: slot.pod, since })
    }
}

/// When a slice last changed.
fn last_change(slice: &EndpointSlice) -> Option<Timestamp> {
    let meta = &slice.metadata;
    meta.annotation(keys::LAST_CHANGE).and_then(|time| time.parse().ok()).max(meta.creation_timestamp)
}
