//! The collector: attaches the probes, drains them, closes one window a second.

use std::time::Duration;

use agent_common::units::Tgid;

use crate::window::Window;

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
    /// Read `/proc` for host and processes at the end of each window.
    pub proc: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { rate_hz: 97, filter: Filter::All, syscalls: SyscallTier::Auto, proc: true }
    }
}

/// Why a collector could not start at all. A single refused probe is a verdict, not an error.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process may not load BPF programs.
    #[error("this needs root, or the capabilities CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; missing here: {missing}")]
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

/// Attached probes and the state to turn their counters into windows. Blocking: lives on its own thread.
#[derive(Debug)]
pub struct Collector {}

impl Collector {
    /// How often [`Self::poll`] wants to be called: ring buffers are sized for several times this.
    pub const POLL: Duration = Duration::from_millis(100);

    /// Loads and attaches.
    pub fn start(_options: Options) -> Result<Self, StartError> {
        Err(StartError::Unsupported { what: "no probes yet".into(), cure: "build them".into() })
    }

    /// Drains the ring buffers. Returns the processes sampled for the first time, so that their mappings can be
    /// read while they live.
    pub fn poll(&mut self) -> Vec<Tgid> {
        Vec::new()
    }

    /// Closes the running window and starts the next. `None` before the first full one.
    pub fn close_window(&mut self) -> Option<Window> {
        None
    }
}
