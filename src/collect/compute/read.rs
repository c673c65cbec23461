//! One read: all pages of a list, the endpoints of a group, or what a health check says of it.
//!
//! Enters: what to read. Leaves: the edit of the world that it comes to, or why it failed, and how many requests it took. Never: sends a
//! request without leave of the budget, or one that is not counted; gives half a list for a whole one.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::apply::{self, Whole};
use super::budget::Budget;
use super::client::{Client, Listed, Path};
use super::failure::{Class, Failure};
use super::schedule::Job;
use super::{ComputeReader, guard};
use crate::collect::world::Change;
use crate::snapshot::Compute;
use crate::snapshot::compute::{
    Address, BackendService, Firewall, ForwardingRule, HealthCheck, HealthStatus, InstanceGroup, NetworkEndpoint,
    NetworkEndpointGroup, Resource, SslCertificate, Subnetwork, TargetHttpProxy, TargetHttpsProxy, UrlMap,
};

/// A change of the world's Compute part; told whether no other group of the same backend service fails.
pub(super) type Edit = Box<dyn FnOnce(&mut Compute, bool) -> Change + Send>;

/// What one read brought.
pub(super) struct Outcome {
    pub(super) job: Job,
    pub(super) pages: usize,
    /// When the first request was sent: what the answer says is no younger.
    pub(super) began: Option<Timestamp>,
    pub(super) result: Result<Edit, Failure>,
}

/// One read, page by page.
pub(super) struct Read {
    client: Client,
    budget: Arc<Budget>,
    handle: ComputeReader,
    pages: usize,
    began: Option<Timestamp>,
}

impl Read {
    pub(super) fn new(client: Client, budget: &Arc<Budget>, handle: &ComputeReader) -> Self {
        let client = client.recorded(handle.shared.tape.get());
        Self { client, budget: budget.clone(), handle: handle.clone(), pages: 0, began: None }
    }

    pub(super) async fn run(mut self, job: Job, main: Box<str>) -> Outcome {
        let result = self.ask(&job, &main).await;
        Outcome { job, pages: self.pages, began: self.began, result }
    }

    async fn ask(&mut self, job: &Job, main: &str) -> Result<Edit, Failure> {
        match job {
            Job::List { project, collection } => self.list_of(project, collection, project.as_ref() == main).await,
            Job::Endpoints { group } => {
                let endpoints = self.endpoints(group).await?;
                let group = group.clone();
                Ok(Box::new(move |compute, _| apply::endpoints(compute, &group, endpoints)))
            }
            Job::Health { backend_service, group } => {
                let health = self.health(backend_service, group).await?;
                let (backend_service, group) = (backend_service.clone(), group.clone());
                Ok(Box::new(move |compute, all_well| apply::health(compute, &backend_service, &group, health, all_well)))
            }
        }
    }

    async fn list_of(&mut self, project: &str, collection: &str, main: bool) -> Result<Edit, Failure> {
        macro_rules! by_collection {
            ($($type:ty),*) => {
                match collection {
                    $(<$type as Resource>::COLLECTION => self.list::<$type>(project, main).await,)*
                    other => {
                        let message = format!("no such kind: {other}");
                        Err(Failure::without_answer(Class::Refused, "NotRead", message))
                    }
                }
            };
        }
        by_collection!(
            Address,
            BackendService,
            Firewall,
            ForwardingRule,
            HealthCheck,
            InstanceGroup,
            NetworkEndpointGroup,
            SslCertificate,
            Subnetwork,
            TargetHttpProxy,
            TargetHttpsProxy,
            UrlMap
        )
    }

    async fn list<T: Listed>(&mut self, project: &str, main: bool) -> Result<Edit, Failure> {
        let method = match T::COLLECTION {
            Firewall::COLLECTION => "firewalls.list".to_owned(),
            collection => format!("{collection}.aggregatedList"),
        };
        let mut whole = Whole { resources: BTreeMap::new(), holes: Vec::new() };
        let mut token = String::new();
        loop {
            self.leave().await;
            let page = self.count(&method, T::page(&self.client, project, &token).await)?;
            whole.resources.extend(page.resources);
            whole.holes.extend(page.holes);
            match page.next {
                Some(next) => token = next,
                None => break,
            }
        }
        let project: Box<str> = project.into();
        Ok(Box::new(move |compute, _| apply::list::<T>(compute, &project, whole, main)))
    }

    async fn endpoints(&mut self, group: &str) -> Result<Vec<NetworkEndpoint>, Failure> {
        let path = parse(group)?;
        let mut endpoints = Vec::new();
        let mut token = String::new();
        loop {
            self.leave().await;
            let reply = self.client.endpoints(&path, &token).await;
            let (page, next) = self.count("networkEndpointGroups.listNetworkEndpoints", reply)?;
            endpoints.extend(page);
            match next {
                Some(next) => token = next,
                None => return Ok(endpoints),
            }
        }
    }

    async fn health(&mut self, backend_service: &str, group: &str) -> Result<Vec<HealthStatus>, Failure> {
        let path = parse(backend_service)?;
        let link = format!("https://www.googleapis.com/compute/v1/{group}");
        self.leave().await;
        let reply = self.client.health(&path, &link).await;
        self.count("backendServices.getHealth", reply)
    }

    /// Waits until one more request may be sent.
    async fn leave(&mut self) {
        self.budget.acquire().await;
        self.pages += 1;
        self.began.get_or_insert_with(Timestamp::now);
    }

    fn count<T>(&self, method: &str, reply: Result<T, Failure>) -> Result<T, Failure> {
        let code = reply.as_ref().map_or_else(Failure::label, |_| "200".into());
        *guard(&self.handle.shared.requests).entry((method.into(), code)).or_default() += 1;
        reply
    }
}

fn parse(path: &str) -> Result<Path, Failure> {
    Path::parse(path).ok_or_else(|| {
        Failure::without_answer(Class::Refused, "Malformed", format!("{path:?} is not the path of a Compute resource"))
    })
}
