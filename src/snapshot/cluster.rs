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
    /// Network and subnetwork by path, which a Shared VPC needs.
    pub network_config: NetworkConfig,
    /// The add-ons' switches.
    pub addons_config: AddonsConfig,
}

/// Network and subnetwork by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkConfig {
    /// `projects/P/global/networks/N`.
    pub network: Box<str>,
    /// `projects/P/regions/R/subnetworks/S`.
    pub subnetwork: Box<str>,
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
