//! `bench sched`: µs that each tool adds to a pipe ping-pong on one CPU (`perf bench sched pipe`: a turn is two
//! switches and four system calls), and what is left of a program's speed at 100,000 switches a second.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::workload::{Tool, Workload};
use super::{Built, bar, median, range};
use crate::{apt, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Ours only
    #[arg(long)]
    ours: bool,
}

/// Turns a run: 0.7 s at 4.8 µs.
const TURNS: &str = "150000";
/// The CPU they are pinned to: not 0, which takes most interrupts.
const CPU: &str = "1";
/// Turns of the program that works between its switches.
const SWITCHES: &str = "30000";
/// Runs of it a round: its figure is a small difference.
const BUSY_RUNS: usize = 5;
/// ns of a turn of it: 100,000 switches a second.
const TURN_NS: f64 = 10_000.0;
/// Units of work that are tried to find out how many make such a turn.
const TRIED: f64 = 8_000.0;

/// Others' tools: each does a part of what ours do.
const OTHERS: [&str; 4] = ["cpudist", "runqlat", "wakeuptime", "offcputime"];
/// Seconds that the tools are started for: longer than the benchmark needs them.
const SECONDS: &str = "1000";

/// Sets of `agent bench-probe`.
const OURS: [(&str, &str); 3] = [
    ("nothing", "none"),
    ("ours: states, waits, blame", "sched"),
    ("ours: the same, syscalls", "sched-counts"),
];

struct Contender {
    name: String,
    command: Vec<String>,
    ours: bool,
    us: Vec<f64>,
    /// ns a turn of the program that works between its switches, without the work: what the CPU's speed does to that is no cost.
    busy: Vec<f64>,
}

pub(super) fn run(args: &Args, built: &Built) -> Result<()> {
    if !shell::is_root() {
        bail!("loading BPF programs needs root: run this as root");
    }
    apt::install_missing(&[("perf", "linux-perf")])?;
    let tools = if args.ours {
        None
    } else {
        Some(apt::unpack(&["libbpf-tools"], &shell::root().join("target/tools-sched"))?)
    };
    let mut contenders = contenders(built, tools.as_deref());
    let work = work(built)?;
    for round in 0..args.rounds {
        eprintln!("round {} of {}", round + 1, args.rounds);
        for contender in &mut contenders {
            if let Err(error) = measure(contender, built, tools.as_deref(), &work) {
                eprintln!("  {}: {error:#}", contender.name);
            }
        }
    }
    report(&contenders);
    Ok(())
}

fn contenders(built: &Built, tools: Option<&Path>) -> Vec<Contender> {
    let contender = |name: &str, ours, command: Vec<String>| Contender {
        name: name.to_owned(),
        command,
        ours,
        us: Vec::new(),
        busy: Vec::new(),
    };
    let agent = built.program("agent").display().to_string();
    let mut list: Vec<Contender> = OURS
        .iter()
        .map(|(name, set)| contender(name, true, vec![agent.clone(), "bench-probe".into(), (*set).into()]))
        .collect();
    for name in OTHERS {
        let Some(path) = tools.and_then(|tools| find(tools, name)) else { continue };
        list.push(contender(name, false, vec![path.display().to_string(), SECONDS.into()]));
    }
    list
}

fn find(tools: &Path, program: &str) -> Option<PathBuf> {
    ["usr/sbin", "usr/bin"].map(|dir| tools.join(dir).join(program)).into_iter().find(|file| file.is_file())
}

/// Units of work that make a turn of [`TURN_NS`].
fn work(built: &Built) -> Result<String> {
    let (turn, work) = switches(built, &TRIED.to_string())?;
    Ok(format!("{:.0}", TRIED * ((TURN_NS - (turn - work)) / work).max(0.0)))
}

/// ns of a turn, and of the work in it.
fn switches(built: &Built, work: &str) -> Result<(f64, f64)> {
    Workload::start(Command::new(built.program("switches")).args([SWITCHES, work]))?.work()
}

fn measure(contender: &mut Contender, built: &Built, tools: Option<&Path>, work: &str) -> Result<()> {
    let mut command = Command::new(&contender.command[0]);
    command.args(&contender.command[1..]);
    let (_ours, _theirs);
    if contender.ours {
        _ours = Workload::start(&mut command)?;
    } else {
        if let Some(tools) = tools {
            command.env("LD_LIBRARY_PATH", tools.join("usr/lib/x86_64-linux-gnu"));
        }
        _theirs = Tool::start(&mut command)?;
    }
    contender.us.push(pipe()?);
    for _ in 0..BUSY_RUNS {
        let (turn, work) = switches(built, work)?;
        contender.busy.push(turn - work);
    }
    Ok(())
}

/// µs a turn.
fn pipe() -> Result<f64> {
    let said = shell::capture(
        Command::new("taskset").args(["-c", CPU, "perf", "bench", "sched", "pipe", "-l", TURNS]),
    )?;
    let line = said.lines().find(|line| line.contains("usecs/op")).with_context(|| said.clone())?;
    line.split_whitespace().next().and_then(|word| word.parse().ok()).with_context(|| line.to_owned())
}

fn report(contenders: &[Contender]) {
    let of = |name: &str| contenders.iter().find(|contender| contender.name == name);
    let Some(clean) = of(OURS[0].0).map(|clean| (median(&clean.us), median(&clean.busy))) else { return };
    println!(
        "{:<28}{:>8}{:>16}{:>8}{:>12}{:>14}",
        "", "µs/turn", "range", "ratio", "ns/switch", "at 100 k/s"
    );
    for contender in contenders {
        let (low, high) = range(&contender.us);
        let (us, busy) = (median(&contender.us), median(&contender.busy));
        println!(
            "{:<28}{us:>8.2}{:>16}{:>7.2}x{:>+12.0}{:>12.1} %",
            contender.name,
            format!("{low:.2}..{high:.2}"),
            us / clean.0,
            (us - clean.0) * 1000.0 / 2.0,
            lost(clean.1, busy),
        );
    }
    println!();
    let ours = of(OURS[1].0).map_or((f64::NAN, f64::NAN), |ours| (median(&ours.us), median(&ours.busy)));
    bar("pipe, ours / nothing", ours.0 / clean.0, 1.25);
    bar("ns added to a switch", (ours.0 - clean.0) * 500.0, 300.0);
    bar("% lost at 100 k/s", lost(clean.1, ours.1), 3.0);
}

/// Percent of its speed that a program at 100,000 switches a second loses, each of which takes so long.
fn lost(clean: f64, ours: f64) -> f64 {
    let more = ours - clean;
    100.0 * more / (TURN_NS + more)
}
