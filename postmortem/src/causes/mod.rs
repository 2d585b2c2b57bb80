//! The causes: one family, one file. Its doc comment is its page in the reference.

pub(crate) mod by_design;

mod abort;
mod config;
mod deadlock;
mod exception;
mod files;
mod hardware;
mod killed;
mod limits;
mod memory;
pub(crate) mod memory_access;
mod network;
mod program;
mod seccomp;
mod trap;
mod unknown;
mod upgrade;

use crate::claim::Claim;
use crate::scene::Scene;

/// A family of causes.
pub(crate) struct Family {
    /// Its source, of which the doc comment is the reference.
    pub(crate) source: &'static str,
    /// The claims that it makes.
    pub(crate) judge: fn(&Scene<'_>) -> Vec<Claim>,
}

/// All families.
pub(crate) static FAMILIES: &[Family] = &[
    Family { source: include_str!("memory_access.rs"), judge: memory_access::judge },
    Family { source: include_str!("trap.rs"), judge: trap::judge },
    Family { source: include_str!("abort.rs"), judge: abort::judge },
    Family { source: include_str!("exception.rs"), judge: exception::judge },
    Family { source: include_str!("memory.rs"), judge: memory::judge },
    Family { source: include_str!("killed.rs"), judge: killed::judge },
    Family { source: include_str!("deadlock.rs"), judge: deadlock::judge },
    Family { source: include_str!("seccomp.rs"), judge: seccomp::judge },
    Family { source: include_str!("network.rs"), judge: network::judge },
    Family { source: include_str!("files.rs"), judge: files::judge },
    Family { source: include_str!("program.rs"), judge: program::judge },
    Family { source: include_str!("limits.rs"), judge: limits::judge },
    Family { source: include_str!("config.rs"), judge: config::judge },
    Family { source: include_str!("upgrade.rs"), judge: upgrade::judge },
    Family { source: include_str!("hardware.rs"), judge: hardware::judge },
    Family { source: include_str!("by_design.rs"), judge: |_| Vec::new() },
    Family { source: include_str!("unknown.rs"), judge: unknown::judge },
];
