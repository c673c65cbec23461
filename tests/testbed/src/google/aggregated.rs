//! Aggregated lists: one kind in all its scopes.
//!
//! In: a world, a kind. Out: the list, with a warning in every scope that has nothing, or that
//! could not be read. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::asked::{Kind, Page};
use super::compute::{kind_refused, list_body, members, refused};
use super::errors::Answer;
use crate::world::World;

pub(super) fn answer(world: &World, project: &str, kind: &Kind, page: &Page) -> Answer {
    if let Some(answer) = kind_refused(world, kind) {
        return answer;
    }
    let scopes: Vec<String> = scopes(world, project).into_iter().filter(|scope| kind.lives_in(scope)).collect();
    let collection = |scope: &str| format!("projects/{project}/{scope}/{}", kind.plural);
    let mut refusals = Vec::new();
    let mut all = Vec::new();
    for scope in &scopes {
        match refused(world, &collection(scope)) {
            Some(answer) => refusals.push((scope.as_str(), answer)),
            None => {
                let compute = world.compute.iter();
                all.extend(
                    compute.flat_map(|compute| members(compute, &collection(scope))).map(|resource| (scope.as_str(), resource)),
                );
            }
        }
    }
    // A zonal kind is at home in the zones: whoever is refused in all of them is refused.
    let homes = scopes.iter().filter(|scope| !kind.zonal || scope.starts_with("zones/")).count();
    let refused_homes = refusals.iter().filter(|(scope, _)| !kind.zonal || scope.starts_with("zones/")).count();
    if refused_homes > 0 && refused_homes == homes && all.is_empty() {
        return refusals.swap_remove(0).1;
    }
    let (items, next) = page.cut(all);
    let mut by_scope = Map::new();
    for scope in &scopes {
        let here: Vec<&Value> = items.iter().filter(|(of, _)| of == scope).map(|(_, resource)| *resource).collect();
        let entry = match refusals.iter().find(|(refused, _)| refused == scope) {
            Some((_, answer)) => warning("UNREACHABLE", answer.body["error"]["message"].as_str().unwrap_or_default(), scope),
            None if here.is_empty() => {
                warning("NO_RESULTS_ON_PAGE", &format!("There are no results for scope '{scope}' on this page."), scope)
            }
            None => json!({kind.plural: here}),
        };
        by_scope.insert(scope.clone(), entry);
    }
    let path = format!("projects/{project}/aggregated/{}", kind.plural);
    let mut body = list_body(&format!("compute#{}AggregatedList", kind.singular), &path, by_scope.into(), next);
    if !refusals.is_empty() {
        body["unreachables"] = refusals.iter().map(|(scope, _)| *scope).collect();
    }
    Answer::ok(body)
}

fn warning(code: &str, message: &str, scope: &str) -> Value {
    json!({"warning": {"code": code, "message": message, "data": [{"key": "scope", "value": scope}]}})
}

/// `global`, and every region and zone that this world mentions.
fn scopes(world: &World, project: &str) -> BTreeSet<String> {
    let mut zones: BTreeSet<&str> = BTreeSet::new();
    let mut regions: BTreeSet<&str> = BTreeSet::new();
    let prefix = format!("projects/{project}/");
    if let Some(compute) = &world.compute {
        let keys = compute.resources.keys().chain(compute.errors.keys());
        for key in keys.filter_map(|key| key.strip_prefix(&prefix)) {
            match key.split('/').collect::<Vec<_>>().as_slice() {
                ["zones", zone, ..] => zones.insert(zone),
                ["regions", region, ..] => regions.insert(region),
                _ => false,
            };
        }
    }
    let locations = world.cluster.iter().filter_map(|cluster| cluster["locations"].as_array()).flatten();
    let of_nodes = world.of_kind("Node").map(|node| &node["metadata"]["labels"]["topology.kubernetes.io/zone"]);
    zones.extend(locations.chain(of_nodes).filter_map(Value::as_str));
    let location = world.meta.cluster.location.as_str();
    if is_zone(location) {
        zones.insert(location);
    } else {
        regions.insert(location);
    }
    regions.extend(zones.iter().filter_map(|zone| zone.rsplit_once('-')).map(|(region, _)| region));
    let zones = zones.into_iter().map(|zone| format!("zones/{zone}"));
    let regions = regions.into_iter().map(|region| format!("regions/{region}"));
    zones.chain(regions).chain(["global".to_owned()]).collect()
}

/// `us-central1-a`, not `us-central1`.
fn is_zone(location: &str) -> bool {
    location.rsplit_once('-').is_some_and(|(_, last)| last.len() == 1)
}
