//! The rules: facts → suspicions. One rule, one file; its doc comment is its page in `RULES.md`.
//!
//! Shared by several rules: `lost` (thread time that a unit loses in a state), `chain` (which process a unit waits for, and what
//! that process waits for), `io` (which process keeps a disk busy), `refusals` (calls that fail again and again).

mod chain;
mod io;
pub(crate) mod lost;
mod refusals;

mod child;
mod cpu;
mod cpu_quota;
mod cpu_steal;
mod disk;
mod dns;
mod error_storm;
mod fault_major_file;
mod fault_minor;
mod file_lock;
mod frozen;
mod fsync;
mod futex;
mod hang;
mod host;
mod ipc_peer;
mod kernel_lock;
mod leaks;
mod net_accept_queue;
mod net_connect;
mod net_peer;
mod net_retransmit;
mod oom;
mod priority_inversion;
mod process_churn;
mod reclaim;
mod refused;
mod runq;
mod single_thread;
mod softirq;
mod swap;
mod syscall_storm;
mod table_full;
mod timer_storm;
mod writeback;

use agent_common::wire::finding::Class;

use crate::facts::Facts;
use crate::suspicion::{Level, Link, Suspicion, Verdict, evidence, evidence_below, level, verdict};
use crate::trend::Trend;

/// A rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its file name.
    pub name: &'static str,
    /// The classes of its findings.
    pub classes: &'static [Class],
    pub(crate) needs: Need,
    pub(crate) judge: fn(&Facts, &Trend) -> Verdict,
}

/// What must be observed for a rule to tell anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// What every window has.
    Nothing,
    /// Where threads spend their time.
    States,
    /// What they wait for.
    Waits,
    /// System calls.
    Syscalls,
    /// How long they wait for a CPU.
    RunQueue,
}

impl Need {
    /// Why it is not met, if it is not.
    pub(crate) const fn missing(self, facts: &Facts) -> Option<&'static str> {
        let (has, why) = match self {
            Self::Nothing => return None,
            Self::States => (facts.has_states, "thread states are not observed"),
            Self::Waits => (facts.has_waits, "waits are not recorded"),
            Self::Syscalls => (facts.has_syscalls, "syscalls are not observed"),
            Self::RunQueue => (facts.has_runq, "the kernel gives no run-queue times"),
        };
        if has { None } else { Some(why) }
    }
}

/// All rules.
pub static RULES: &[Rule] = &[
    child::RULE,
    cpu::RULE,
    cpu_quota::RULE,
    cpu_steal::RULE,
    disk::RULE,
    dns::RULE,
    error_storm::RULE,
    fault_major_file::RULE,
    fault_minor::RULE,
    file_lock::RULE,
    frozen::RULE,
    fsync::RULE,
    futex::RULE,
    hang::RULE,
    host::RULE,
    ipc_peer::RULE,
    kernel_lock::RULE,
    leaks::RULE,
    net_accept_queue::RULE,
    net_connect::RULE,
    net_peer::RULE,
    net_retransmit::RULE,
    oom::RULE,
    priority_inversion::RULE,
    process_churn::RULE,
    reclaim::RULE,
    refused::RULE,
    runq::RULE,
    single_thread::RULE,
    softirq::RULE,
    swap::RULE,
    syscall_storm::RULE,
    table_full::RULE,
    timer_storm::RULE,
    writeback::RULE,
];
