//! `bench self`: what `agent run` with everything on takes of the host, idle and beside a build.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::daemon::Daemon;
use super::{Built, median, proc};
use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds of each of the two phases
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Seconds after the start that are not measured: reading BTF, kallsyms, the first look at every process.
const WARM_UP: Duration = Duration::from_secs(15);

pub(super) fn run(args: &Args, built: &Built) -> Result<()> {
    if !shell::is_root() {
        bail!("loading BPF programs needs root: run this as root");
    }
    let mut agent = Daemon::start(built, "bench-self")?;
    std::thread::sleep(WARM_UP);
    agent.check()?;
    let span = Duration::from_secs(args.seconds);
    println!("{:<10}{:<20}{:>14}{:>14}{:>14}", "", "process", "% of a core", "RSS MiB", "maps MiB");
    measure("idle", agent.pid(), span);
    let target = agent.dir().join("target");
    let mut cargo = shell::cargo();
    cargo.args(["build", "--package", "server", "--quiet", "--target-dir"]).arg(&target).stdin(Stdio::null());
    let mut load = Stopped(cargo.spawn().context("cannot start the build")?);
    measure("building", agent.pid(), span);
    if let Some(status) = load.0.try_wait()? {
        eprintln!("the build ended early ({status}): part of the phase was idle");
    }
    Ok(())
}

const MIB: f64 = 1024.0 * 1024.0;

/// Samples each second; CPU over the whole span, memory as the median.
fn measure(phase: &str, pid: u32, span: Duration) {
    let start = Instant::now();
    let pids = proc::tree(pid);
    let before: Vec<_> = pids.iter().map(|pid| proc::cpu(*pid).unwrap_or_default()).collect();
    let mut resident = vec![Vec::new(); pids.len()];
    while start.elapsed() < span {
        std::thread::sleep(Duration::from_secs(1));
        for (pid, samples) in pids.iter().zip(&mut resident) {
            samples.extend(proc::resident(*pid).map(|bytes| bytes as f64));
        }
    }
    let took = start.elapsed().as_secs_f64();
    for ((pid, before), resident) in pids.iter().zip(before).zip(&resident) {
        let cpu = proc::cpu(*pid).unwrap_or_default().saturating_sub(before).as_secs_f64();
        println!(
            "{phase:<10}{:<20}{:>14.2}{:>14.1}{:>14.1}",
            proc::name(*pid),
            100.0 * cpu / took,
            median(resident) / MIB,
            proc::maps(*pid) as f64 / MIB,
        );
    }
}

/// A process that is interrupted, then waited for, when this goes.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        proc::interrupt(&mut self.0);
    }
}
