//! What was seen at one moment, and what could not be seen and why.
//!
//! Enters: objects of the Kubernetes API, resources of the Compute and Container APIs, answers of in-cluster probes, each already
//! decoded into the slim types of this module; or a folder that holds them ([`folder`]).
//! Leaves: a [`Snapshot`], which every later step only reads.
//! Never: judges. Nothing here says whether what was seen is right or wrong, and nothing here asks a server.

mod archive;
pub mod cluster;
pub mod compute;
mod fields;
pub mod folder;
pub mod kubernetes;
pub mod observed;
pub mod probe;
pub mod recording;
pub mod save;

use jiff::Timestamp;

pub use archive::is_named as is_archive;
pub use cluster::Cluster;
pub use compute::Compute;
pub use kubernetes::Kubernetes;
pub use observed::{Observed, Source, Unknown};
pub use probe::Probes;
pub use recording::{RecordedCompute, Recording};

/// When and where a snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// "Now" for every age in the snapshot.
    pub taken_at: Timestamp,
    /// Google Cloud project of the cluster; empty when it is not known.
    pub project: Box<str>,
    /// Name of the cluster; empty when it is not known.
    pub cluster_name: Box<str>,
    /// Region or zone of the cluster; empty when it is not known.
    pub cluster_location: Box<str>,
}

/// Everything a diagnosis needs.
///
/// A folder is read into one; the controller keeps one up to date and diagnoses from it without copying it.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// When and where.
    pub meta: Meta,
    /// Objects of the Kubernetes API, with the indexes that a diagnosis walks.
    pub kubernetes: Kubernetes,
    /// Resources of the Compute Engine API.
    pub compute: Compute,
    /// The Container API's answer about the cluster.
    pub cluster: Observed<Cluster>,
    /// Answers of in-cluster requests to endpoints.
    pub probes: Probes,
}

impl Snapshot {
    /// The kinds, collections and the cluster that could not be read; single resources of Compute are in [`Compute::errors`].
    pub fn unread(&self) -> Vec<Unknown> {
        let mut unread = self.kubernetes.unread();
        unread.extend(self.compute.unread.values().cloned());
        if let Observed::Unknown(why) = &self.cluster {
            unread.push(why.clone());
        }
        unread
    }
}
