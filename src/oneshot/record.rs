//! A pass as a recording.
//!
//! Enters: what was seen and the tape on which it was taken down. Leaves: a [`Recording`] whose diagnosis is that of the pass. Never: takes
//! what was not read for empty.

use crate::collect::Tape;
use crate::snapshot::Snapshot;
use crate::snapshot::compute::ApiError;
use crate::snapshot::recording::Recording;

use super::Seen;

impl Seen {
    /// What was seen, verbatim.
    pub fn recording(&self, tape: &Tape) -> Recording {
        let snapshot = self.world.read();
        let meta = &snapshot.meta;
        let mut recording = Recording {
            taken_at: meta.taken_at,
            project: meta.project.to_string(),
            cluster_name: meta.cluster_name.to_string(),
            cluster_location: meta.cluster_location.to_string(),
            unreadable: snapshot.unread(),
            ..Recording::default()
        };
        tape.give(&mut recording);
        let compute = recording.compute.get_or_insert_default();
        compute.errors = errors(&snapshot);
        // What was read again and is gone, or was wanted no longer, was taken down all the same.
        compute.endpoints.retain(|group, _| snapshot.compute.endpoints.contains_key(&**group));
        for (backend_service, groups) in &mut compute.health {
            let known = snapshot.compute.health.get(&**backend_service);
            groups.retain(|group, _| known.is_some_and(|known| known.contains_key(&**group)));
        }
        compute.health.retain(|_, groups| !groups.is_empty());
        if snapshot.probes.asked {
            recording.probes = Some(snapshot.probes.iter().cloned().collect());
        }
        recording
    }
}

fn errors(snapshot: &Snapshot) -> std::collections::BTreeMap<String, ApiError> {
    snapshot.compute.errors.iter().map(|(path, error)| (path.to_string(), error.clone())).collect()
}
