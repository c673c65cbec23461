//! Single requests to the Compute API, through Google's own SDK.
//!
//! Enters: a project, a page token, the path of a group. Leaves: one page of slim resources and the scopes that are missing from it, or a
//! [`Failure`]. Never: retries, asks for a second page, or waits longer than [`TIMEOUT`]; every request is the caller's to count.
//!
//! Futures are boxed: the SDK's are large, and unboxed they would be compiled again wherever they are awaited.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use google_cloud_auth::credentials::Credentials as Sdk;
use google_cloud_compute_v1::client;
use google_cloud_compute_v1::model::network_endpoint_groups_list_endpoints_request::HealthStatus as Show;
use google_cloud_compute_v1::model::{NetworkEndpointGroupsListEndpointsRequest, ResourceGroupReference};
use google_cloud_gax::options::RequestOptionsBuilder;
use google_cloud_gax::retry_policy::NeverRetry;
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinError;

use super::convert::Slim;
use super::failure::{Class, Failure};
use crate::collect::credentials::{Credentials, CredentialsError};
use crate::collect::tape::Tape;
use crate::snapshot::compute::{
    Address, BackendService, Firewall, ForwardingRule, HealthCheck, HealthStatus, InstanceGroup, NetworkEndpoint,
    NetworkEndpointGroup, Resource, SslCertificate, Subnetwork, Tabled, TargetHttpProxy, TargetHttpsProxy, UrlMap, normalise,
};

/// Longest wait for one answer, a token included.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// Google compresses only for clients that say so here as well.
const USER_AGENT: &str = concat!("ingress-diagnosis/", env!("CARGO_PKG_VERSION"), " (gzip)");

/// The most that the API gives at once.
const PAGE_SIZE: u32 = 500;

/// An answer to come.
pub(super) type Reply<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// The SDK's clients: each has a connection pool of its own.
#[derive(Debug, Clone)]
pub(in crate::collect) struct Client {
    addresses: client::Addresses,
    backend_services: client::BackendServices,
    firewalls: client::Firewalls,
    forwarding_rules: client::ForwardingRules,
    health_checks: client::HealthChecks,
    instance_groups: client::InstanceGroups,
    network_endpoint_groups: client::NetworkEndpointGroups,
    region_backend_services: client::RegionBackendServices,
    ssl_certificates: client::SslCertificates,
    subnetworks: client::Subnetworks,
    target_http_proxies: client::TargetHttpProxies,
    target_https_proxies: client::TargetHttpsProxies,
    url_maps: client::UrlMaps,
    tape: Option<Tape>,
}

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) resources: Vec<(Box<str>, T)>,
    pub(super) holes: Vec<Hole>,
    pub(super) next: Option<String>,
}

/// A part of a list that the API could not reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    /// `zones/us-central1-a`, `regions/us-central1`, `global`; `None` when the API does not say which.
    pub(super) scope: Option<Box<str>>,
    pub(super) message: Box<str>,
}

/// A warning of a list, in whichever of the SDK's many types it came.
struct Warning {
    code: Option<String>,
    message: Option<String>,
    data: Vec<(Option<String>, Option<String>)>,
}

macro_rules! warning {
    ($warning:expr) => {
        $warning.map(|warning| Warning {
            code: warning.code.as_ref().and_then(|code| code.name()).map(str::to_owned),
            message: warning.message,
            data: warning.data.into_iter().map(|data| (data.key, data.value)).collect(),
        })
    };
}

impl<T: Resource> Page<T> {
    fn new(next: Option<String>) -> Self {
        Self { resources: Vec::new(), holes: Vec::new(), next: next.filter(|token| !token.is_empty()) }
    }

    /// Adds a resource; `model` is its form on the wire, for the tape.
    fn add(&mut self, project: &str, scope: &str, name: &str, self_link: &str, resource: T, model: Option<(Tape, Value)>) {
        let path = match self_link {
            "" => format!("projects/{project}/{scope}/{}/{name}", T::COLLECTION),
            link => normalise(link, project).into_owned(),
        };
        if let Some((tape, model)) = model {
            tape.resource(&path, model);
        }
        self.resources.push((path.into(), resource));
    }

    /// Keeps what a warning says about missing parts; "no results on this page" and the like say nothing.
    fn warn(&mut self, scope: Option<&str>, warning: Option<Warning>) {
        let Some(warning) = warning else { return };
        if !matches!(warning.code.as_deref(), Some("UNREACHABLE" | "PARTIAL_SUCCESS")) {
            return;
        }
        let message: Box<str> = warning.message.unwrap_or_default().into();
        if let Some(scope) = scope {
            self.holes.push(Hole { scope: Some(scope.into()), message });
            return;
        }
        let named = warning.data.into_iter().filter_map(|(_, value)| scope_of(&value?));
        self.holes.extend(named.map(|scope| Hole { scope: Some(scope), message: message.clone() }));
        if self.holes.is_empty() {
            self.holes.push(Hole { scope: None, message });
        }
    }

    fn unreachable(&mut self, places: Vec<String>) {
        self.holes.extend(
            places.into_iter().map(|place| Hole { scope: scope_of(&place), message: format!("{place} is unreachable").into() }),
        );
    }
}

/// The scope in `https://…/projects/P/zones/Z`, `zones/Z`, `global`, …
fn scope_of(place: &str) -> Option<Box<str>> {
    let mut parts = place.split('/');
    while let Some(part) = parts.next() {
        match part {
            "global" => return Some("global".into()),
            "zones" | "regions" => return parts.next().map(|name| format!("{part}/{name}").into()),
            _ => {}
        }
    }
    None
}

/// A kind that is read by lists.
pub(super) trait Listed: Tabled + PartialEq + Send + Sync {
    /// Asks for one page; the first has the empty token.
    fn page(client: &Client, project: &str, token: &str) -> Reply<Page<Self>>;
}

macro_rules! aggregated {
    ($($type:ty: $client:ident, $field:ident $(, $warning:ident)?;)*) => {
        $(impl Listed for $type {
            fn page(client: &Client, project: &str, token: &str) -> Reply<Page<Self>> {
                let request = client.$client.aggregated_list().set_project(project).set_max_results(PAGE_SIZE);
                let request = request.set_page_token(token).with_user_agent(USER_AGENT);
                let (project, tape) = (project.to_owned(), client.tape.clone());
                in_time(async move {
                    let list = request.send().await.map_err(Failure::from)?;
                    let mut page = Page::new(list.next_page_token);
                    page.unreachable(list.unreachables);
                    for (scope, scoped) in list.items {
                        page.warn(Some(&scope), warning!(scoped.warning));
                        for resource in scoped.$field {
                            let model = taken(&tape, &resource);
                            let resource = resource.slim();
                            let (name, link) = (resource.name.clone(), resource.self_link.clone());
                            page.add(&project, &scope, &name, &link, resource, model);
                        }
                    }
                    $(page.warn(None, warning!(list.$warning));)?
                    Ok(page)
                })
            }
        })*
    };
}
aggregated! {
    Address: addresses, addresses, warning;
    BackendService: backend_services, backend_services, warning;
    ForwardingRule: forwarding_rules, forwarding_rules, warning;
    HealthCheck: health_checks, health_checks, warning;
    InstanceGroup: instance_groups, instance_groups, warning;
    NetworkEndpointGroup: network_endpoint_groups, network_endpoint_groups, warning;
    SslCertificate: ssl_certificates, ssl_certificates, warning;
    Subnetwork: subnetworks, subnetworks, warning;
    TargetHttpProxy: target_http_proxies, target_http_proxies;
    TargetHttpsProxy: target_https_proxies, target_https_proxies, warning;
    UrlMap: url_maps, url_maps, warning;
}

impl Listed for Firewall {
    fn page(client: &Client, project: &str, token: &str) -> Reply<Page<Self>> {
        let request = client.firewalls.list().set_project(project).set_max_results(PAGE_SIZE);
        let request = request.set_page_token(token).with_user_agent(USER_AGENT);
        let (project, tape) = (project.to_owned(), client.tape.clone());
        in_time(async move {
            let list = request.send().await.map_err(Failure::from)?;
            let mut page = Page::new(list.next_page_token);
            page.warn(Some("global"), warning!(list.warning));
            for resource in list.items {
                let model = taken(&tape, &resource);
                let resource = resource.slim();
                let (name, link) = (resource.name.clone(), resource.self_link.clone());
                page.add(&project, "global", &name, &link, resource, model);
            }
            Ok(page)
        })
    }
}

impl Client {
    /// Clients with the credentials that there are now, and the number of their build, which is given up when they cannot be built.
    pub(in crate::collect) async fn connect(endpoint: &str, credentials: &Credentials) -> Result<(u64, Self), Failure> {
        let no_credentials =
            |error: CredentialsError| Failure::without_answer(Class::NoToken, "NoCredentials", error.to_string());
        let (build, sdk) = credentials.current().map_err(no_credentials)?;
        match Self::build(endpoint, sdk).await {
            Ok(client) => Ok((build, client)),
            Err(failure) => {
                credentials.discard(build);
                Err(failure)
            }
        }
    }

    /// Builds every client, all at once: each reads every certificate of the system anew. No request is sent yet.
    fn build(endpoint: &str, credentials: Sdk) -> Reply<Self> {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        macro_rules! build {
            ($($field:ident: $client:ident,)*) => {
                in_time(async move {
                    $(let $field = {
                        let builder = client::$client::builder()
                            .with_endpoint(endpoint.clone())
                            .with_credentials(credentials.clone())
                            .with_retry_policy(NeverRetry);
                        tokio::spawn(async move { builder.build().await })
                    };)*
                    Ok(Self { tape: None, $($field: built($field.await)?,)* })
                })
            };
        }
        build! {
            addresses: Addresses,
            backend_services: BackendServices,
            firewalls: Firewalls,
            forwarding_rules: ForwardingRules,
            health_checks: HealthChecks,
            instance_groups: InstanceGroups,
            network_endpoint_groups: NetworkEndpointGroups,
            region_backend_services: RegionBackendServices,
            ssl_certificates: SslCertificates,
            subnetworks: Subnetworks,
            target_http_proxies: TargetHttpProxies,
            target_https_proxies: TargetHttpsProxies,
            url_maps: UrlMaps,
        }
    }

    /// Takes down what it is answered.
    pub(super) fn recorded(mut self, tape: Option<&Tape>) -> Self {
        self.tape = tape.cloned();
        self
    }

    /// One page of a NEG's endpoints with their health.
    pub(super) fn endpoints(&self, group: &Path, token: &str) -> Reply<(Vec<NetworkEndpoint>, Option<String>)> {
        let body = NetworkEndpointGroupsListEndpointsRequest::new().set_health_status(Show::Show);
        let request = self
            .network_endpoint_groups
            .list_network_endpoints()
            .set_project(&*group.project)
            .set_zone(&*group.location)
            .set_network_endpoint_group(&*group.name)
            .set_body(body)
            .set_max_results(PAGE_SIZE)
            .set_page_token(token)
            .with_idempotency(true)
            .with_user_agent(USER_AGENT);
        let (tape, key, first) = (self.tape.clone(), group.to_string(), token.is_empty());
        in_time(async move {
            let list = request.send().await.map_err(Failure::from)?;
            if let Some(tape) = tape {
                tape.endpoints(&key, first, list.items.iter().filter_map(Tape::as_sent));
            }
            let endpoints = list.items.into_iter().map(Slim::slim).collect();
            Ok((endpoints, list.next_page_token.filter(|token| !token.is_empty())))
        })
    }

    /// What a backend service's health check says of the endpoints of a group.
    pub(super) fn health(&self, backend_service: &Path, group: &str) -> Reply<Vec<HealthStatus>> {
        let body = ResourceGroupReference::new().set_group(group);
        let (tape, keys) = (self.tape.clone(), (backend_service.to_string(), normalise(group, "").into_owned()));
        if backend_service.location.is_empty() {
            let request = self
                .backend_services
                .get_health()
                .set_project(&*backend_service.project)
                .set_backend_service(&*backend_service.name)
                .set_body(body)
                .with_idempotency(true)
                .with_user_agent(USER_AGENT);
            return in_time(async move {
                let health = request.send().await.map_err(Failure::from)?.health_status;
                record_health(tape, &keys, &health);
                Ok(health.into_iter().map(Slim::slim).collect())
            });
        }
        let request = self
            .region_backend_services
            .get_health()
            .set_project(&*backend_service.project)
            .set_region(&*backend_service.location)
            .set_backend_service(&*backend_service.name)
            .set_body(body)
            .with_idempotency(true)
            .with_user_agent(USER_AGENT);
        in_time(async move {
            let health = request.send().await.map_err(Failure::from)?.health_status;
            record_health(tape, &keys, &health);
            Ok(health.into_iter().map(Slim::slim).collect())
        })
    }
}

fn built<T>(client: Result<Result<T, impl fmt::Display>, JoinError>) -> Result<T, Failure> {
    let no_client = |message| Failure::without_answer(Class::NoToken, "NoClient", message);
    client.map_err(|error| no_client(error.to_string()))?.map_err(|error| no_client(error.to_string()))
}

/// The form on the wire, when somebody takes it down.
fn taken(tape: &Option<Tape>, model: &impl Serialize) -> Option<(Tape, Value)> {
    let tape = tape.as_ref()?;
    Some((tape.clone(), Tape::as_sent(model)?))
}

fn record_health(tape: Option<Tape>, (backend_service, group): &(String, String), health: &[impl Serialize]) {
    if let Some(tape) = tape {
        tape.health(backend_service, group, health.iter().filter_map(Tape::as_sent).collect());
    }
}

/// The parts of a resource's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// All of it.
    text: Box<str>,
    project: Box<str>,
    /// Zone or region; empty for a global resource.
    location: Box<str>,
    /// `networkEndpointGroups`, …
    pub(super) collection: Box<str>,
    name: Box<str>,
}

impl Path {
    /// Takes `projects/P/zones/Z/COLLECTION/NAME` or `projects/P/global/COLLECTION/NAME` apart.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let (project, location, collection, name) = match *parts.as_slice() {
            ["projects", project, "global", collection, name] => (project, "", collection, name),
            ["projects", project, "zones" | "regions", location, collection, name] => (project, location, collection, name),
            _ => return None,
        };
        let named = !project.is_empty() && !name.is_empty();
        named.then(|| Self {
            text: text.into(),
            project: project.into(),
            location: location.into(),
            collection: collection.into(),
            name: name.into(),
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The SDK's own timeouts leave the wait for a token out, which may be endless.
fn in_time<T: 'static>(answer: impl Future<Output = Result<T, Failure>> + Send + 'static) -> Reply<T> {
    Box::pin(async move { tokio::time::timeout(TIMEOUT, answer).await.unwrap_or_else(|_| Err(Failure::timeout(TIMEOUT))) })
}

#[cfg(test)]
mod tests {
    use super::{Hole, Page, Path, Warning, scope_of};
    use crate::snapshot::compute::NetworkEndpointGroup;

    #[test]
    fn paths_are_taken_apart() {
        let zonal = Path::parse("projects/p/zones/z/networkEndpointGroups/n").expect("a path");
        assert_eq!((&*zonal.location, &*zonal.collection), ("z", "networkEndpointGroups"));
        let regional = Path::parse("projects/p/regions/r/backendServices/b").expect("a path");
        assert_eq!((&*regional.location, &*regional.to_string()), ("r", "projects/p/regions/r/backendServices/b"));
        let global = Path::parse("projects/p/global/backendServices/b").expect("a path");
        assert_eq!(&*global.location, "");
        assert_eq!(Path::parse("projects/p/global/backendServices/"), None);
        assert_eq!(Path::parse("https://example.org/"), None);
    }

    #[test]
    fn places_become_scopes() {
        for place in ["zones/z", "projects/p/zones/z", "https://www.googleapis.com/compute/v1/projects/p/zones/z"] {
            assert_eq!(scope_of(place).as_deref(), Some("zones/z"), "{place}");
        }
        assert_eq!(scope_of("projects/p/global").as_deref(), Some("global"));
        assert_eq!(scope_of("something else"), None);
    }

    #[test]
    fn only_warnings_about_missing_parts_make_holes() {
        let warning = |code: &str, data: &[&str]| Warning {
            code: Some(code.to_owned()),
            message: Some("text".to_owned()),
            data: data.iter().map(|value| (Some("scope".to_owned()), Some((*value).to_owned()))).collect(),
        };
        let holes = |scope: Option<&str>, warning| {
            let mut page = Page::<NetworkEndpointGroup>::new(None);
            page.warn(scope, Some(warning));
            page.holes
        };
        assert_eq!(holes(Some("zones/z"), warning("NO_RESULTS_ON_PAGE", &["zones/z"])), []);
        let hole = |scope: Option<&str>| Hole { scope: scope.map(Into::into), message: "text".into() };
        assert_eq!(holes(Some("zones/z"), warning("UNREACHABLE", &[])), [hole(Some("zones/z"))]);
        assert_eq!(holes(None, warning("PARTIAL_SUCCESS", &["zones/y"])), [hole(Some("zones/y"))]);
        assert_eq!(holes(None, warning("PARTIAL_SUCCESS", &[])), [hole(None)]);
    }
}
