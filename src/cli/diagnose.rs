//! `diagnose`: one pass over a snapshot.
//!
//! Enters: a folder. Leaves: the diagnoses on stdout, passed-over objects on stderr, an exit code. Never: writes anywhere else.

use std::process::ExitCode;

use crate::config::Config;
use crate::diagnose::{Diagnosis, diagnose as diagnose_target};
use crate::publish::status::{self, Context};
use crate::publish::text;
use crate::snapshot::{Snapshot, folder};
use crate::topology::{Fleet, Grace, Topology};

use super::{DiagnoseArgs, Outcome, Output, print};

pub(super) fn diagnose(args: &DiagnoseArgs) -> Outcome {
    let config = Config::load(args.settings.config.as_deref(), &args.settings.set)?;
    let (snapshot, malformed) = folder::load(&args.folder)?;
    for object in malformed {
        anstream::eprintln!("warning: {object}");
    }
    let diagnoses = all(&snapshot, &config.grace);
    match args.output {
        Output::Table => print(&text::render(&diagnoses, false))?,
        Output::Wide => print(&text::render(&diagnoses, true))?,
        Output::Json => print(&format!("{}\n", serde_json::to_string_pretty(&list(&snapshot, &config, &diagnoses)?)?))?,
        Output::Yaml => print(&serde_saphyr::to_string(&list(&snapshot, &config, &diagnoses)?)?)?,
    }
    Ok(if diagnoses.iter().any(Diagnosis::has_error) { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Diagnoses everything in a snapshot.
fn all(snapshot: &Snapshot, grace: &Grace) -> Vec<Diagnosis> {
    let fleet = Fleet::of(snapshot);
    let topology = |target| Topology::of(snapshot, &fleet, grace, target);
    fleet.targets.iter().filter_map(|target| Some(diagnose_target(&topology(target)?, target, &[]))).collect()
}

/// A List of `IngressDiagnosis` objects, as the controller would write them.
fn list(snapshot: &Snapshot, config: &Config, diagnoses: &[Diagnosis]) -> Result<serde_json::Value, serde_json::Error> {
    let context = Context { now: snapshot.meta.taken_at, generation: Some(1), docs: &config.docs.base_url };
    let items = diagnoses
        .iter()
        .map(|diagnosis| serde_json::to_value(status::object(diagnosis, &[], status::status(diagnosis, None, context))));
    Ok(serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items.collect::<Result<Vec<_>, _>>()?}))
}
