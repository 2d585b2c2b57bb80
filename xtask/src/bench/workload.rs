//! A program that says `ready`, waits for a line, works, says `done …`, and goes when its input closes. Workloads
//! of `tests/` and `agent bench-probe` speak so.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell;

/// A started one that is ready.
pub(super) struct Workload {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Workload {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", shell::line(command)))?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().context("its output is piped")?);
        let mut workload = Self { child, stdin, stdout };
        let line = workload.line()?;
        if line != "ready" {
            bail!("{} said {line:?} in place of ready", shell::line(command));
        }
        Ok(workload)
    }

    /// Gives the word and does not wait.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.stdin.as_mut().context("it has its start signal")?.write_all(b"go\n").context("it is gone")
    }

    /// Gives the word, waits, returns the two numbers it says: ns by the wall clock, and ns of CPU time or of work.
    pub(super) fn work(&mut self) -> Result<(f64, f64)> {
        self.begin()?;
        let line = self.line()?;
        let numbers = || {
            let (wall, cpu) = line.strip_prefix("done ")?.trim().split_once(' ')?;
            Some((wall.parse().ok()?, cpu.parse().ok()?))
        };
        numbers().with_context(|| format!("it said {line:?}"))
    }

    /// Ends it whatever it does.
    pub(super) fn kill(mut self) {
        let _ = self.child.kill();
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Workload {
    /// Closes its input, which ends it, and waits: probes must be gone before the next contender comes.
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// A tool that runs until it is interrupted, with its probes attached.
pub(super) struct Tool {
    child: Child,
}

impl Tool {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", shell::line(command)))?;
        let tool = Self { child };
        super::proc::wait_attached(tool.child.id(), std::time::Duration::from_secs(20))?;
        Ok(tool)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        super::proc::interrupt(&mut self.child);
    }
}
