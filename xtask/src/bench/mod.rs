//! `bench`: what it costs, against what others cost, in one run on one machine. Medians of several rounds, in
//! which the contenders take turns, so that a noisy minute hits all of them.

mod daemon;
mod diagnosis;
mod endings;
mod flamegraph;
mod fleet;
mod memory;
mod proc;
mod programs;
mod sched;
mod self_cost;
mod store;
mod symbolize;
mod syscalls;
mod tables;
mod unwind;
mod workload;

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    which: Which,
    /// Take the dev build, not the release one
    #[arg(long, global = true)]
    dev: bool,
    /// Take what is built, even if the sources have changed since
    #[arg(long, global = true)]
    no_build: bool,
}

#[derive(Subcommand)]
enum Which {
    /// ns that each tool adds to a syscall
    Syscalls(syscalls::Args),
    /// ns that keeping last words and failed calls adds to a syscall
    Endings(endings::Args),
    /// µs that each tool adds to a switch
    Sched(sched::Args),
    /// CPU and memory by kind of `agent run`, idle and beside a build, and of `agent flamegraph --all`
    #[command(name = "self")]
    SelfCost(self_cost::Args),
    /// Time from the end of sampling to the SVG
    Flamegraph(flamegraph::Args),
    /// Faults of which the cause is known: how many classes and culprits are right, how soon, how many false alerts
    Diagnosis(diagnosis::Args),
    /// Stacks without frame pointers beside profile-bee's and perf's; tables of many programs; Debian's programs under load
    Unwind(unwind::Args),
    /// Simulated hosts through Mosquitto into stores: what is lost, how late, what it takes; an ingester is killed meanwhile
    Fleet(fleet::Args),
    /// Bytes, CPU and time of queries of the embedded store beside VictoriaMetrics, Prometheus and InfluxDB
    Store(store::Args),
    /// Names of random addresses against addr2line's and llvm-symbolizer's, and the time they take
    Symbolize(symbolize::Args),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Which::Symbolize(args) = &args.which {
        return symbolize::run(args);
    }
    let built = Built::new(args.dev, args.no_build)?;
    match &args.which {
        Which::Syscalls(args) => syscalls::run(args, &built),
        Which::Endings(args) => endings::run(args, &built),
        Which::Sched(args) => sched::run(args, &built),
        Which::SelfCost(args) => self_cost::run(args, &built),
        Which::Flamegraph(args) => flamegraph::run(args, &built),
        Which::Diagnosis(args) => diagnosis::run(args, &built),
        Which::Unwind(args) => unwind::run(args, &built),
        Which::Fleet(args) => fleet::run(args, &built),
        Which::Store(args) => store::run(args, &built),
        Which::Symbolize(args) => symbolize::run(args),
    }
}

/// Where the programs under measurement lie.
pub(crate) struct Built {
    dir: PathBuf,
}

impl Built {
    fn new(dev: bool, no_build: bool) -> Result<Self> {
        let dir = shell::root().join("target").join(if dev { "debug" } else { "release" });
        if !no_build {
            let mut cargo = shell::cargo();
            cargo.arg("build").args(shell::SELECTION).arg("--bins");
            if !dev {
                cargo.arg("--release");
            }
            shell::run(&mut cargo)?;
        }
        Ok(Self { dir })
    }

    /// A program by name.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The directory of the programs of a crate that we are compared with, built once below `target`.
fn peer(name: &str, flags: &[&str], dir: &str) -> Option<PathBuf> {
    let root = shell::root().join("target").join(dir);
    // What cargo writes when it has installed something.
    if !root.join(".crates.toml").is_file() {
        eprintln!("building {name}, to compare with: some minutes");
        let mut install = shell::cargo();
        install.args(["install", name, "--quiet", "--root"]).arg(&root).args(flags);
        if let Err(error) = shell::run(&mut install) {
            eprintln!("{error:#}: measured without it");
            return None;
        }
    }
    Some(root.join("bin"))
}

/// The middle value; of an even number, the mean of the two.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (n, half) if n % 2 == 1 => sorted[half],
        (_, half) => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// Smallest and largest: how far the rounds lie apart.
fn range(values: &[f64]) -> (f64, f64) {
    (
        values.iter().copied().fold(f64::INFINITY, f64::min),
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// Prints a figure beside its limit.
fn bar(name: &str, ratio: f64, limit: f64) {
    let verdict = if ratio.is_nan() {
        "not measured"
    } else if ratio <= limit {
        "holds"
    } else {
        "MISSED"
    };
    println!("{name:<22}{ratio:>10.2}  (bar {limit})  {verdict}");
}

#[cfg(test)]
mod tests {
    #[test]
    #[expect(clippy::float_cmp, reason = "these values are exact")]
    fn the_median_is_in_the_middle() {
        assert_eq!(super::median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(super::median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(super::median(&[]).is_nan());
        assert_eq!(super::range(&[3.0, 1.0, 2.0]), (1.0, 3.0));
    }
}
