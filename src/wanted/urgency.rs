//! How urgently the groups of a target are to be read, and whose facts Kubernetes has overtaken.
//!
//! Enters: what a diagnosis wants, what was seen at the last look, when each group was last read. Leaves: the wishes for the Compute
//! reader, what is to be remembered until the next look. Never: reads.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::collect::{Urgency, Want};
use crate::topology::wants::WantedGroup;

/// What was seen of a group when its target was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// What Kubernetes said of its backend.
    kubernetes: u64,
    /// When that last changed; `None` while it has not.
    changed: Option<Timestamp>,
    /// Since when GKE calls its backend unhealthy.
    accused: Option<Timestamp>,
}

/// What was seen of the groups of a target, by backend service and group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Looked {
    groups: BTreeMap<(Box<str>, Box<str>), Seen>,
    /// Every list and every group had been read.
    complete: bool,
}

/// What a look comes to.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) groups: Vec<Want>,
    /// Places of backends of which a group was read before its endpoints last changed in Kubernetes.
    pub(super) outdated: BTreeSet<usize>,
    pub(super) looked: Looked,
}

/// Of a target: whether it is young, whether all lists were read, how long a change keeps its groups young, and "now".
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) young: bool,
    pub(super) listed: bool,
    pub(super) rollout: SignedDuration,
    pub(super) now: Timestamp,
}

/// What is to be read of the groups of a target, and how urgently. `read_at` tells when a group was last read.
pub(super) fn wishes(
    groups: &[WantedGroup],
    before: Option<&Looked>,
    moment: Moment,
    read_at: impl Fn(&str, &str) -> Option<Timestamp>,
) -> Wishes {
    let mut wishes = Wishes::default();
    wishes.looked.complete = moment.listed && groups.iter().all(|group| group.known);
    for group in groups {
        let key: (Box<str>, Box<str>) = (group.backend_service.as_str().into(), group.group.as_str().into());
        let known = before.and_then(|before| before.groups.get(&key));
        let seen = Seen::now(group, known, before.is_some_and(|before| before.complete), moment.now);
        let read = read_at(&group.backend_service, &group.group);
        let overtaken = |since: Option<Timestamp>| since.is_some_and(|since| read.is_none_or(|read| read < since));
        if overtaken(seen.changed) && read.is_some() {
            wishes.outdated.insert(group.backend);
        }
        let recent = seen.changed.is_some_and(|changed| moment.now.duration_since(changed) < moment.rollout);
        let urgency = if overtaken(seen.accused) {
            Urgency::Accused
        } else if overtaken(seen.changed) {
            Urgency::Changed
        } else if group.unhealthy {
            Urgency::Unhealthy
        } else if group.accused || moment.young || recent {
            Urgency::Young
        } else {
            Urgency::Settled
        };
        wishes.groups.push(Want { backend_service: key.0.clone(), group: key.1.clone(), urgency });
        wishes.looked.groups.insert(key, seen);
    }
    wishes
}

impl Seen {
    /// `complete`: everything had been read before, so that a group which was not there is new.
    fn now(group: &WantedGroup, before: Option<&Self>, complete: bool, now: Timestamp) -> Self {
        let changed = match before {
            Some(before) if before.kubernetes == group.seen => before.changed,
            Some(_) => Some(now),
            None => complete.then_some(now),
        };
        let accused = group.accused.then(|| before.and_then(|before| before.accused).unwrap_or(now));
        Self { kubernetes: group.seen, changed, accused }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{Looked, Moment, Wishes, wishes};
    use crate::collect::Urgency;
    use crate::topology::wants::WantedGroup;

    const START: Moment =
        Moment { young: false, listed: true, rollout: SignedDuration::from_secs(120), now: Timestamp::UNIX_EPOCH };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn group(seen: u64) -> WantedGroup {
        let (backend_service, group) = ("b".to_owned(), "projects/p/zones/z/networkEndpointGroups/g".to_owned());
        WantedGroup { backend: 0, backend_service, group, unhealthy: false, accused: false, confirm: false, known: true, seen }
    }

    fn look(group: &WantedGroup, before: Option<&Looked>, second: i64, read: Option<i64>) -> (Urgency, Wishes) {
        let moment = Moment { now: at(second), ..START };
        let wishes = wishes(std::slice::from_ref(group), before, moment, |_, _| read.map(at));
        (wishes.groups[0].urgency, wishes)
    }

    #[test]
    fn what_changed_is_read_again_and_watched_for_a_while() {
        let (urgency, start) = look(&WantedGroup { known: false, ..group(1) }, None, 0, None);
        assert_eq!(urgency, Urgency::Settled, "at a start everybody waits in line");
        let (urgency, read) = look(&group(1), Some(&start.looked), 10, Some(5));
        assert_eq!(urgency, Urgency::Settled);
        let (urgency, changed) = look(&group(2), Some(&read.looked), 20, Some(5));
        assert_eq!((urgency, changed.outdated.len()), (Urgency::Changed, 1));
        let (urgency, later) = look(&group(2), Some(&changed.looked), 25, Some(5));
        assert_eq!((urgency, later.outdated.len()), (Urgency::Changed, 1), "until it was read");
        let (urgency, fresh) = look(&group(2), Some(&later.looked), 40, Some(30));
        assert_eq!((urgency, fresh.outdated.len()), (Urgency::Young, 0));
        assert_eq!(look(&group(2), Some(&fresh.looked), 141, Some(30)).0, Urgency::Settled);
    }

    #[test]
    fn who_is_accused_is_read_first_and_once() {
        let accused = WantedGroup { accused: true, ..group(1) };
        let (urgency, first) = look(&accused, None, 0, None);
        assert_eq!(urgency, Urgency::Accused, "at a start as well");
        let (urgency, read) = look(&accused, Some(&first.looked), 10, Some(3));
        assert_eq!(urgency, Urgency::Young, "it was read since, and found healthy");
        let failing = WantedGroup { unhealthy: true, ..accused.clone() };
        assert_eq!(look(&failing, Some(&first.looked), 10, Some(3)).0, Urgency::Unhealthy);
        let (_, acquitted) = look(&group(1), Some(&read.looked), 20, Some(3));
        assert_eq!(look(&accused, Some(&acquitted.looked), 30, Some(3)).0, Urgency::Accused, "accused anew");
    }

    #[test]
    fn a_group_that_joins_one_whose_all_was_read_is_new() {
        let empty = |listed| wishes(&[], None, Moment { listed, ..START }, |_, _| None).looked;
        let unread = WantedGroup { known: false, ..group(1) };
        assert_eq!(look(&unread, Some(&empty(true)), 10, None).0, Urgency::Changed);
        assert_eq!(look(&unread, Some(&empty(false)), 10, None).0, Urgency::Settled, "the lists have only just come");
        let (_, start) = look(&unread, None, 0, None);
        let other = WantedGroup { group: "projects/p/zones/y/networkEndpointGroups/g".into(), ..unread };
        assert_eq!(look(&other, Some(&start.looked), 10, None).0, Urgency::Settled, "not all that it was had been read");
    }
}
