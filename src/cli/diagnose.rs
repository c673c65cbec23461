//! `diagnose`: one pass over a snapshot, or over a live cluster.
//!
//! Enters: a folder, or a cluster and names. Leaves: the diagnoses on stdout, what could not be seen on stderr, an exit code. Never: writes
//! anywhere else.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;

use crate::config::Config;
use crate::diagnose::{Diagnosis, diagnose as diagnose_target};
use crate::oneshot::{self, Ask, OneshotError, Seen};
use crate::publish::status::{self, Context};
use crate::publish::text;
use crate::snapshot::{self, Snapshot, folder};
use crate::topology::{Fleet, Grace, TargetRef, Topology};

use super::cluster::ClusterArgs;
use super::progress::Line;
use super::{DiagnoseArgs, LiveArgs, Outcome, Output, print, watch};

pub(super) fn diagnose(args: &DiagnoseArgs) -> Outcome {
    let config = Config::load(args.settings.config.as_deref(), &args.settings.set)?;
    match of_folder(&args.what) {
        Some(_) if args.watch => Err("--watch looks at a cluster, a folder does not change: leave one of them out".into()),
        Some((path, names)) => recorded(args, &config, &path, names),
        None if args.watch => super::in_runtime(watch::watch(args, config)),
        None => super::in_runtime(live(args, config)),
    }
}

/// A folder, and the names after it. An argument is a folder when it is written as one, or is one that holds a snapshot.
fn of_folder(what: &[String]) -> Option<(PathBuf, &[String])> {
    let (first, names) = what.split_first()?;
    let path = Path::new(first);
    (is_written_as_folder(first) || path.join("meta.yaml").is_file()).then(|| (path.to_owned(), names))
}

/// An argument with a `/` in it, as no name has, or named like an archive.
pub(super) fn is_written_as_folder(text: &str) -> bool {
    text.contains('/') || matches!(text, "." | "..") || snapshot::is_archive(Path::new(text))
}

fn recorded(args: &DiagnoseArgs, config: &Config, path: &Path, names: &[String]) -> Outcome {
    let (snapshot, malformed) = folder::load(path)?;
    for object in malformed {
        anstream::eprintln!("warning: {object}");
    }
    let cluster = &args.live.cluster;
    let wanted = |target: &TargetRef| {
        cluster.namespace.as_ref().is_none_or(|namespace| **namespace == *target.namespace)
            && (names.is_empty() || names.contains(&target.diagnosis_name()))
    };
    let diagnoses = all(&snapshot, &config.grace, wanted);
    if diagnoses.is_empty() && !names.is_empty() {
        return Err(format!("there is no Ingress of GKE's named {} in {}", names.join(" or "), path.display()).into());
    }
    answer(args.output, config, snapshot.meta.taken_at, &diagnoses)
}

async fn live(args: &DiagnoseArgs, config: Config) -> Outcome {
    let seen = look(ask(&args.live, &config, &args.what).await?).await?;
    let now = seen.world.read().meta.taken_at;
    answer(args.output, &config, now, &seen.diagnoses)
}

/// What is asked for, of which cluster.
pub(super) async fn ask(live: &LiveArgs, config: &Config, names: &[String]) -> Result<Ask, Box<dyn std::error::Error>> {
    let cluster = live.cluster.find().await?;
    let namespace = ClusterArgs::namespace(&live.cluster, &cluster);
    let mut settings = config.collect();
    settings.namespace.clone_from(&namespace);
    Ok(Ask {
        kube: cluster.kube,
        context: cluster.context,
        namespace,
        names: names.to_vec(),
        settings,
        grace: config.grace.clone(),
        probing: live.probe.into(),
        timeout: live.timeout,
        tape: None,
    })
}

/// Looks once; says meanwhile how far it is, and then what could not be read.
pub(super) async fn look(ask: Ask) -> Result<Seen, OneshotError> {
    let mut line = Line::new();
    let seen = oneshot::look(ask, &mut |progress| line.paint(progress)).await;
    line.clear();
    let seen = seen?;
    for warning in &seen.warnings {
        anstream::eprintln!("warning: {warning}");
    }
    Ok(seen)
}

fn answer(output: Output, config: &Config, now: Timestamp, diagnoses: &[Diagnosis]) -> Outcome {
    match output {
        Output::Table => print(&text::render(diagnoses, false))?,
        Output::Wide => print(&text::render(diagnoses, true))?,
        Output::Json => print(&format!("{}\n", serde_json::to_string_pretty(&list(now, config, diagnoses)?)?))?,
        Output::Yaml => print(&serde_saphyr::to_string(&list(now, config, diagnoses)?)?)?,
    }
    Ok(code(diagnoses))
}

pub(super) fn code(diagnoses: &[Diagnosis]) -> ExitCode {
    if diagnoses.iter().any(Diagnosis::has_error) { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

/// Diagnoses what is wanted of a snapshot.
fn all(snapshot: &Snapshot, grace: &Grace, wanted: impl Fn(&TargetRef) -> bool) -> Vec<Diagnosis> {
    let fleet = Fleet::of(snapshot);
    let topology = |target| Topology::of(snapshot, &fleet, grace, target);
    let targets = fleet.targets.iter().filter(|target| wanted(target));
    targets.filter_map(|target| Some(diagnose_target(&topology(target)?, target, &[]))).collect()
}

/// A List of `IngressDiagnosis` objects, as the controller would write them.
fn list(now: Timestamp, config: &Config, diagnoses: &[Diagnosis]) -> Result<serde_json::Value, serde_json::Error> {
    let context = Context { now, generation: Some(1), docs: &config.docs.base_url };
    let items = diagnoses
        .iter()
        .map(|diagnosis| serde_json::to_value(status::object(diagnosis, &[], status::status(diagnosis, None, context))));
    Ok(serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items.collect::<Result<Vec<_>, _>>()?}))
}
