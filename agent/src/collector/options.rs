//! What a collector is started with.

use agent_common::units::Tgid;

use crate::config::{CollectorConfig, SyscallTier};

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

/// What a collector is started with.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent groups of probes")]
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
    /// See how processes end, with their last words and the calls that failed.
    pub endings: bool,
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
            endings: true,
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
            endings: false,
            proc: true,
        }
    }
}
