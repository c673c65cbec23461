//! The Container API: one cluster.
//!
//! In: a world and a path. Out: `clusters.get`'s answer. Pure.

use super::errors::Answer;
use crate::world::World;

pub(super) fn answer(world: &World, path: &str) -> Answer {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let ["v1", "projects", project, "locations", location, "clusters", name] = segments.as_slice() else {
        return Answer::status_error(404, "NOT_FOUND", &format!("Method not found: {path}"));
    };
    let cluster = format!("projects/{project}/locations/{location}/clusters/{name}");
    let unreadable = world.meta.unreadable.iter().find(|entry| entry.source == "container");
    if let Some(entry) = unreadable {
        return Answer::status_error(403, "PERMISSION_DENIED", &entry.message);
    }
    let (meta, ours) = (&world.meta, &world.meta.cluster);
    if (*project, *location, *name) != (meta.project.as_str(), ours.location.as_str(), ours.name.as_str()) {
        return Answer::status_error(404, "NOT_FOUND", &format!("Not found: {cluster}."));
    }
    match &world.cluster {
        Some(body) => Answer::ok(body.clone()),
        None => {
            let message = format!("Required \"container.clusters.get\" permission(s) for \"{cluster}\".");
            Answer::status_error(403, "PERMISSION_DENIED", &message)
        }
    }
}
