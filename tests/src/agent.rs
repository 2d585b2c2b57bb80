//! The built `agent`, run as a user would.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::workload::Workload;

/// Longest wait for something that takes a second on an idle machine; an emulated CPU is 50 times slower.
const PATIENCE: Duration = Duration::from_mins(2);

/// The program under test.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn path() -> PathBuf {
    let path = crate::programs().join("agent");
    assert!(path.is_file(), "{} is not built: cargo build --package agent", path.display());
    path
}

/// `agent` with these arguments and nothing of the tests' environment.
///
/// # Panics
/// When it is not built.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(path());
    command.args(args).stdin(Stdio::null()).env_remove("S7MPA_TOOLS").env("NO_COLOR", "1");
    command
}

/// Runs it to its end.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run(args: &[&str]) -> Output {
    command(args).output().expect("the agent starts")
}

/// Folded stacks of a command, sampled with these further arguments, and what the agent said of them.
///
/// # Panics
/// When either fails.
#[must_use]
pub fn folded_of_command(args: &[&str], command: &[&str]) -> (String, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out.folded").to_string_lossy().into_owned();
    let output = run(&[&["flamegraph", "--format", "folded", "-o", &out], args, &["--"], command].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    (std::fs::read_to_string(&out).expect("the folded stacks"), said)
}

/// Folded stacks of a workload while it works, taken with these further arguments, and what it printed when it was done.
///
/// # Panics
/// When either fails.
#[must_use]
pub fn folded_of(args: &[&str], mut workload: Workload) -> (String, String) {
    let pid = workload.pid().to_string();
    let fixed = ["flamegraph", "--pid", &pid, "--duration", "10m", "--format", "folded"];
    let observing = Observing::start(&[&fixed, args].concat());
    let printed = workload.work();
    let folded = String::from_utf8(observing.stop()).expect("text");
    workload.finish();
    (folded, printed)
}

/// Standard error of a command that fails.
///
/// # Panics
/// When it did not fail, or was killed.
#[must_use]
pub fn failure(args: &[&str]) -> String {
    let output = run(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code().is_some_and(|code| code != 0),
        "{args:?} ended with {} and said {text}",
        output.status
    );
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// A child that does not outlive the test when that fails.
#[derive(Debug)]
struct Kept(Option<Child>);

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Kept {
    fn id(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }

    fn output(mut self) -> Output {
        self.0.take().expect("taken once").wait_with_output().expect("a child of ours")
    }
}

/// An agent that observes: its probes are attached, and the test has not stopped it yet.
#[derive(Debug)]
pub struct Observing {
    child: Kept,
    args: String,
    /// Ends with the agent, and has what it said on standard error.
    said: JoinHandle<String>,
}

impl Observing {
    /// Starts `agent … -v` and waits until it says that its probes are attached.
    ///
    /// # Panics
    /// When it ends before.
    #[must_use]
    pub fn start(args: &[&str]) -> Self {
        let mut command = command(&["-v"]);
        let mut child = command
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let stderr = child.stderr.take().expect("it is piped");
        let child = Kept(Some(child));
        let (send, lines) = mpsc::channel();
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                text.push_str(&line);
                text.push('\n');
                // The receiver is gone once the probes are attached.
                let _ = send.send(line);
            }
            text
        });
        let args = args.join(" ");
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains("probes attached") => return Self { child, args, said },
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("agent {args} has attached nothing after {PATIENCE:?}")
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let text = said.join().expect("reads text");
                    panic!("agent {args} ended with {}: {text}", child.output().status);
                }
            }
        }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ctrl-C, then what it printed.
    ///
    /// # Panics
    /// When it does not end, or ends with an error.
    #[must_use]
    pub fn stop(self) -> Vec<u8> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("it runs");
        self.output()
    }

    /// Waits for its own end, then what it printed.
    ///
    /// # Panics
    /// When it ends with an error.
    #[must_use]
    pub fn output(self) -> Vec<u8> {
        let output = self.child.output();
        let text = self.said.join().expect("reads text");
        assert!(output.status.success(), "agent {} ended with {}: {text}", self.args, output.status);
        output.stdout
    }

    /// Ctrl-C, then its JSON.
    ///
    /// # Panics
    /// When it prints something else.
    #[must_use]
    pub fn stop_json(self) -> Value {
        let args = self.args.clone();
        let output = self.stop();
        serde_json::from_slice(&output).unwrap_or_else(|e| {
            panic!("agent {args} printed no JSON ({e}): {}", String::from_utf8_lossy(&output))
        })
    }
}

/// Sum of a numeric field over the rows of `syscalls --json` for a process and a call.
///
/// # Panics
/// When the document has no rows.
#[must_use]
pub fn sum(report: &Value, pid: u32, syscall: &str, field: &str) -> u64 {
    let rows = report["rows"].as_array().unwrap_or_else(|| panic!("no rows in {report}"));
    rows.iter()
        .filter(|row| row["pid"] == pid && row["syscall"] == syscall)
        .map(|row| row[field].as_u64().unwrap_or_else(|| panic!("no {field} in {row}")))
        .sum()
}
