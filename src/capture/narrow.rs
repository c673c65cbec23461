//! A recording of a whole cluster, cut down to what the diagnosis of some targets reads.
//!
//! Enters: a [`Recording`] and targets. Leaves: a [`Recording`] in which each target that is left is diagnosed as before.
//! Never: keeps half of a neighbour: an Ingress that is kept for what it tells of a target is kept with all that its own diagnosis reads,
//! so that nobody is accused for what was cut away.

use std::collections::BTreeSet;

use crate::snapshot::kubernetes::Ingress;
use crate::snapshot::{Recording, Snapshot};
use crate::topology::{Fleet, Grace, TargetKind, TargetRef, Topology};

use super::kept::Kept;
use super::witness;

impl Recording {
    /// What the diagnosis of these targets reads, and no more. One that cannot be decoded is left whole.
    pub fn narrowed(&self, targets: &[TargetRef]) -> Self {
        match self.snapshot() {
            Ok((snapshot, _)) => narrow(self, &snapshot, targets.iter().cloned().collect(), None),
            Err(_) => self.clone(),
        }
    }

    /// All objects of a namespace, and what the diagnosis of the targets in it reads beyond that.
    pub fn narrowed_to(&self, namespace: &str) -> Self {
        match self.snapshot() {
            Ok((snapshot, _)) => {
                let all = Fleet::of(&snapshot).targets.into_iter();
                narrow(self, &snapshot, all.filter(|target| &*target.namespace == namespace).collect(), Some(namespace))
            }
            Err(_) => self.clone(),
        }
    }
}

fn narrow(recording: &Recording, snapshot: &Snapshot, mut targets: BTreeSet<TargetRef>, whole: Option<&str>) -> Recording {
    let fleet = Fleet::of(snapshot);
    let mut identity = None;
    loop {
        let kept = kept(snapshot, &fleet, &targets, whole, identity.clone());
        let narrowed = kept.of(recording);
        let Ok((seen, _)) = narrowed.snapshot() else { return recording.clone() };
        let fleet_seen = Fleet::of(&seen);
        // What is kept for the targets' sake may need a diagnosis, too.
        let mut further: BTreeSet<_> = fleet_seen.targets.iter().flat_map(|target| whose(snapshot, &fleet, target)).collect();
        further.extend(kept.ingresses.iter().map(|(namespace, name)| TargetRef {
            kind: TargetKind::Ingress,
            namespace: namespace.as_str().into(),
            name: name.as_str().into(),
        }));
        let known = fleet_seen.ids == fleet.ids || identity.is_some() || targets.is_empty();
        if !known {
            identity = Some(witness::of_identity(snapshot));
            further.extend(identity.iter().flat_map(|witness| witness.ingress.clone()));
        }
        if known && further.is_subset(&targets) {
            return narrowed;
        }
        targets.extend(further);
    }
}

fn kept<'a>(
    snapshot: &Snapshot,
    fleet: &Fleet,
    targets: &BTreeSet<TargetRef>,
    whole: Option<&'a str>,
    identity: Option<witness::Identity>,
) -> Kept<'a> {
    let grace = Grace::default();
    let mut kept = Kept::new(whole, identity.and_then(|witness| witness.neg));
    for target in targets {
        kept.name(target);
        let Some(topology) = Topology::of(snapshot, fleet, &grace, target) else { continue };
        kept.add(&topology);
        kept.ingresses.extend(witness::of_controller(&topology));
    }
    kept
}

/// A target of the narrowed world: itself, or the Ingresses that keep its Service from being one in the whole world.
fn whose(snapshot: &Snapshot, fleet: &Fleet, target: &TargetRef) -> Vec<TargetRef> {
    if fleet.targets.contains(target) {
        return vec![target.clone()];
    }
    let routes = |ingress: &&Ingress| ingress.metadata.namespace == target.namespace && services(ingress).contains(&*target.name);
    snapshot.kubernetes.ingresses.iter().filter(routes).map(reference).collect()
}

pub(super) fn reference(ingress: &Ingress) -> TargetRef {
    let meta = &ingress.metadata;
    TargetRef { kind: TargetKind::Ingress, namespace: meta.namespace.clone(), name: meta.name.clone() }
}

/// The names of the Services that an Ingress routes to.
fn services(ingress: &Ingress) -> BTreeSet<&str> {
    let paths = ingress.spec.rules.iter().filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths);
    let backends = paths.map(|path| &path.backend).chain(&ingress.spec.default_backend);
    backends.filter_map(|backend| Some(&*backend.service.as_ref()?.name)).collect()
}
