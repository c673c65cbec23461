//! The program's face: `run`, `diagnose`, `capture`, `explain`, `crd`.
//!
//! Enters: arguments. Leaves: data on stdout, everything else on stderr, an exit code that scripts can rely on.
//! Never: prints a panic or more than one sentence for what the user can mend.

mod capture;
mod cluster;
mod diagnose;
mod explain;
mod progress;
mod run;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// It could not be done.
const FAILED: u8 = 2;

/// Says why a GKE Ingress is stuck or unhealthy, and what mends it.
#[derive(Debug, Parser)]
#[command(name = "ingress-diagnosis", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the cluster and keep an IngressDiagnosis for every Ingress of GKE's
    Run(RunArgs),
    /// Diagnose a cluster or a recorded world, once; exit code 0: no error found, 1: at least one, 2: it could not be done
    Diagnose(DiagnoseArgs),
    /// Write what a diagnosis of a cluster reads to a folder or a .tar.gz, which `diagnose` reads again
    Capture(CaptureArgs),
    /// Print the page about a code, or the list of all codes
    Explain {
        /// The code, as `HealthCheckRedirected`; upper and lower case do not matter
        code: Option<String>,
    },
    /// Print the CustomResourceDefinition
    Crd,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    settings: SettingArgs,
}

#[derive(Debug, Args)]
struct SettingArgs {
    /// Settings, laid over the defaults key by key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, laid over the file: compute.readsPerMinute=60
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Args)]
struct DiagnoseArgs {
    /// A snapshot, as a folder or its .tar.gz (it has a / in it, or ends so), then names; or names alone: Ingresses, or service.NAME, of
    /// the cluster
    #[arg(value_name = "FOLDER|NAME")]
    what: Vec<String>,
    #[command(flatten)]
    live: LiveArgs,
    /// Stay, and print again what has changed
    #[arg(short, long)]
    watch: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    settings: SettingArgs,
}

#[derive(Debug, Args)]
struct CaptureArgs {
    /// A folder that is empty or does not exist yet, or a .tar.gz or .tgz that does not
    folder: PathBuf,
    /// Only what the diagnosis of these reads: Ingresses, or service.NAME
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Replace names, addresses, hosts, images and identities, the same ones alike; the diagnosis stays the same
    #[arg(long)]
    redact: bool,
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    settings: SettingArgs,
}

/// How a live cluster is looked at.
#[derive(Debug, Args)]
struct LiveArgs {
    #[command(flatten)]
    cluster: cluster::ClusterArgs,
    /// How to ask the pods what Google's health check asks them
    #[arg(long, value_enum, default_value_t = Probe::Off)]
    probe: Probe,
    /// How long to read before answering with what there is: 90s, 10m
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = time)]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Probe {
    /// Not at all
    Off,
    /// Through the API server's pod proxy, which takes the right to get pods/proxy
    Proxy,
    /// Straight, which works in the cluster alone
    Direct,
}

impl From<Probe> for crate::oneshot::Probing {
    fn from(probe: Probe) -> Self {
        match probe {
            Probe::Off => Self::Off,
            Probe::Proxy => Self::Proxy,
            Probe::Direct => Self::Direct,
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let time = text.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    time.ok_or_else(|| "write a time like 90s or 10m".to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// For people, with addresses and everything that could not be seen
    Wide,
    /// A List of IngressDiagnosis objects
    Json,
    /// The same in YAML
    Yaml,
}

/// Does what the arguments say.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data; a wrong argument is not.
            let code = if error.use_stderr() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS };
            let _ = error.print();
            return code;
        }
    };
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Diagnose(args) => diagnose::diagnose(&args),
        Command::Capture(args) => capture::capture(&args),
        Command::Explain { code } => explain::explain(code.as_deref()),
        Command::Crd => explain::crd(),
    };
    result.unwrap_or_else(|error| {
        anstream::eprintln!("ingress-diagnosis: {error}");
        ExitCode::from(FAILED)
    })
}

/// Runs what talks to servers.
fn in_runtime(work: impl Future<Output = Outcome>) -> Outcome {
    // One provider for the TLS of every client in the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    // What is still being read is of no interest any longer.
    runtime.shutdown_background();
    outcome
}

/// What a command answers: an exit code, or one sentence.
type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

/// Prints data. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<(), std::io::Error> {
    use std::io::Write as _;
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
