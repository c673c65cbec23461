//! The Container API's `clusters.get`, as far as a diagnosis reads it.
//!
//! Enters: the API's JSON. Leaves: [`Cluster`]. Never: asks the API.

use serde::Deserialize;

/// What the Container API says about the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cluster {
    /// Name of the cluster.
    pub name: Box<str>,
    /// Region or zone.
    pub location: Box<str>,
    /// Short name of the VPC network.
    pub network: Box<str>,
    /// The addresses of Services; empty when it is not known.
    pub services_ipv4_cidr: Box<str>,
    /// Network and subnetwork by path, which a Shared VPC needs.
    pub network_config: NetworkConfig,
    /// The add-ons' switches.
    pub addons_config: AddonsConfig,
    /// Calico, which enforces NetworkPolicies where the data plane does not.
    pub network_policy: NetworkPolicyConfig,
    /// The node pools; `None` when they were not asked for.
    pub node_pools: Option<Vec<NodePool>>,
}

/// Who enforces NetworkPolicies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicyConfig {
    /// True when Calico does.
    pub enabled: bool,
}

/// A node pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePool {
    /// What its nodes are like.
    pub config: NodeConfig,
}

/// What the nodes of a pool are like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeConfig {
    /// Network tags that the user gave them.
    pub tags: Vec<Box<str>>,
}

impl Cluster {
    /// Whether NetworkPolicies keep anybody out; `None` when the settings do not say.
    pub fn enforces_network_policies(&self) -> Option<bool> {
        match &*self.network_config.datapath_provider {
            _ if self.network_policy.enabled => Some(true),
            "ADVANCED_DATAPATH" => Some(true),
            "LEGACY_DATAPATH" => Some(false),
            _ => None,
        }
    }
}

/// Network and subnetwork by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkConfig {
    /// `projects/P/global/networks/N`.
    pub network: Box<str>,
    /// `projects/P/regions/R/subnetworks/S`.
    pub subnetwork: Box<str>,
    /// `ADVANCED_DATAPATH`, which enforces NetworkPolicies, `LEGACY_DATAPATH`, or empty.
    pub datapath_provider: Box<str>,
}

/// The add-ons' switches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AddonsConfig {
    /// HTTP load balancing: the Ingress controller itself.
    pub http_load_balancing: Addon,
}

/// One add-on's switch. The API leaves the key out when the add-on is on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Addon {
    /// True when the add-on is off.
    pub disabled: bool,
}
