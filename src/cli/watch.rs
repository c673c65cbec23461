//! `diagnose --watch`: the same text again and again, whenever it says something else.
//!
//! Enters: a cluster that is watched as `run` watches it. Leaves: the table on stdout, painted over on a terminal. Never: ends by itself;
//! writes to the cluster; prints what it printed a moment ago.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::collect::{self, World};
use crate::config::Config;
use crate::diagnose::Diagnosis;
use crate::oneshot::{Diagnosed, Probing};
use crate::publish::text;

use super::{DiagnoseArgs, Outcome, Output, diagnose, print};

/// How often it is looked again.
const PACE: Duration = Duration::from_secs(2);

/// How long the first text may wait for facts.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clears the screen and goes to its top.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

pub(super) async fn watch(args: &DiagnoseArgs, config: Config) -> Outcome {
    let mut ask = diagnose::ask(&args.live, &config, &args.what).await?;
    if !matches!(args.output, Output::Table | Output::Wide) {
        return Err("--watch paints a table: it goes with -o table or -o wide".into());
    }
    if ask.probing == Probing::Proxy {
        return Err("--watch does not ask through the pod proxy: leave --probe=proxy or --watch out".into());
    }
    // Who cannot be reached or does not know us says so at once.
    crate::oneshot::reach(&mut ask).await?;
    let client = kube::Client::try_from(collect::prepare(ask.kube.clone())).map_err(|error| collect::words(&error))?;
    let world = Arc::new(World::new());
    let (_stop, shutdown) = watch::channel(false);
    let (_active, active) = watch::channel(true);
    let mut collector = collect::start(client, ask.settings.clone(), world.clone(), active, shutdown);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut painter = Painter { shown: String::new(), wide: args.output == Output::Wide, code: ExitCode::SUCCESS };
    let begun = Instant::now();
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(painter.code),
            ended = collector.stopped() => return Err(ended.map_or_else(|error| error.to_string(), |()| "reading has ended".to_owned()).into()),
            () = sleep(if painter.shown.is_empty() { Duration::from_millis(100) } else { PACE }) => {}
        }
        if !world.synced() {
            continue;
        }
        let Diagnosed { diagnoses, wanted, .. } = ask.diagnose(&world.read_at(Timestamp::now()), &collector);
        let pending = wanted.iter().any(|wanted| wanted.lists_pending || wanted.groups_pending);
        if !pending || !painter.shown.is_empty() || begun.elapsed() > PATIENCE {
            painter.paint(&diagnoses)?;
        }
    }
}

struct Painter {
    shown: String,
    wide: bool,
    code: ExitCode,
}

impl Painter {
    fn paint(&mut self, diagnoses: &[Diagnosis]) -> Result<(), std::io::Error> {
        self.code = diagnose::code(diagnoses);
        let text = text::render(diagnoses, self.wide);
        if text == self.shown {
            return Ok(());
        }
        let clear = if std::io::stdout().is_terminal() { CLEAR } else { "" };
        let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ");
        print(&format!("{clear}{now}\n\n{text}\n"))?;
        self.shown = text;
        Ok(())
    }
}
