//! What the daemon may do, thread by thread.
//!
//! Linux keeps capabilities per thread, and a new thread has those of the one that made it. So the process gives away
//! what it never needs before there is a second thread ([`Role::Start`], with `no_new_privs`: no exec brings any
//! back), and each thread keeps only its own part.

use anyhow::Context as _;
use caps::{CapSet, Capability, CapsHashSet};

/// Read `/proc/PID/…` of other users, and files such as passwords that only their owner may read.
const LOOK: [Capability; 2] = [Capability::CAP_SYS_PTRACE, Capability::CAP_DAC_READ_SEARCH];
/// Switch probes on and off.
const PROBE: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];
/// Addresses in `/proc/kallsyms`: names of kernel frames, and classes of waits.
const KERNEL: [Capability; 1] = [Capability::CAP_SYSLOG];
/// `/proc/PID/map_files`.
const FILES: [Capability; 1] = [Capability::CAP_CHECKPOINT_RESTORE];
/// Start the server part under its own user, kill it if it does not end.
const TEND: [Capability; 3] = [Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_KILL];
/// Make directories where the operator wants them and give the server's to its user; raise `RLIMIT_MEMLOCK` (before 5.11).
const PREPARE: [Capability; 4] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_SYS_RESOURCE,
];

/// What a thread is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The first thread until everything is started: the sum of all others.
    Start,
    /// The first thread afterwards, with a server part to start again when it dies.
    Tend,
    /// The first thread afterwards, without one.
    Wait,
    /// Probes and `/proc`.
    Collector,
    /// Names of addresses.
    Symbolizer,
    /// Commands' questions, messages, spool.
    Worker,
}

impl Role {
    fn capabilities(self) -> CapsHashSet {
        let parts: &[&[Capability]] = match self {
            Self::Start => &[&LOOK, &PROBE, &KERNEL, &FILES, &TEND, &PREPARE],
            Self::Tend => &[&TEND],
            Self::Wait => &[],
            Self::Collector => &[&LOOK, &PROBE, &KERNEL],
            Self::Symbolizer => &[&LOOK, &KERNEL, &FILES],
            Self::Worker => &[&LOOK],
        };
        parts.iter().copied().flatten().copied().collect()
    }
}

/// Keeps, of what this thread has, what `role` needs. The rest is gone for good.
pub fn keep(role: Role) -> anyhow::Result<()> {
    let wanted = role.capabilities();
    let cannot = || format!("cannot give away capabilities ({role:?})");
    let permitted = caps::read(None, CapSet::Permitted).with_context(cannot)?;
    if role == Role::Start {
        nix::sys::prctl::set_no_new_privs().context("cannot set no_new_privs")?;
        if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
            for capability in caps::read(None, CapSet::Bounding).with_context(cannot)?.difference(&wanted) {
                caps::drop(None, CapSet::Bounding, *capability).with_context(cannot)?;
            }
        }
    }
    let kept: CapsHashSet = permitted.intersection(&wanted).copied().collect();
    // Raising one of the ambient set would need it inheritable as well: with neither an exec passes nothing on.
    caps::clear(None, CapSet::Ambient).with_context(cannot)?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).with_context(cannot)?;
    caps::set(None, CapSet::Effective, &kept).with_context(cannot)?;
    caps::set(None, CapSet::Permitted, &kept).with_context(cannot)
}

/// Runs `make` on a thread of this role: the threads that it starts have the role, too.
pub(super) fn with<T: Send>(role: Role, make: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let made = scope.spawn(|| keep(role).map(|()| make()));
        made.join().map_err(|_| anyhow::anyhow!("a thread panicked while it started the {role:?}"))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_has_what_every_role_keeps() {
        let start = Role::Start.capabilities();
        for role in [Role::Tend, Role::Wait, Role::Collector, Role::Symbolizer, Role::Worker] {
            assert!(role.capabilities().is_subset(&start), "{role:?}");
        }
    }

    #[test]
    fn a_thread_gives_away_its_own_and_nobody_elses() {
        let before = caps::read(None, CapSet::Effective).unwrap();
        let inside = with(Role::Wait, || caps::read(None, CapSet::Permitted).unwrap()).unwrap();
        assert!(inside.is_empty(), "{inside:?}");
        assert_eq!(caps::read(None, CapSet::Effective).unwrap(), before);
    }
}
