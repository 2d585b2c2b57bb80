//! A virtual machine without disk or network: kernel, initramfs, serial line. Emulated, so it runs anywhere.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a machine said.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// Lines of the console, all of them.
    pub(crate) console: Vec<String>,
    /// How long it ran.
    pub(crate) took: Duration,
}

impl Transcript {
    /// Lines that a marked run wrote to a stream (`out`, `err`, `exit`).
    pub(crate) fn lines(&self, mark: &str, stream: &str) -> Vec<&str> {
        let front = format!("vmtest:{mark}:{stream} ");
        self.console.iter().filter_map(|line| line.split_once(&front).map(|(_, rest)| rest)).collect()
    }

    /// Whether it came to its end.
    pub(crate) fn complete(&self) -> bool {
        self.console.iter().any(|line| line.contains("vmtest:end"))
    }

    /// What it said last.
    pub(crate) fn tail(&self) -> String {
        const LINES: usize = 40;
        self.console[self.console.len().saturating_sub(LINES)..].join("\n  ")
    }
}

/// Boots, waits for the machine to switch itself off.
pub(crate) fn boot(kernel: &Path, initramfs: &Path, limit: Duration, show: bool) -> Result<Transcript> {
    let start = Instant::now();
    let mut child = Command::new("qemu-system-x86_64")
        // Without cmpxchg16b: QEMU 10.0 leaves garbage in the flags after one that spins, and Linux, whose allocator uses
        // it where it is there, then dies of a random exception (EFLAGS 041fc342, 041fc140 being the operand).
        // One thread for both CPUs: with one each, a CPU now and then runs a breakpoint that the other one's patching of the
        // kernel's text has taken out by then, and Linux dies of `int3` in `trace_syscall_enter` (1 of 3 boots of 7.2).
        .args(["-accel", "tcg,thread=single", "-cpu", "qemu64,-cx16", "-m", "1G", "-smp", "2"])
        .args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        // The clock of an emulated CPU is late now and then: no watchdog may call that a defect.
        .args(["-append", "console=ttyS0 quiet panic=-1 nowatchdog"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start qemu-system-x86_64")?;
    let stdout = child.stdout.take().context("its output is piped")?;
    let (send, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            if send.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    let mut transcript = Transcript::default();
    while let Some(left) = limit.checked_sub(start.elapsed()) {
        match lines.recv_timeout(left) {
            Ok(line) => {
                if show {
                    eprintln!("  | {line}");
                }
                transcript.console.push(line);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
    let late = start.elapsed() >= limit;
    if late {
        child.kill().context("cannot stop qemu")?;
    }
    child.wait()?;
    let _ = reader.join();
    transcript.took = start.elapsed();
    if late {
        bail!("the machine ran longer than {} s; it said last:\n  {}", limit.as_secs(), transcript.tail());
    }
    Ok(transcript)
}
