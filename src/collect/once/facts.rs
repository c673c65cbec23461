//! What a single pass puts into the world beside lists: where the cluster is, what pods answered on a detour, and what was not read.
//!
//! Enters: the world after the first lists. Leaves: `meta`, answers, and a reason for whatever was given up. Never: overwrites a fact.

use crate::collect::Settings;
use crate::collect::identity::{self, Found};
use crate::collect::world::{Change, World};
use crate::snapshot::compute::{ApiError, COLLECTIONS};
use crate::snapshot::probe::ProbeAnswer;
use crate::snapshot::{Observed, Source, Unknown};

/// Finds out which project and cluster this is: settings, else the metadata server where this is a pod, else the nodes, else the name that
/// gcloud gives its contexts. Gives the settings with what was found.
pub async fn identify(world: &World, mut settings: Settings, context: Option<&str>, in_cluster: bool) -> Settings {
    let mut found = Found::of(&settings);
    if in_cluster {
        found.fill_from_metadata(settings.credentials).await;
    }
    let context = context.and_then(identity::of_context).unwrap_or_default();
    found.fill_from_nodes(world, &context);
    found.publish(world);
    (settings.project, settings.cluster_name, settings.cluster_location) = found.into_parts();
    settings
}

/// Whether there is any use in asking Google. Says to the world why not, and what of it cannot be asked.
pub fn can_ask_google(world: &World, settings: &Settings, has_credentials: bool) -> bool {
    let Settings { project, cluster_name, cluster_location, .. } = settings;
    let why = if project.is_empty() {
        Some(("NotKnown", "the project is not known: set project"))
    } else if !has_credentials {
        Some(("NoCredentials", "no Google credentials"))
    } else {
        None
    };
    let nameless = cluster_name.is_empty() || cluster_location.is_empty();
    let no_cluster = why.or(nameless.then_some(("NotKnown", "the cluster is not known: set cluster.name and cluster.location")));
    world.edit(|snapshot| {
        if let Some((reason, message)) = why {
            for collection in COLLECTIONS {
                let why = Unknown::new(Source::Compute, *collection, reason, message);
                snapshot.compute.unread.insert((*collection).into(), why);
            }
        }
        if let Some((reason, message)) = no_cluster {
            snapshot.cluster = Observed::Unknown(Unknown::new(Source::Container, "clusters", reason, message));
        }
        Change::Everything
    });
    why.is_none()
}

/// Keeps answers that came another way than the prober's.
pub fn keep_answers(world: &World, answers: Vec<ProbeAnswer>) {
    world.edit(|snapshot| {
        snapshot.probes.asked = true;
        answers.into_iter().for_each(|answer| snapshot.probes.insert(answer));
        Change::Everything
    });
}

/// Says of groups that their turn did not come.
pub fn not_in_time<'a>(world: &World, groups: impl Iterator<Item = (&'a str, &'a str)>, message: &str) {
    let why = || ApiError { code: 0, reason: "NotInTime".into(), message: message.into() };
    world.edit(|snapshot| {
        let compute = &mut snapshot.compute;
        for (backend_service, group) in groups {
            if group.contains("/networkEndpointGroups/") && !compute.endpoints.contains_key(group) {
                compute.errors.entry(format!("{group}/listNetworkEndpoints").into()).or_insert_with(why);
            }
            if !group.contains("/networkEndpointGroups/") && compute.health_of(backend_service, group).is_err() {
                compute.errors.entry(format!("{backend_service}/getHealth").into()).or_insert_with(why);
            }
        }
        Change::Everything
    });
}
