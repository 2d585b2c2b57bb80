//! `bench syscalls`: ns that each tool adds to a getppid of a pinned loop. CPU time of the loop, in which the work of
//! programs in the kernel is contained; for tracers, which work in another process, the wall clock.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::workload::{Tool, Workload};
use super::{Built, bar, median, range};
use crate::{apt, shell};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Ours and the empty programs only
    #[arg(long)]
    ours: bool,
}

/// Calls a run: 0.3 s at 130 ns.
const CALLS: u64 = 2_000_000;
/// The same for tools that take 20 µs a call.
const CALLS_TRACED: u64 = 20_000;

/// The CPU the loop is pinned to: not 0, which takes most interrupts.
const CPU: &str = "1";

const BPFTRACE: &str = "tracepoint:raw_syscalls:sys_enter { @s[tid] = nsecs; } \
     tracepoint:raw_syscalls:sys_exit /@s[tid]/ { @h[pid, args->id] = hist(nsecs - @s[tid]); delete(@s[tid]); }";

/// How a contender is set up.
enum Setup {
    /// `agent bench-probe SET`.
    Probe(&'static str),
    /// A tool beside the workload.
    Beside(Vec<String>),
    /// A tool that starts the workload.
    Above(Vec<String>),
}

struct Contender {
    name: &'static str,
    setup: Setup,
    ns: Vec<f64>,
}

pub(super) fn run(args: &Args, built: &Built) -> Result<()> {
    if !shell::is_root() {
        bail!("loading BPF programs needs root: run this as root");
    }
    let libraries = if args.ours { None } else { others()? };
    let mut contenders = contenders(libraries.as_deref());
    for round in 0..args.rounds {
        eprintln!("round {} of {}", round + 1, args.rounds);
        for contender in &mut contenders {
            match measure(&contender.setup, built, libraries.as_deref()) {
                Ok(ns) => contender.ns.push(ns),
                Err(error) => eprintln!("  {}: {error:#}", contender.name),
            }
        }
    }
    report(&contenders);
    Ok(())
}

fn contenders(tools: Option<&Path>) -> Vec<Contender> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut list = vec![
        ("nothing", Setup::Probe("none")),
        ("empty exit", Setup::Probe("empty-exit")),
        ("empty pair", Setup::Probe("empty-pair")),
        ("ours, counts", Setup::Probe("counts")),
        ("ours, times", Setup::Probe("times")),
    ];
    if let Some(tools) = tools {
        let syscount = ["usr/sbin/syscount", "usr/bin/syscount", "usr/sbin/bpf-syscount"]
            .map(|name| tools.join(name))
            .into_iter()
            .find(|file| file.is_file());
        if let Some(syscount) = syscount {
            list.push((
                "syscount -L -P",
                Setup::Beside(words(&format!("{} -L -P -i 1000", syscount.display()))),
            ));
        }
        let bpftrace = tools.join("usr/bin/bpftrace");
        list.push((
            "bpftrace histogram",
            Setup::Beside(vec![bpftrace.display().to_string(), "-e".into(), BPFTRACE.into()]),
        ));
        list.push(("strace -c", Setup::Above(words("strace -c -o /dev/null"))));
        if shell::which("perf").is_some() {
            list.push(("perf trace -s", Setup::Above(words("perf trace -s -o /dev/null"))));
        }
    }
    list.into_iter().map(|(name, setup)| Contender { name, setup, ns: Vec::new() }).collect()
}

/// The other tools, unpacked below `target/tools`.
fn others() -> Result<Option<PathBuf>> {
    apt::install_missing(&[("strace", "strace")])?;
    apt::unpack(&["libbpf-tools", "bpftrace"], &shell::root().join("target/tools-bench")).map(Some)
}

fn measure(setup: &Setup, built: &Built, tools: Option<&Path>) -> Result<f64> {
    let getppid = built.program("getppid_loop");
    let pinned = |calls: u64| {
        let mut command = Command::new("taskset");
        command.args(["-c", CPU]).arg(&getppid).arg(calls.to_string());
        command
    };
    match setup {
        Setup::Probe(set) => {
            let _probe = Workload::start(Command::new(built.program("agent")).args(["bench-probe", set]))?;
            Ok(Workload::start(&mut pinned(CALLS))?.work()?.1)
        }
        Setup::Beside(words) => {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            if let Some(tools) = tools {
                command.env("LD_LIBRARY_PATH", tools.join("usr/lib/x86_64-linux-gnu"));
            }
            let _tool = Tool::start(&mut command)?;
            Ok(Workload::start(&mut pinned(CALLS))?.work()?.1)
        }
        Setup::Above(words) => {
            let mut command = Command::new("taskset");
            command.args(["-c", CPU]).args(words).arg(&getppid).arg(CALLS_TRACED.to_string());
            Ok(Workload::start(&mut command)?.work()?.0)
        }
    }
}

fn report(contenders: &[Contender]) {
    let ns = |name: &str| contenders.iter().find(|c| c.name == name).map_or(f64::NAN, |c| median(&c.ns));
    let base = ns("nothing");
    let added = |name: &str| ns(name) - base;
    println!("{:<22}{:>10}{:>10}{:>22}", "", "ns/call", "added", "range");
    for contender in contenders {
        let (low, high) = range(&contender.ns);
        let middle = median(&contender.ns);
        println!(
            "{:<22}{middle:>10.1}{:>+10.1}{:>22}",
            contender.name,
            middle - base,
            format!("{low:.1}..{high:.1}")
        );
    }
    println!();
    bar("counts / empty exit", added("ours, counts") / added("empty exit"), 1.6);
    bar("times / empty pair", added("ours, times") / added("empty pair"), 1.9);
    bar("times / syscount", added("ours, times") / added("syscount -L -P"), 0.5);
}
