//! After the statuses: what they say that their targets should know, as events on them.
//!
//! Enters: the statuses that stand. Leaves: events, where this process has not written them yet. Never: keeps a status waiting.

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::{Controller, WRITES};

impl Controller {
    /// Says on the targets what their statuses say that they should know.
    pub(super) async fn tell(&mut self, now: Timestamp) {
        let due: Vec<_> = self
            .kept
            .iter()
            // What has not been written for this diagnosis yet may be another process's word.
            .filter(|(_, kept)| !kept.due)
            .filter_map(|(target, kept)| {
                let object = self.owned.get(target)?;
                let last = object.status.as_ref()?.last_event.clone()?;
                (kept.told.as_ref() != Some(&last)).then(|| (target.clone(), kept.diagnosis.clone(), object, last))
            })
            .collect();
        let events = &self.events;
        let told = stream::iter(due)
            .map(|(target, diagnosis, object, last)| async move {
                let status = object.status.as_ref()?;
                events.tell(&target, &diagnosis.uid, status, now).await.then_some((target, last))
            })
            .buffer_unordered(WRITES)
            .filter_map(async |told| told)
            .collect::<Vec<_>>()
            .await;
        for (target, last) in told {
            if let Some(kept) = self.kept.get_mut(&target) {
                kept.told = Some(last);
            }
        }
    }
}
