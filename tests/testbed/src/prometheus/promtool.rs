//! What checks rules and metrics without a server.
//!
//! In: arguments, a folder to run in, a text for its standard input. Out: its words. Never: takes an
//! objection for success.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::assets::PrometheusAssets;

/// Runs `promtool ARGUMENTS` in a folder; gives what it says.
///
/// # Errors
/// When it ends with another code than 0; its words are in the message.
pub fn promtool(assets: &PrometheusAssets, arguments: &[&str], folder: &Path, input: &str) -> Result<String> {
    let mut child = Command::new(&assets.promtool)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", assets.promtool.display()))?;
    let mut stdin = child.stdin.take().context("promtool has no standard input")?;
    let input = input.to_owned();
    // On a thread of its own: whoever writes much and reads nothing waits for ever.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().context("promtool did not end")?;
    // Whoever has an objection may have stopped reading.
    let _ = writer.join();
    let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("promtool {} ended with {}:\n{words}", arguments.join(" "), output.status);
    }
    Ok(words)
}
