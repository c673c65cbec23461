//! Compute Engine resources by path, the health of endpoints, and what was refused.
//!
//! Enters: resources as lists or gets returned them, errors by collection, resource or method. Leaves: lookups with three values.
//! Never: takes a refused, partial or missing read for "not there".

mod health_check;
mod types;

pub use health_check::{AskedPort, ConnectionCheck, HealthCheck, HttpCheck};
pub use types::*;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::observed::{Observed, Source, Unknown};

/// A kind of Compute resource.
pub trait Resource: Clone + Default + 'static {
    /// The word in its paths: `backendServices`.
    const COLLECTION: &'static str;
}

/// The resources of one kind by path (`projects/P/global/backendServices/B`).
#[derive(Debug, Clone)]
pub struct Table<T> {
    by_path: BTreeMap<Box<str>, Arc<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { by_path: BTreeMap::new() }
    }
}

impl<T> Table<T> {
    /// Puts a resource in, in place of an earlier version.
    pub fn insert(&mut self, path: impl Into<Box<str>>, resource: T) {
        self.by_path.insert(path.into(), Arc::new(resource));
    }

    /// All of them, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.by_path.iter().map(|(path, resource)| (&**path, &**resource))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_path.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    /// Forgets those for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.by_path.retain(|path, _| keep(path));
    }
}

/// What `getHealth` said of one backend service, by group.
pub type HealthByGroup = BTreeMap<Box<str>, Arc<Vec<HealthStatus>>>;

/// What the Compute API said.
#[derive(Debug, Clone, Default)]
pub struct Compute {
    /// False when the API was not asked at all: then everything is unknown.
    pub read: bool,
    /// Backend services.
    pub backend_services: Table<BackendService>,
    /// Health checks.
    pub health_checks: Table<HealthCheck>,
    /// URL maps.
    pub url_maps: Table<UrlMap>,
    /// HTTP proxies.
    pub target_http_proxies: Table<TargetHttpProxy>,
    /// HTTPS proxies.
    pub target_https_proxies: Table<TargetHttpsProxy>,
    /// Forwarding rules.
    pub forwarding_rules: Table<ForwardingRule>,
    /// Addresses.
    pub addresses: Table<Address>,
    /// Certificates.
    pub ssl_certificates: Table<SslCertificate>,
    /// Firewall rules.
    pub firewalls: Table<Firewall>,
    /// Subnetworks.
    pub subnetworks: Table<Subnetwork>,
    /// Network endpoint groups.
    pub network_endpoint_groups: Table<NetworkEndpointGroup>,
    /// Instance groups.
    pub instance_groups: Table<InstanceGroup>,
    /// `listNetworkEndpoints`, by group.
    pub endpoints: BTreeMap<Box<str>, Arc<Vec<NetworkEndpoint>>>,
    /// `getHealth`, by backend service, then group.
    pub health: BTreeMap<Box<str>, HealthByGroup>,
    /// `listInstances`, by group: names of the instances.
    pub instances: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// What was refused, by collection (`projects/P/global/firewalls`), resource, or resource and method.
    pub errors: BTreeMap<Box<str>, ApiError>,
    /// Kinds that were refused altogether.
    pub unread: BTreeMap<Box<str>, Unknown>,
    /// When each part was read, where it was not all read at one moment: a group's endpoints by its path, `getHealth` by [`health_key`],
    /// a list by project and collection.
    pub read_at: BTreeMap<Box<str>, Timestamp>,
}

/// A [`Resource`] that has a table in [`Compute`].
pub trait Tabled: Resource {
    /// Its table.
    fn table(compute: &Compute) -> &Table<Self>;
    /// Its table.
    fn table_mut(compute: &mut Compute) -> &mut Table<Self>;
}

macro_rules! tabled {
    ($($type:ty => $field:ident),* $(,)?) => {
        $(impl Tabled for $type {
            fn table(compute: &Compute) -> &Table<Self> { &compute.$field }
            fn table_mut(compute: &mut Compute) -> &mut Table<Self> { &mut compute.$field }
        })*

        impl Compute {
            /// Decodes a resource by the collection in its path and puts it in; false for a kind that is not read.
            pub fn insert_json(&mut self, path: &str, resource: serde_json::Value) -> Result<bool, serde_json::Error> {
                let collection = path.rsplit('/').nth(1).unwrap_or_default();
                $(if collection == <$type as Resource>::COLLECTION {
                    let resource: $type = serde_json::from_value(resource)?;
                    self.$field.insert(path, resource);
                    return Ok(true);
                })*
                Ok(false)
            }

            /// A resource without the fields that no rule reads; `None` for a kind that is not read, and for what cannot be decoded.
            pub fn known_fields(path: &str, resource: &serde_json::Value) -> Option<serde_json::Value> {
                let collection = path.rsplit('/').nth(1).unwrap_or_default();
                $(if collection == <$type as Resource>::COLLECTION {
                    return super::fields::known::<$type>(resource);
                })*
                None
            }

            /// Takes every resource of a kind out, by the word in their paths.
            pub fn forget(&mut self, collection: &str) {
                $(if collection == <$type as Resource>::COLLECTION {
                    self.$field = Table::default();
                })*
            }
        }

        /// The kinds of Compute resources that are read, by the word in their paths.
        pub const COLLECTIONS: &[&str] = &[$(<$type as Resource>::COLLECTION),*];
    };
}
tabled! {
    BackendService => backend_services, HealthCheck => health_checks, UrlMap => url_maps, TargetHttpProxy => target_http_proxies,
    TargetHttpsProxy => target_https_proxies, ForwardingRule => forwarding_rules, Address => addresses,
    SslCertificate => ssl_certificates, Firewall => firewalls, Subnetwork => subnetworks,
    NetworkEndpointGroup => network_endpoint_groups, InstanceGroup => instance_groups,
}

impl Compute {
    /// One resource by its normalised path.
    pub fn get<T: Tabled>(&self, path: &str) -> Observed<&T> {
        if let Some(resource) = T::table(self).by_path.get(path) {
            return Observed::Present(resource);
        }
        match self.refused::<T>(path) {
            Some(why) => Observed::Unknown(why),
            None => Observed::Absent,
        }
    }

    /// All resources of a kind whose path starts with `scope` (`projects/P/global/`), unless any part of that scope was refused.
    pub fn in_scope<T: Tabled>(&self, scope: &str) -> Result<impl Iterator<Item = (&str, &T)>, Unknown> {
        match self.refused_scope::<T>(scope) {
            Some(why) => Err(why),
            None => Ok(self.seen_in_scope(scope)),
        }
    }

    /// All resources of a kind whose path starts with `scope`, as far as they were seen.
    pub fn seen_in_scope<T: Tabled>(&self, scope: &str) -> impl Iterator<Item = (&str, &T)> {
        let scope = scope.to_owned();
        let range = T::table(self).by_path.range::<str, _>((std::ops::Bound::Included(&*scope), std::ops::Bound::Unbounded));
        range.take_while(move |(path, _)| path.starts_with(&*scope)).map(|(path, resource)| (&**path, &**resource))
    }

    /// Why a read of this path was refused, if it was.
    fn refused<T: Resource>(&self, path: &str) -> Option<Unknown> {
        let collection = path.rsplit_once('/').map_or(path, |(collection, _)| collection);
        self.errors
            .get(path)
            .map(|error| unknown(path, error))
            .or_else(|| self.errors.get(collection).map(|error| unknown(collection, error)))
            .or_else(|| self.unread_kind(T::COLLECTION))
    }

    fn refused_scope<T: Resource>(&self, scope: &str) -> Option<Unknown> {
        let suffix = format!("/{}", T::COLLECTION);
        self.errors
            .iter()
            .find(|(path, _)| path.starts_with(scope) && path.ends_with(&*suffix))
            .map(|(path, error)| unknown(path, error))
            .or_else(|| self.unread_kind(T::COLLECTION))
    }

    /// Why a whole kind was not read, if it was not.
    pub fn unread_kind(&self, collection: &str) -> Option<Unknown> {
        self.unread.get(collection).cloned().or_else(|| (!self.read).then(|| Unknown::not_read(Source::Compute, collection)))
    }

    /// The endpoints of a network endpoint group.
    pub fn endpoints_of(&self, group: &str) -> Result<&[NetworkEndpoint], Unknown> {
        if let Some(endpoints) = self.endpoints.get(group) {
            return Ok(endpoints);
        }
        Err(self.refused_method::<NetworkEndpointGroup>(group, "listNetworkEndpoints"))
    }

    /// What `getHealth` said of a group of a backend service.
    pub fn health_of(&self, backend_service: &str, group: &str) -> Result<&[HealthStatus], Unknown> {
        if let Some(health) = self.health.get(backend_service).and_then(|groups| groups.get(group)) {
            return Ok(health);
        }
        Err(self.refused_method::<BackendService>(backend_service, "getHealth"))
    }

    /// When the endpoints of a group were read, with the health that `backend_service` finds; `None`: with all the rest.
    pub fn group_read_at(&self, backend_service: &str, group: &str) -> Option<Timestamp> {
        match group.contains("/networkEndpointGroups/") {
            true => self.read_at.get(group).copied(),
            false => self.read_at.get(&*health_key(backend_service, group)).copied(),
        }
    }

    fn refused_method<T: Resource>(&self, path: &str, method: &str) -> Unknown {
        let key = format!("{path}/{method}");
        match self.errors.get(&*key) {
            Some(error) => unknown(&key, error),
            None => self.refused::<T>(path).unwrap_or_else(|| Unknown::not_read(Source::Compute, key)),
        }
    }
}

/// The name of what `getHealth` of a backend service says of a group.
pub fn health_key(backend_service: &str, group: &str) -> Box<str> {
    format!("{backend_service}/getHealth/{group}").into()
}

fn unknown(resource: &str, error: &ApiError) -> Unknown {
    let reason = if error.reason.is_empty() { error.code.to_string().into() } else { error.reason.clone() };
    Unknown::new(Source::Compute, resource, reason, error.message.clone())
}

/// Brings a link to the form of a path: `projects/P/…`, whatever host and version it was given with; a partial link belongs to `project`.
pub fn normalise<'a>(link: &'a str, project: &str) -> Cow<'a, str> {
    if link.starts_with("projects/") {
        return Cow::Borrowed(link);
    }
    if let Some(at) = link.find("/projects/") {
        return Cow::Borrowed(&link[at + 1..]);
    }
    let partial = link.trim_start_matches('/');
    if ["global/", "regions/", "zones/"].iter().any(|scope| partial.starts_with(scope)) {
        return Cow::Owned(format!("projects/{project}/{partial}"));
    }
    Cow::Borrowed(link)
}

/// The last part of a link.
pub fn short_name(link: &str) -> &str {
    link.rsplit('/').next().unwrap_or(link)
}

/// The zone or region in a path: `us-central1-a` of `projects/P/zones/us-central1-a/…`; `None` for global ones.
pub fn location(path: &str) -> Option<&str> {
    let mut parts = path.split('/');
    while let Some(part) = parts.next() {
        if part == "zones" || part == "regions" {
            return parts.next();
        }
    }
    None
}
