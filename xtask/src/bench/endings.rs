//! `bench endings`: ns that keeping last words and failed calls adds to a call of a pinned loop, beside the same probes without.

use std::process::Command;

use anyhow::{Result, bail};

use super::workload::Workload;
use super::{Built, bar, median, range};
use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

/// Calls a run: 0.3 s.
const CALLS: u64 = 1_000_000;

/// The CPU the loop is pinned to: not 0, which takes most interrupts.
const CPU: &str = "1";

/// Calls of the loop, and what is to hold of each: ns added at most, or a share of the whole.
const LOOPS: [(&str, Bar); 5] = [
    ("getppid", Bar::Share),
    ("read", Bar::Share),
    ("write", Bar::Added(100.0)),
    ("open", Bar::Added(150.0)),
    ("connect", Bar::Added(150.0)),
];

/// Sets of probes, in the order in which they take turns.
const SETS: [&str; 3] = ["none", "times", "ends"];

#[derive(Clone, Copy)]
enum Bar {
    /// ns added.
    Added(f64),
    /// Within 2 % of a call with the same probes without ends.
    Share,
}

pub(super) fn run(args: &Args, built: &Built) -> Result<()> {
    if !shell::is_root() {
        bail!("loading BPF programs needs root: run this as root");
    }
    let mut ns = vec![vec![Vec::new(); SETS.len()]; LOOPS.len()];
    for round in 0..args.rounds {
        eprintln!("round {} of {}", round + 1, args.rounds);
        for (set, name) in SETS.iter().enumerate() {
            let _probe = Workload::start(Command::new(built.program("agent")).args(["bench-probe", name]))?;
            for (which, (call, _)) in LOOPS.iter().enumerate() {
                let mut command = Command::new("taskset");
                command.args(["-c", CPU]).arg(built.program("getppid_loop"));
                command.args([&CALLS.to_string(), "0", call]).stderr(std::process::Stdio::null());
                ns[which][set].push(Workload::start(&mut command)?.work()?.1);
            }
        }
    }
    println!(
        "{:<10}{:>12}{:>12}{:>12}{:>10}{:>20}",
        "ns a call", "none", "times", "ends", "added", "range of ends"
    );
    for ((call, _), sets) in LOOPS.iter().zip(&ns) {
        let [none, times, ends] = [&sets[0], &sets[1], &sets[2]].map(|ns| median(ns));
        let (low, high) = range(&sets[2]);
        let range = format!("{low:.1}..{high:.1}");
        println!("{call:<10}{none:>12.1}{times:>12.1}{ends:>12.1}{:>+10.1}{range:>20}", ends - times);
    }
    println!();
    for ((call, limit), sets) in LOOPS.iter().zip(&ns) {
        let (times, ends) = (median(&sets[1]), median(&sets[2]));
        match limit {
            Bar::Added(most) => bar(&format!("{call}: ns added"), ends - times, *most),
            Bar::Share => bar(&format!("{call}: ends / times"), ends / times, 1.02),
        }
    }
    Ok(())
}
