//! A child process that cannot outlive us.
//!
//! In: a program, its arguments and a folder for all that it leaves. Out: a running process whose
//! output is in a log file there. Never leaves the process or its folder behind: not after a panic,
//! not after Ctrl-C, not after `kill -9` of this process.
//!
//! Between us and the child stands a shell that waits for the end of a pipe whose other end only we
//! hold; the kernel closes it whatever happens to us. The shell is in a process group of its own,
//! so that Ctrl-C in a terminal reaches us alone.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

const SUPERVISE: &str = include_str!("supervise.sh");
const TAIL_BYTES: u64 = 16 * 1024;
const TAIL_LINES: usize = 20;

/// A running child process; dropping it kills the process and removes its folder.
#[derive(Debug)]
pub struct Supervised {
    name: String,
    shell: Child,
    folder: PathBuf,
    log: PathBuf,
}

impl Supervised {
    /// Starts `program`. `folder` must exist, is removed when we end or the value is dropped, and
    /// may be shared with other processes that end together with this one. Standard output and
    /// error go to `folder/NAME.log`.
    ///
    /// # Errors
    /// When the shell cannot be started or the log file cannot be made.
    pub fn start<I, S>(program: &Path, arguments: I, environment: &[(&str, &str)], folder: &Path) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
        let shell = Command::new("/bin/sh")
            .args(["-c", SUPERVISE, "supervise"])
            .arg(folder)
            .arg(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start /bin/sh for {name}"))?;
        Ok(Self { name, shell, folder: folder.to_owned(), log })
    }

    /// The name of the program.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.shell.try_wait(), Ok(None))
    }

    /// The last lines that the process wrote.
    #[must_use]
    pub fn log_tail(&self) -> String {
        read_tail(&self.log).unwrap_or_else(|error| format!("(the log {} cannot be read: {error})", self.log.display()))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // An error means that the shell is gone already; there is nobody left to tell.
        self.shell.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn read_tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(10), "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn sleeper(folder: &Path) -> (Supervised, u32) {
        std::fs::create_dir_all(folder).unwrap();
        let script = "echo $$ > \"$0/pid\"; exec sleep 600";
        let child =
            Supervised::start(Path::new("/bin/sh"), [OsStr::new("-c"), OsStr::new(script), folder.as_os_str()], &[], folder)
                .unwrap();
        let file = folder.join("pid");
        wait_for("the child starts", || std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
        let pid = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        (child, pid)
    }

    fn runs(pid: u32) -> bool {
        Command::new("/bin/sh").args(["-c", "kill -0 \"$0\" 2>/dev/null", &pid.to_string()]).status().unwrap().success()
    }

    #[test]
    fn dropping_kills_and_cleans() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("child");
        let (mut child, pid) = sleeper(&folder);
        assert!(!child.has_ended());
        assert!(runs(pid));
        drop(child);
        assert!(!runs(pid));
        assert!(!folder.exists());
    }

    #[test]
    fn an_end_is_noticed_and_its_log_kept() {
        let root = tempfile::tempdir().unwrap();
        let mut child =
            Supervised::start(Path::new("/bin/sh"), ["-c", "seq 1 100; echo broken >&2; exit 3"], &[], root.path()).unwrap();
        wait_for("the end is noticed", || child.has_ended());
        let tail = child.log_tail();
        assert!(tail.starts_with("82\n") && tail.ends_with("100\nbroken"), "{tail}");
    }

    /// Run by `survives_no_kill` in a process of its own, which is then killed the hard way.
    #[test]
    #[ignore = "a part of survives_no_kill"]
    fn victim() {
        let folder = PathBuf::from(std::env::var_os("TESTBED_VICTIM").unwrap());
        let _child = sleeper(&folder);
        std::thread::sleep(Duration::from_secs(600));
    }

    #[test]
    fn survives_no_kill() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("child");
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "supervised::tests::victim"])
            .env("TESTBED_VICTIM", &folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let file = folder.join("pid");
        wait_for("the child starts", || std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
        let pid: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        assert!(runs(pid));
        victim.kill().unwrap();
        victim.wait().unwrap();
        wait_for("the child ends", || !runs(pid));
        wait_for("the folder is removed", || !folder.exists());
    }
}
