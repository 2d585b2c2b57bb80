//! `agent bench-probe`: attaches one set of probes and holds them until its input closes, for
//! `cargo xtask bench syscalls`, which times a workload meanwhile.

use std::io::{Read as _, Write as _};

use clap::ValueEnum;

use crate::bpf::{LoadSpec, Probes};
use crate::collector::StartError;

/// What is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Set {
    /// Nothing: the baseline.
    None,
    /// An empty program on `sys_exit`.
    EmptyExit,
    /// Empty programs on `sys_enter` and `sys_exit`.
    EmptyPair,
    /// Ours, counting.
    Counts,
    /// Ours, timing.
    Times,
    /// On-CPU samples at 97 Hz.
    Oncpu,
    /// Scheduler accounting.
    Sched,
}

/// Attaches `set`, prints `ready`, waits for the end of standard input.
pub fn run(set: Set) -> Result<(), StartError> {
    let spec = LoadSpec {
        syscalls: matches!(set, Set::Counts | Set::Times),
        sched: set == Set::Sched,
        ..LoadSpec::default()
    };
    let mut probes = if set == Set::None { None } else { Some(Probes::load(&spec)?) };
    if let Some(probes) = &mut probes {
        match set {
            Set::None => {}
            Set::EmptyExit => probes.attach_empty(false)?,
            Set::EmptyPair => probes.attach_empty(true)?,
            Set::Counts => probes.attach_syscalls(false),
            Set::Times => probes.attach_syscalls(true),
            Set::Oncpu => probes.attach_sampling(97),
            Set::Sched => {
                probes.attach_sched();
            }
        }
    }
    let mut out = std::io::stdout();
    let _ = writeln!(out, "ready").and_then(|()| out.flush());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    if let Some(probes) = &probes {
        for verdict in probes.verdicts() {
            eprintln!("{}: {:?} {}", verdict.program, verdict.state, verdict.detail);
        }
    }
    Ok(())
}
