//! The program's face: `run`, `diagnose`, `explain`, `crd`.
//!
//! Enters: arguments. Leaves: data on stdout, everything else on stderr, an exit code that scripts can rely on.
//! Never: prints a panic or more than one sentence for what the user can mend.

mod diagnose;
mod explain;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Diagnose a recorded world; exit code 0: no error found, 1: at least one, 2: it could not be done
    Diagnose(DiagnoseArgs),
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
    /// A folder that holds a snapshot
    folder: PathBuf,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    settings: SettingArgs,
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
        Command::Explain { code } => explain::explain(code.as_deref()),
        Command::Crd => explain::crd(),
    };
    result.unwrap_or_else(|error| {
        anstream::eprintln!("ingress-diagnosis: {error}");
        ExitCode::from(FAILED)
    })
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
