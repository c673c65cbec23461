//! `capture`: what a diagnosis of a live cluster reads, as a folder.
//!
//! Enters: a cluster, names, where to write. Leaves: a snapshot folder or its archive, complete or not at all; in words, on stderr, what
//! could not be read. Never: reads a Secret; writes over anything; leaves half a folder when it is interrupted.

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::collect::Tape;
use crate::config::Config;
use crate::oneshot::Seen;
use crate::snapshot::recording::Recording;

use super::{CaptureArgs, Outcome, diagnose};

/// What a shell expects of who was interrupted.
const INTERRUPTED: u8 = 130;

pub(super) fn capture(args: &CaptureArgs) -> Outcome {
    let config = Config::load(args.settings.config.as_deref(), &args.settings.set)?;
    super::in_runtime(async {
        // From here on an interruption is ours to answer, so that it cannot come in the middle of the writing.
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // Nobody waits minutes to be told that there is no place.
        Recording::check_place(&args.folder)?;
        tokio::select! {
            biased;
            _ = interrupt.recv() => Ok(interrupted()),
            _ = terminate.recv() => Ok(interrupted()),
            recording = collect(args, &config) => write(args, &recording?),
        }
    })
}

fn interrupted() -> ExitCode {
    anstream::eprintln!("ingress-diagnosis: interrupted, nothing was written");
    ExitCode::from(INTERRUPTED)
}

async fn collect(args: &CaptureArgs, config: &Config) -> Result<Recording, Box<dyn std::error::Error>> {
    let tape = Tape::default();
    let mut ask = diagnose::ask(&args.live, config, &args.names).await?;
    ask.tape = Some(tape.clone());
    let namespace = ask.namespace.clone();
    let seen = diagnose::look(ask).await?;
    let mut recording = narrowed(&seen, seen.recording(&tape), namespace.as_deref(), &args.names);
    if args.redact {
        recording.redact();
    }
    // Whoever interrupted while this was made is answered before it is written.
    tokio::task::yield_now().await;
    Ok(recording)
}

/// With all that the diagnosis of what was asked for reads, and no more.
fn narrowed(seen: &Seen, recording: Recording, namespace: Option<&str>, names: &[String]) -> Recording {
    match namespace {
        _ if !names.is_empty() => recording.narrowed(&seen.targets),
        Some(namespace) => recording.narrowed_to(namespace),
        None => recording,
    }
}

fn write(args: &CaptureArgs, recording: &Recording) -> Outcome {
    recording.write(&args.folder)?;
    anstream::eprintln!(
        "{} objects and {} Compute resources are in {}: `ingress-diagnosis diagnose {}` reads them",
        recording.kubernetes.len(),
        recording.compute.as_ref().map_or(0, |compute| compute.resources.len()),
        args.folder.display(),
        as_argument(&args.folder)
    );
    Ok(ExitCode::SUCCESS)
}

/// A name that `diagnose` takes for a folder.
fn as_argument(path: &Path) -> String {
    let text = path.display().to_string();
    if diagnose::is_written_as_folder(&text) { text } else { format!("./{text}") }
}
