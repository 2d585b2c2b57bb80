//! What a collector is started with, and why it may not start.

use agent_common::units::Tgid;

use crate::config::CollectorConfig;

/// What to observe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// The whole host.
    All,
    /// These processes, and with `follow` the ones they start.
    Tgids {
        /// Processes.
        tgids: Vec<Tgid>,
        /// Add children at fork.
        follow: bool,
    },
    /// Tasks of this cgroup (v2 id).
    Cgroup(u64),
}

/// How syscalls are accounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyscallTier {
    /// `Times` until the host's rate makes that too dear, then `Counts`.
    Auto,
    /// Exit only: counts and errors.
    Counts,
    /// Entry and exit: counts, errors, times, histogram.
    Times,
    /// Not at all.
    Off,
}

/// What a collector is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// On-CPU samples per second and CPU; 0 for none. A prime avoids lock-step with timers.
    pub rate_hz: u32,
    /// What to observe.
    pub filter: Filter,
    /// How syscalls are accounted.
    pub syscalls: SyscallTier,
    /// Block I/O, memory, sockets, interrupts, signals and kernel locks.
    pub resources: bool,
    /// Split the time of threads into states.
    pub sched: bool,
    /// Read `/proc` for host and processes at the end of each window.
    pub proc: bool,
}

impl Options {
    /// Everything on this host, as it is configured.
    #[must_use]
    pub const fn of_host(config: &CollectorConfig) -> Self {
        Self {
            rate_hz: config.rate_hz,
            filter: Filter::All,
            syscalls: config.syscalls,
            resources: true,
            sched: config.sched,
            proc: true,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate_hz: 97,
            filter: Filter::All,
            syscalls: SyscallTier::Auto,
            sched: true,
            resources: true,
            proc: true,
        }
    }
}

/// Why a collector could not start at all. A single refused probe is a verdict, not an error.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process may not load BPF programs.
    #[error(
        "this needs root, or the capabilities CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; missing here: {missing}"
    )]
    Denied {
        /// Names of the missing capabilities.
        missing: String,
    },
    /// The kernel cannot do it.
    #[error("{what}: {cure}")]
    Unsupported {
        /// What is missing.
        what: String,
        /// What to do.
        cure: String,
    },
    /// It should have worked.
    #[error("cannot load the BPF object")]
    Broken(#[source] anyhow::Error),
}
