//! `agent bench-probe`: attaches one set of probes and keeps them attached until its input closes. `cargo xtask bench` times a
//! workload during that time.

use std::io::{Read as _, Write as _};

use clap::ValueEnum;

use crate::bpf::StartError;
use crate::bpf::{LoadSpec, Probes};
use crate::collector::{Collector, Options};
use crate::config::SyscallTier;

/// What is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Set {
    /// Nothing: the baseline.
    None,
    /// An empty program on `sys_exit`.
    EmptyExit,
    /// Empty programs on `sys_enter` and `sys_exit`.
    EmptyPair,
    /// Ours, counting; turns on the CPUs are seen, as in a daemon.
    Counts,
    /// The same, timing.
    Times,
    /// The same, with last words and failed calls.
    Ends,
    /// On-CPU samples at 97 Hz.
    Oncpu,
    /// Scheduler accounting, waits, and run-queue waits by the process that ran, read as a running agent does.
    Sched,
    /// The same with system calls counted, so that waits have user stacks.
    SchedCounts,
}

/// Attaches `set`, prints `ready`, waits for the end of standard input.
pub fn run(set: Set) -> Result<(), StartError> {
    match set {
        Set::Sched => collect(SyscallTier::Off),
        Set::SchedCounts => collect(SyscallTier::Counts),
        _ => hold(set),
    }
}

fn hold(set: Set) -> Result<(), StartError> {
    let ours = matches!(set, Set::Counts | Set::Times | Set::Ends);
    let spec = LoadSpec { syscalls: ours, sched: ours, endings: set == Set::Ends, ..LoadSpec::default() };
    let mut probes = if set == Set::None { None } else { Some(Probes::load(&spec)?) };
    if let Some(probes) = &mut probes {
        if ours {
            probes.attach_sched();
        }
        match set {
            Set::EmptyExit => probes.attach_empty(false)?,
            Set::EmptyPair => probes.attach_empty(true)?,
            Set::Counts => probes.attach_syscalls(false),
            Set::Times => probes.attach_syscalls(true),
            Set::Ends => {
                probes.attach_endings();
                probes.attach_process();
                probes.attach_syscalls(true);
            }
            Set::Oncpu => probes.attach_sampling(97),
            Set::None | Set::Sched | Set::SchedCounts => {}
        }
    }
    ready();
    end_of_input();
    if let Some(probes) = &probes {
        for verdict in probes.verdicts() {
            eprintln!("{}: {:?} {}", verdict.program, verdict.state, verdict.detail);
        }
    }
    Ok(())
}

fn collect(syscalls: SyscallTier) -> Result<(), StartError> {
    let options =
        Options { rate_hz: 0, syscalls, sched: true, resources: false, proc: false, ..Options::default() };
    let mut collector = Collector::start(options)?;
    ready();
    let ended = std::thread::spawn(end_of_input);
    let mut polls = 0;
    while !ended.is_finished() {
        std::thread::sleep(Collector::POLL);
        collector.poll();
        polls += 1;
        if polls % 10 == 0 {
            let _ = collector.close_window();
        }
    }
    Ok(())
}

fn ready() {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "ready").and_then(|()| out.flush());
}

fn end_of_input() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
