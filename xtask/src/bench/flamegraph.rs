//! `bench flamegraph`: from the end of sampling to the SVG of the whole host, against perf and inferno's tools on the
//! same load.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::workload::Workload;
use super::{Built, median, proc, range};
use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of sampling
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

pub(super) fn run(args: &Args, built: &Built) -> Result<()> {
    if !shell::is_root() {
        bail!("sampling the whole host needs root: run this as root");
    }
    let dir = shell::root().join("target/bench-flamegraph");
    std::fs::create_dir_all(&dir)?;
    let inferno = super::peer("inferno", &[], "tools-inferno");
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for round in 0..args.rounds {
        eprintln!("round {} of {}", round + 1, args.rounds);
        // Half user, half kernel time, for as long as both tools take.
        let mut load = [
            Workload::start(Command::new(built.program("cpu_split")).arg("600"))?,
            Workload::start(Command::new(built.program("short_processes")).arg("100000000"))?,
        ];
        for load in &mut load {
            load.begin()?;
        }
        ours.push(agent(built, &dir, args.seconds)?);
        if let (Some(inferno), true) = (&inferno, shell::which("perf").is_some()) {
            theirs.push(perf(inferno, &dir, args.seconds)?);
        }
        load.into_iter().for_each(Workload::kill);
    }
    for (name, seconds) in [("agent flamegraph --all", &ours), ("perf record + script + inferno", &theirs)] {
        let (low, high) = range(seconds);
        println!("{name:<34}{:>8.0} ms  ({:.0}..{:.0})", 1e3 * median(seconds), 1e3 * low, 1e3 * high);
    }
    println!("bar: 500 ms warm, 1500 ms cold; each of these runs starts cold");
    Ok(())
}

/// Attached + the span of sampling = closed; the SVG is there when the program ends.
fn agent(built: &Built, dir: &Path, seconds: u64) -> Result<f64> {
    let mut child = Command::new(built.program("agent"))
        .args(["flamegraph", "--all", "--no-daemon", "--duration", &format!("{seconds}s"), "-o"])
        .arg(dir.join("agent.svg"))
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start the agent")?;
    let attached = proc::wait_attached(child.id(), Duration::from_secs(10))?;
    if !child.wait()?.success() {
        bail!("agent flamegraph failed");
    }
    Ok((attached.elapsed().as_secs_f64() - seconds as f64).max(0.0))
}

fn perf(inferno: &Path, dir: &Path, seconds: u64) -> Result<f64> {
    let data = dir.join("perf.data");
    let status = Command::new("perf")
        .args(["record", "-q", "-F", "97", "-e", "cpu-clock", "-a", "-g", "-o"])
        .arg(&data)
        .args(["--", "sleep", &seconds.to_string()])
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("perf record ended with {status}");
    }
    let closed = Instant::now();
    let line = format!(
        "perf script -i {} 2>/dev/null | {1}/inferno-collapse-perf -q | {1}/inferno-flamegraph -q > {2}",
        data.display(),
        inferno.display(),
        dir.join("perf.svg").display()
    );
    shell::run_quiet(Command::new("sh").args(["-c", &line]))?;
    Ok(closed.elapsed().as_secs_f64())
}
