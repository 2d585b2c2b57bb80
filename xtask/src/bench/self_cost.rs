//! `bench self`: what `agent run` with everything on takes of the host, idle and beside a build, and what the one-shot
//! `agent flamegraph --all` takes there.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::daemon::Daemon;
use super::memory::{self, Memory};
use super::{Built, proc};
use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds of each of the two phases
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seconds of the flame graphs
    #[arg(long, default_value_t = 10)]
    flamegraph: u64,
}

/// Seconds after the start that are not measured: reading BTF, kallsyms, the first look at every process.
const WARM_UP: Duration = Duration::from_secs(15);

/// Bars of the privileged process, MiB: beside a build, and while it draws a flame graph of the host.
const RESIDENT: u64 = 64;
const ANONYMOUS: u64 = 32;
const PEAK: u64 = 96;

pub(super) fn run(args: &Args, built: &Built) -> Result<()> {
    if !shell::is_root() {
        bail!("loading BPF programs needs root: run this as root");
    }
    let mut agent = Daemon::start(built, "bench-self")?;
    std::thread::sleep(WARM_UP);
    agent.check()?;
    let span = Duration::from_secs(args.seconds);
    println!("{:<12}{:<18}{:>12}{}{:>10}", "", "process", "% of a core", memory::HEAD, "BPF maps");
    measure("idle", agent.pid(), span);
    let target = agent.dir().join("target");
    let mut cargo = shell::cargo();
    cargo.args(["build", "--package", "server", "--quiet", "--target-dir"]).arg(&target).stdin(Stdio::null());
    let mut load = Stopped(cargo.spawn().context("cannot start the build")?);
    let building = measure("building", agent.pid(), span);

    let out = agent.dir().join("out.svg");
    let seconds = format!("{}s", args.flamegraph);
    let draw = |more: &[&str]| {
        let mut command = Command::new(built.program("agent"));
        command.args(["flamegraph", "--all", "--duration", &seconds, "-o"]).arg(&out).args(more);
        command
    };
    let socket = agent.dir().join("run/agent.sock");
    memory::forget_peak(agent.pid());
    shell::run_quiet(draw(&["--socket", &socket.to_string_lossy()]).stdin(Stdio::null()))?;
    let drawing = measure("drawing", agent.pid(), Duration::from_secs(1));
    let once = one_shot(&mut draw(&["--no-daemon"]))?;
    println!("{:<12}{:<18}{:>12}{}", "drawing", "agent flamegraph", "", memory::row(once));
    if let Some(status) = load.0.try_wait()? {
        eprintln!("the build ended early ({status}): part of the phase was idle");
    }
    memory::bar("daemon RSS", building.resident, RESIDENT);
    memory::bar("daemon anonymous", building.anonymous, ANONYMOUS);
    memory::bar("daemon peak", drawing.peak, PEAK);
    memory::bar("one-shot RSS", once.resident, RESIDENT);
    memory::bar("one-shot anonymous", once.anonymous, ANONYMOUS);
    memory::bar("one-shot peak", once.peak, PEAK);
    Ok(())
}

/// Samples each second; CPU over the whole span, memory as the median. Returns that of the first process.
fn measure(phase: &str, pid: u32, span: Duration) -> Memory {
    let start = Instant::now();
    let pids = proc::tree(pid);
    let before: Vec<_> = pids.iter().map(|pid| proc::cpu(*pid).unwrap_or_default()).collect();
    let mut samples = vec![Vec::new(); pids.len()];
    while start.elapsed() < span {
        std::thread::sleep(Duration::from_secs(1));
        for (pid, samples) in pids.iter().zip(&mut samples) {
            samples.extend(Memory::of(*pid));
        }
    }
    let took = start.elapsed().as_secs_f64();
    let mut first = None;
    for ((pid, before), samples) in pids.iter().zip(before).zip(samples) {
        let cpu = proc::cpu(*pid).unwrap_or_default().saturating_sub(before).as_secs_f64();
        let memory = middle(&samples);
        println!(
            "{phase:<12}{:<18}{:>12.2}{}{:>10.1}",
            proc::name(*pid),
            100.0 * cpu / took,
            memory::row(memory),
            proc::maps(*pid) as f64 / (1024.0 * 1024.0),
        );
        first.get_or_insert(memory);
    }
    first.unwrap_or_default()
}

/// The median of each kind; of the peak, the last.
fn middle(samples: &[Memory]) -> Memory {
    let of = |kind: fn(&Memory) -> u64| {
        let mut values: Vec<u64> = samples.iter().map(kind).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Memory {
        resident: of(|memory| memory.resident),
        anonymous: of(|memory| memory.anonymous),
        file: of(|memory| memory.file),
        shared: of(|memory| memory.shared),
        peak: samples.last().map_or(0, |memory| memory.peak),
    }
}

/// Runs a command to its end. Returns the median of its memory while it samples, and its peak.
fn one_shot(command: &mut Command) -> Result<Memory> {
    /// Often enough to see what it takes in its last moment, when it draws.
    const BEAT: Duration = Duration::from_millis(10);
    let mut child =
        command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot start the agent")?;
    let mut samples = Vec::new();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        samples.extend(Memory::of(child.id()));
        std::thread::sleep(BEAT);
    };
    if !status.success() {
        bail!("agent flamegraph ended with {status}");
    }
    let peak = samples.iter().copied().fold(Memory::default(), Memory::max).peak;
    Ok(Memory { peak, ..middle(&samples) })
}

/// A process that is interrupted, then waited for, when this goes.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        proc::interrupt(&mut self.0);
    }
}
