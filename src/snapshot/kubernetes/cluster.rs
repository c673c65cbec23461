//! What belongs to the whole cluster: nodes, leases, events, policies, and two single objects of kube-system.
//! Enters: JSON. Leaves: [`Node`], [`Lease`], [`Event`], [`NetworkPolicy`], [`ConfigMap`], [`Namespace`].
//! Never: keeps events that no GKE load balancing controller wrote (see [`Event::relevant`]).

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::meta::{ObjectMeta, Pairs, PortRef, kind, or_default};
use super::pod::Condition;

/// The namespace of GKE's own objects.
pub const SYSTEM: &str = "kube-system";

/// The ConfigMap of [`SYSTEM`] in which the cluster's identities stand.
pub const INGRESS_UID: &str = "ingress-uid";

/// The Leases of [`SYSTEM`]: the Ingress controller's, and the NEG controller's.
pub const LEASES: [&str; 2] = ["ingress-gce-lock", "ingress-gce-neg-lock"];

/// A node, as far as a rule reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: NodeSpec,
    /// What runs.
    pub status: NodeStatus,
}
kind!(Node, "Node", "", "v1", "nodes");

/// What is asked for of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// `gce://PROJECT/ZONE/INSTANCE`.
    #[serde(rename = "providerID", deserialize_with = "or_default")]
    pub provider_id: Box<str>,
    /// Pod address ranges.
    #[serde(rename = "podCIDRs", deserialize_with = "or_default")]
    pub pod_cidrs: Vec<Box<str>>,
    /// Taints.
    #[serde(deserialize_with = "or_default")]
    pub taints: Vec<Taint>,
}

/// A taint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// Its key.
    pub key: Box<str>,
}

/// What runs on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// The conditions; heartbeats are dropped.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    /// Addresses of the node.
    #[serde(deserialize_with = "or_default")]
    pub addresses: Vec<NodeAddress>,
}

/// An address of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname`.
    #[serde(rename = "type")]
    pub type_: Box<str>,
    /// The address.
    pub address: Box<str>,
}

impl Node {
    /// The three parts of `gce://PROJECT/ZONE/INSTANCE`.
    pub fn provider(&self) -> Option<(&str, &str, &str)> {
        let mut parts = self.spec.provider_id.strip_prefix("gce://")?.split('/');
        let (project, zone, instance) = (parts.next()?, parts.next()?, parts.next()?);
        (parts.next().is_none() && !project.is_empty() && !zone.is_empty() && !instance.is_empty())
            .then_some((project, zone, instance))
    }

    /// Condition `Ready` is true.
    pub fn ready(&self) -> bool {
        self.status.conditions.iter().any(|condition| &*condition.type_ == "Ready" && condition.is_true())
    }
}

/// A Lease: who leads, and when it last said so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Who and when.
    pub spec: LeaseSpec,
}
kind!(Lease, "Lease", "coordination.k8s.io", "v1", "leases");

/// Who leads, and when it last said so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    /// The leader.
    #[serde(deserialize_with = "or_default")]
    pub holder_identity: Box<str>,
    /// Its last sign of life.
    pub renew_time: Option<Timestamp>,
}

/// A NetworkPolicy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NetworkPolicy {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What it allows.
    pub spec: NetworkPolicySpec,
}
kind!(NetworkPolicy, "NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies");

/// What a policy allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicySpec {
    /// The pods it isolates.
    #[serde(deserialize_with = "or_default")]
    pub pod_selector: LabelSelector,
    /// `Ingress`, `Egress`; when absent, `Ingress` always counts.
    #[serde(deserialize_with = "or_default")]
    pub policy_types: Vec<Box<str>>,
    /// What is let in.
    #[serde(deserialize_with = "or_default")]
    pub ingress: Vec<NetworkPolicyRule>,
}

/// One thing that is let in: any of `from` on any of `ports`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NetworkPolicyRule {
    /// Sources; empty means all.
    #[serde(deserialize_with = "or_default")]
    pub from: Vec<NetworkPolicyPeer>,
    /// Ports; empty means all.
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<NetworkPolicyPort>,
}

/// A source. Only address blocks can match a load balancer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicyPeer {
    /// An address block.
    pub ip_block: Option<IpBlock>,
    /// Pods of these namespaces.
    pub namespace_selector: Option<LabelSelector>,
    /// These pods alone.
    pub pod_selector: Option<LabelSelector>,
}

impl NetworkPolicyPeer {
    /// Every pod of the cluster, whatever its labels.
    pub fn all_pods(&self) -> bool {
        let all = |selector: &LabelSelector| selector.match_labels.is_empty() && selector.match_expressions.is_empty();
        self.namespace_selector.as_ref().is_some_and(all) && self.pod_selector.as_ref().is_none_or(all)
    }
}

/// An address block with holes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IpBlock {
    /// The block.
    pub cidr: Box<str>,
    /// The holes.
    #[serde(deserialize_with = "or_default")]
    pub except: Vec<Box<str>>,
}

/// A port, or a range of ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicyPort {
    /// `TCP` (also when empty), `UDP`, `SCTP`.
    #[serde(deserialize_with = "or_default")]
    pub protocol: Box<str>,
    /// Number or name of a container's port; absent means all.
    pub port: Option<PortRef>,
    /// End of the range.
    pub end_port: Option<i32>,
}

/// A label selector.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Pairs that must match.
    #[serde(deserialize_with = "or_default")]
    pub match_labels: Pairs,
    /// Further conditions.
    #[serde(deserialize_with = "or_default")]
    pub match_expressions: Vec<LabelExpression>,
}

/// A condition on one label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LabelExpression {
    /// The label.
    pub key: Box<str>,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: Box<str>,
    /// The values.
    #[serde(deserialize_with = "or_default")]
    pub values: Vec<Box<str>>,
}

impl LabelSelector {
    /// Whether it selects an object with these labels. An operator that Kubernetes does not know selects nothing.
    pub fn matches(&self, labels: &Pairs) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|expression| {
                let value = labels.get(&expression.key);
                match &*expression.operator {
                    "In" => value.is_some_and(|value| expression.values.contains(value)),
                    "NotIn" => value.is_none_or(|value| !expression.values.contains(value)),
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
    }
}

/// The cluster's identity in Google Cloud names stands in one of these: `kube-system/ingress-uid`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ConfigMap {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// The data.
    #[serde(deserialize_with = "or_default")]
    pub data: Pairs,
}
kind!(ConfigMap, "ConfigMap", "", "v1", "configmaps");

/// A namespace; of `kube-system` the uid matters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Metadata.
    pub metadata: ObjectMeta,
}
kind!(Namespace, "Namespace", "", "v1", "namespaces");

/// An event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What it is about.
    pub object: ObjectReference,
    /// `Normal` or `Warning`.
    pub type_: Box<str>,
    /// One word.
    pub reason: Box<str>,
    /// The text, without the prefix that an aggregated event carries, and cut to a length that no text needs.
    pub message: Box<str>,
    /// Who wrote it.
    pub component: Box<str>,
    /// When it was first seen.
    pub first: Option<Timestamp>,
    /// When it was last seen.
    pub last: Option<Timestamp>,
    /// How often.
    pub count: i64,
}
kind!(Event, "Event", "", "v1", "events");

/// Longest text of an event that is kept, in bytes. The controllers' longest (a NEG conflict with two descriptions) stay far below.
pub const MESSAGE_LIMIT: usize = 8 * 1024;

/// Who writes the events that a diagnosis reads (ingress-gce: `pkg/recorders`, `pkg/neg`, `pkg/neg/readiness`).
const COMPONENTS: [&str; 3] = ["loadbalancer-controller", "neg-controller", "neg-readiness-reflector"];

impl Event {
    /// Written by one of GKE's load balancing controllers.
    pub fn relevant(&self) -> bool {
        COMPONENTS.contains(&&*self.component)
    }

    /// `Warning`.
    pub fn is_warning(&self) -> bool {
        &*self.type_ == "Warning"
    }
}

/// What an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ObjectReference {
    /// Kind.
    #[serde(deserialize_with = "or_default")]
    pub kind: Box<str>,
    /// Namespace.
    #[serde(deserialize_with = "or_default")]
    pub namespace: Box<str>,
    /// Name.
    #[serde(deserialize_with = "or_default")]
    pub name: Box<str>,
    /// Identity.
    #[serde(deserialize_with = "or_default")]
    pub uid: Box<str>,
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Wire {
            metadata: ObjectMeta,
            involved_object: ObjectReference,
            #[serde(rename = "type", deserialize_with = "or_default")]
            type_: Box<str>,
            #[serde(deserialize_with = "or_default")]
            reason: Box<str>,
            #[serde(deserialize_with = "or_default")]
            message: String,
            #[serde(deserialize_with = "or_default")]
            source: WireSource,
            #[serde(deserialize_with = "or_default")]
            reporting_component: Box<str>,
            first_timestamp: Option<Timestamp>,
            last_timestamp: Option<Timestamp>,
            event_time: Option<Timestamp>,
            #[serde(deserialize_with = "or_default")]
            count: i64,
            series: Option<WireSeries>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct WireSource {
            #[serde(deserialize_with = "or_default")]
            component: Box<str>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct WireSeries {
            count: i64,
            last_observed_time: Option<Timestamp>,
        }

        let wire = Wire::deserialize(deserializer)?;
        let message = wire.message.strip_prefix("(combined from similar events): ").unwrap_or(&wire.message);
        let message = message[..message.floor_char_boundary(MESSAGE_LIMIT)].into();
        let created = wire.metadata.creation_timestamp;
        let first = wire.first_timestamp.or(wire.event_time).or(created);
        let series = wire.series.unwrap_or_default();
        Ok(Self {
            object: wire.involved_object,
            type_: wire.type_,
            reason: wire.reason,
            message,
            component: if wire.source.component.is_empty() { wire.reporting_component } else { wire.source.component },
            first,
            last: series.last_observed_time.or(wire.last_timestamp).or(first),
            count: wire.count.max(series.count).max(1),
            metadata: wire.metadata,
        })
    }
}
