//! Cargo itself, run in the workspace.
//!
//! Enters: its arguments. Leaves: whether it succeeded. Never: hides its words.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The root of the workspace.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The program as it was built last, `debug` or `release`; beside us, because the target folder is where cargo was told to have it.
pub fn program(profile: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("where is this program?")?;
    let target = own.ancestors().nth(2).context("this program is not in a target folder")?;
    let program = target.join(profile).join("ingress-diagnosis");
    if !program.is_file() {
        bail!("{} is not there", program.display());
    }
    Ok(program)
}

/// Runs cargo, with its output where ours goes.
pub fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>, environment: &[(&str, &str)]) -> Result<()> {
    let arguments: Vec<OsString> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
    let words = arguments.iter().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What cargo says about this package is not true of others; ring would be compiled anew, and all that needs it.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|about| name.to_string_lossy().starts_with(about)) {
            command.env_remove(name);
        }
    }
    let status = command
        .args(&arguments)
        .envs(environment.iter().copied())
        // Checks compare; they never refresh what they compare with.
        .env_remove("UPDATE_EXPECT")
        .current_dir(root())
        .status()
        .with_context(|| format!("cannot run cargo {words}"))?;
    if !status.success() {
        bail!("cargo {words} failed; its words are above");
    }
    Ok(())
}
