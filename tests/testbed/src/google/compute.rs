//! The Compute API (v1), read only.
//!
//! In: a world and a request. Out: what the API would have answered when the world was taken. Pure;
//! never changes the world.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::aggregated;
use super::asked::{Asked, Kind, Page, Target};
use super::errors::Answer;
use crate::world::{Compute, ComputeError, Unreadable, World};

pub(super) const ROOT: &str = "/compute/v1/";
const LINKS: &str = "https://www.googleapis.com/compute/v1/";

/// Answers a request below [`ROOT`]; `cap` is the largest page.
pub(super) fn answer(world: &World, asked: &Asked, cap: usize) -> Answer {
    let mut answer = recorded(world, asked, cap);
    mend_fingerprints(&mut answer.body);
    answer
}

/// Compute's fingerprints are base64, and clients that read them as bytes stumble over anything
/// else; recordings made by hand have some that are not.
fn mend_fingerprints(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mend_fingerprints),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name.ends_with("ingerprint") && BASE64.decode(&*text).is_err() => {
                        *text = BASE64.encode(&*text)
                    }
                    field => mend_fingerprints(field),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn recorded(world: &World, asked: &Asked, cap: usize) -> Answer {
    let path = asked.path.strip_prefix(ROOT).unwrap_or_default();
    if asked.query.get("filter").is_some_and(|filter| !filter.is_empty()) {
        return Answer::invalid("Invalid value for field 'filter'. The stand-in does not evaluate filters.");
    }
    let page = match Page::asked_for(asked, cap) {
        Ok(page) => page,
        Err(message) => return Answer::invalid(&message),
    };
    let Some(target) = Target::parse(path).filter(|_| has_project(world, path)) else {
        return Answer::not_found(path);
    };
    match (asked.method.as_str(), target) {
        ("GET", Target::Aggregated { project, kind }) => aggregated::answer(world, project, kind, &page),
        ("GET", Target::Collection { kind }) => list(world, kind, path, &page),
        ("GET", Target::Resource { kind }) => get(world, kind, path),
        ("POST", Target::Method { kind, method }) => call(world, kind, path, method, &asked.body, &page),
        _ => Answer::not_found(path),
    }
}

/// The world's own project, or one whose resources it uses (a Shared VPC's host).
fn has_project(world: &World, path: &str) -> bool {
    let Some(project) = path.split('/').nth(1) else {
        return false;
    };
    let prefix = format!("projects/{project}/");
    let mut keys = world.compute.iter().flat_map(|compute| compute.resources.keys().chain(compute.errors.keys()));
    project == world.meta.project || keys.any(|key| key.starts_with(&prefix))
}

/// The error with which the whole kind is refused, if it is.
pub(super) fn kind_refused(world: &World, kind: &Kind) -> Option<Answer> {
    let unreadable = world.meta.unreadable.iter().find(|entry| entry.source == "compute" && entry.resource == kind.plural);
    if let Some(Unreadable { reason, message, .. }) = unreadable {
        let code = match reason.as_str() {
            "notFound" => 404,
            "backendError" | "internalError" => 503,
            _ => 403,
        };
        let reason = if reason.is_empty() { "forbidden" } else { reason };
        return Some(refusal(&ComputeError { code, reason: reason.to_owned(), message: message.clone() }));
    }
    if world.compute.is_none() {
        let project = format!("projects/{}", world.meta.project);
        return Some(Answer::forbidden(&format!("compute.{}.list", kind.plural), &project));
    }
    None
}

/// The error that was recorded for exactly this key.
pub(super) fn refused(world: &World, key: &str) -> Option<Answer> {
    world.compute.as_ref()?.errors.get(key).map(refusal)
}

fn refusal(error: &ComputeError) -> Answer {
    let mut answer = Answer::compute_error(error.code, &error.reason, &error.message);
    if error.reason.ends_with("ateLimitExceeded") {
        answer.body["error"]["errors"][0]["domain"] = "usageLimits".into();
        answer.body["error"]["status"] = "PERMISSION_DENIED".into();
    }
    answer
}

/// Resources of a collection, in the order of their names.
pub(super) fn members<'a>(compute: &'a Compute, collection: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let prefix = format!("{collection}/");
    compute
        .resources
        .iter()
        .filter(move |(key, _)| key.strip_prefix(&prefix).is_some_and(|name| !name.contains('/')))
        .map(|(_, resource)| resource)
}

/// `kind`, `id` and `selfLink` that every list has, and what is on this page; nothing is left out but an empty list.
pub(super) fn list_body(kind: &str, path: &str, items: Value, next: Option<String>) -> Value {
    let mut body = json!({"kind": kind, "id": path, "selfLink": format!("{LINKS}{path}")});
    let is_empty = items.as_array().is_some_and(Vec::is_empty);
    if !is_empty {
        body["items"] = items;
    }
    if let Some(token) = next {
        body["nextPageToken"] = token.into();
    }
    body
}

fn list(world: &World, kind: &Kind, path: &str, page: &Page) -> Answer {
    if let Some(answer) = kind_refused(world, kind).or_else(|| refused(world, path)) {
        return answer;
    }
    let all: Vec<Value> = world.compute.iter().flat_map(|compute| members(compute, path)).cloned().collect();
    let (items, next) = page.cut(all);
    Answer::ok(list_body(&format!("compute#{}List", kind.singular), path, items.into(), next))
}

fn get(world: &World, kind: &Kind, key: &str) -> Answer {
    if let Some(answer) = refused(world, key) {
        return answer;
    }
    match world.compute.as_ref().and_then(|compute| compute.resources.get(key)) {
        Some(resource) => Answer::ok(resource.clone()),
        None => absent(world, kind, key),
    }
}

/// Why a resource is not there: its kind or collection was not read, or there is none.
fn absent(world: &World, kind: &Kind, key: &str) -> Answer {
    let collection = key.rsplit_once('/').map_or(key, |(collection, _)| collection);
    kind_refused(world, kind).or_else(|| refused(world, collection)).unwrap_or_else(|| Answer::not_found(key))
}

fn call(world: &World, kind: &Kind, path: &str, method: &str, body: &Value, page: &Page) -> Answer {
    let key = path.rsplit_once('/').map_or(path, |(key, _)| key);
    if let Some(answer) = refused(world, path).or_else(|| refused(world, key)) {
        return answer;
    }
    let Some(compute) = &world.compute else {
        return absent(world, kind, key);
    };
    if !compute.resources.contains_key(key) {
        return absent(world, kind, key);
    }
    match (kind.plural, method) {
        ("backendServices", "getHealth") => health(compute, key, body),
        ("networkEndpointGroups", "listNetworkEndpoints") => endpoints(compute, key, body, page),
        ("instanceGroups", "listInstances") => instances(compute, key, page),
        _ => Answer::not_found(path),
    }
}

fn health(compute: &Compute, service: &str, body: &Value) -> Answer {
    let Some(group) = body["group"].as_str().map(below_root) else {
        return Answer::compute_error(400, "required", "Required field 'group' not specified");
    };
    let backends = compute.resources[service]["backends"].as_array();
    let is_backend = backends.into_iter().flatten().any(|backend| backend["group"].as_str().map(below_root) == Some(group));
    let recorded = compute.health.get(service).and_then(|groups| groups.get(group));
    match recorded {
        None if !is_backend => {
            Answer::invalid(&format!("Invalid value for field 'resource.group': '{group}'. It is no backend of '{service}'."))
        }
        // No `healthStatus` at all where there is nothing to tell.
        None => Answer::ok(json!({"kind": "compute#backendServiceGroupHealth"})),
        Some(statuses) if statuses.is_empty() => Answer::ok(json!({"kind": "compute#backendServiceGroupHealth"})),
        Some(statuses) => Answer::ok(json!({"kind": "compute#backendServiceGroupHealth", "healthStatus": statuses})),
    }
}

fn endpoints(compute: &Compute, group: &str, body: &Value, page: &Page) -> Answer {
    let with_health = body["healthStatus"] == "SHOW";
    let all = compute.endpoints.get(group).into_iter().flatten();
    let all =
        all.map(|endpoint| if with_health { endpoint.clone() } else { json!({"networkEndpoint": endpoint["networkEndpoint"]}) });
    let (items, next) = page.cut(all.collect());
    Answer::ok(list_body(
        "compute#networkEndpointGroupsListNetworkEndpoints",
        &format!("{group}/listNetworkEndpoints"),
        items.into(),
        next,
    ))
}

fn instances(compute: &Compute, group: &str, page: &Page) -> Answer {
    let recorded = compute.instances.get(group);
    if recorded.is_none() && compute.resources[group]["size"].as_u64().unwrap_or_default() > 0 {
        // There are some, and nobody wrote them down: they are unknown, not gone.
        return Answer::forbidden("compute.instanceGroups.list", group);
    }
    let all = recorded.into_iter().flatten().map(|instance| match instance {
        Value::String(url) => json!({"instance": url, "status": "RUNNING"}),
        entry => entry.clone(),
    });
    let (items, next) = page.cut(all.collect());
    Answer::ok(list_body("compute#instanceGroupsListInstances", &format!("{group}/listInstances"), items.into(), next))
}

/// A link in any of its forms as the path below `/compute/v1/`.
fn below_root(link: &str) -> &str {
    link.find("projects/").map_or(link, |start| &link[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_base64() {
        let mut body = json!({"items": [{"fingerprint": "ZnA39="}, {"labelFingerprint": "ZnA39w=="}], "name": "ZnA39="});
        mend_fingerprints(&mut body);
        assert_eq!(body, json!({"items": [{"fingerprint": "Wm5BMzk9"}, {"labelFingerprint": "ZnA39w=="}], "name": "ZnA39="}));
    }
}
