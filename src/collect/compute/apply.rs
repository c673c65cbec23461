//! What a read does to the world.
//!
//! Enters: the outcome of one read. Leaves: the Compute part of the world, changed, and whether anything is different now.
//! Never: turns a refused, partial or failed read into an absence; forgets an old fact because a newer read failed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::{Hole, Listed};
use super::failure::{Class, Failure};
use crate::collect::world::Change;
use crate::snapshot::compute::{ApiError, COLLECTIONS, HealthStatus, NetworkEndpoint};
use crate::snapshot::{Compute, Source, Unknown};

/// A whole list, of all its pages.
#[derive(Debug)]
pub(super) struct Whole<T> {
    pub(super) resources: BTreeMap<Box<str>, T>,
    pub(super) holes: Vec<Hole>,
}

/// The first answer of any kind: from now on, what is not marked was read.
fn asked(compute: &mut Compute) {
    if !std::mem::replace(&mut compute.read, true) {
        for collection in COLLECTIONS {
            let why = Unknown::not_read(Source::Compute, *collection);
            compute.unread.entry((*collection).into()).or_insert(why);
        }
    }
}

/// Puts a list in the place of the one before. What a scope held that could not be reached stays, and that scope is marked.
pub(super) fn list<T: Listed>(compute: &mut Compute, project: &str, list: Whole<T>, main: bool) -> Change {
    asked(compute);
    let own = format!("projects/{project}/");
    let suffix = format!("/{}", T::COLLECTION);
    let scopes: Vec<String> =
        list.holes.iter().filter_map(|hole| hole.scope.as_ref()).map(|scope| format!("{own}{scope}{suffix}")).collect();
    let unplaced = list.holes.iter().find(|hole| hole.scope.is_none());

    let errors_before = errors_of(compute, &own, &suffix);
    compute.errors.retain(|path, _| !(path.starts_with(&own) && path.ends_with(&suffix)));
    for (hole, path) in list.holes.iter().filter(|hole| hole.scope.is_some()).zip(&scopes) {
        compute.errors.insert(path.as_str().into(), unreachable(hole));
    }
    let mut changed = errors_before != errors_of(compute, &own, &suffix);
    if main {
        let why = unplaced.map(|hole| Unknown::new(Source::Compute, T::COLLECTION, "PartialSuccess", hole.message.clone()));
        changed |= set_unread(compute, T::COLLECTION, why);
    }

    let table = T::table_mut(compute);
    let kept =
        |path: &str| !path.starts_with(&own) || unplaced.is_some() || scopes.iter().any(|scope| path.starts_with(&**scope));
    let before: BTreeMap<&str, &T> = table.iter().filter(|(path, _)| path.starts_with(&own)).collect();
    changed |= before.iter().any(|(path, _)| !kept(path) && !list.resources.contains_key(*path))
        || list.resources.iter().any(|(path, resource)| before.get(&**path) != Some(&resource));
    if changed {
        table.retain(|path| kept(path) || list.resources.contains_key(path));
        for (path, resource) in list.resources {
            table.insert(path, resource);
        }
        return Change::Everything;
    }
    Change::Nothing
}

/// What became of a list that failed. `stands`: an earlier one is young enough to speak for what is not in it.
pub(super) fn list_failed(compute: &mut Compute, collection: &str, failure: &Failure, stands: bool) -> Change {
    asked(compute);
    if stands && failure.class != Class::Refused && failure.class != Class::NotFound {
        return Change::Nothing;
    }
    let why = Unknown::new(Source::Compute, collection, failure.reason.clone(), failure.message.clone());
    if set_unread(compute, collection, Some(why)) { Change::Everything } else { Change::Nothing }
}

/// The same for a host project, whose kinds are only some of all there are: its own paths are marked.
pub(super) fn host_list_failed(compute: &mut Compute, paths: &[String], failure: &Failure) -> Change {
    let mut changed = false;
    for path in paths {
        changed |= compute.errors.insert(path.as_str().into(), failure.to_error()) != Some(failure.to_error());
    }
    if changed { Change::Everything } else { Change::Nothing }
}

/// Keeps the endpoints of a group.
pub(super) fn endpoints(compute: &mut Compute, group: &str, mut endpoints: Vec<NetworkEndpoint>) -> Change {
    endpoints.sort_by(|a, b| {
        let key = |endpoint: &NetworkEndpoint| (endpoint.network_endpoint.ip_address.clone(), endpoint.network_endpoint.port);
        key(a).cmp(&key(b))
    });
    let mut changed = compute.errors.remove(&*endpoints_key(group)).is_some();
    if compute.endpoints.get(group).is_none_or(|before| **before != endpoints) {
        compute.endpoints.insert(group.into(), Arc::new(endpoints));
        changed = true;
    }
    of_group(group, changed)
}

/// What became of a read of endpoints that failed.
pub(super) fn endpoints_failed(compute: &mut Compute, group: &str, failure: &Failure) -> Change {
    if failure.class == Class::NotFound {
        compute.endpoints.remove(group);
    }
    if compute.endpoints.contains_key(group) {
        return Change::Nothing;
    }
    let error = failure.to_error();
    let changed = compute.errors.insert(endpoints_key(group), error.clone()) != Some(error);
    of_group(group, changed)
}

/// Keeps what `getHealth` said of a group. The error of the backend service goes when none of its groups fails any longer (`all_well`).
pub(super) fn health(
    compute: &mut Compute,
    backend_service: &str,
    group: &str,
    mut health: Vec<HealthStatus>,
    all_well: bool,
) -> Change {
    health.sort_by(|a, b| (&a.ip_address, a.port, &a.instance).cmp(&(&b.ip_address, b.port, &b.instance)));
    let mut changed = all_well && compute.errors.remove(&*health_key(backend_service)).is_some();
    let groups = compute.health.entry(backend_service.into()).or_default();
    if groups.get(group).is_none_or(|before| **before != health) {
        groups.insert(group.into(), Arc::new(health));
        changed = true;
    }
    of_group(group, changed)
}

/// What became of a `getHealth` that failed.
pub(super) fn health_failed(compute: &mut Compute, backend_service: &str, group: &str, failure: &Failure) -> Change {
    if failure.class == Class::NotFound {
        forget_health(compute, backend_service, group);
    }
    if compute.health.get(backend_service).is_some_and(|groups| groups.contains_key(group)) {
        return Change::Nothing;
    }
    let error = failure.to_error();
    let changed = compute.errors.insert(health_key(backend_service), error.clone()) != Some(error);
    of_group(group, changed)
}

/// Forgets the endpoints of a group that nobody wants to know.
pub(super) fn forget_endpoints(compute: &mut Compute, group: &str) {
    compute.endpoints.remove(group);
    compute.errors.remove(&*endpoints_key(group));
}

/// Forgets the health of a group that nobody wants to know.
pub(super) fn forget_health(compute: &mut Compute, backend_service: &str, group: &str) {
    if let Some(groups) = compute.health.get_mut(backend_service) {
        groups.remove(group);
        if groups.is_empty() {
            compute.health.remove(backend_service);
        }
    }
    compute.errors.remove(&*health_key(backend_service));
}

fn endpoints_key(group: &str) -> Box<str> {
    format!("{group}/listNetworkEndpoints").into()
}

fn health_key(backend_service: &str) -> Box<str> {
    format!("{backend_service}/getHealth").into()
}

fn of_group(group: &str, changed: bool) -> Change {
    if changed { Change::Group(group.into()) } else { Change::Nothing }
}

fn set_unread(compute: &mut Compute, collection: &str, why: Option<Unknown>) -> bool {
    let before = match why.clone() {
        Some(why) => compute.unread.insert(collection.into(), why),
        None => compute.unread.remove(collection),
    };
    before != why
}

fn errors_of(compute: &Compute, own: &str, suffix: &str) -> Vec<(Box<str>, ApiError)> {
    let of = compute.errors.iter().filter(|(path, _)| path.starts_with(own) && path.ends_with(suffix));
    of.map(|(path, error)| (path.clone(), error.clone())).collect()
}

fn unreachable(hole: &Hole) -> ApiError {
    ApiError { code: 0, reason: "Unreachable".into(), message: hole.message.clone() }
}

#[cfg(test)]
mod tests;
