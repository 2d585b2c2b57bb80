//! A PID from the command line: is it a process that can be observed?

use procfs::process::{Process, StatFlags};
use procfs::{ProcError, ProcessCGroup};

/// A process that can be observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub comm: String,
    /// Start in clock ticks since boot: with the PID its identity.
    pub start_ticks: u64,
}

/// Why a PID cannot be observed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PidError {
    /// Nothing has this PID.
    #[error("no process has PID {0}; `pgrep NAME` finds the PIDs of a program")]
    NotThere(u32),
    /// Dead, not yet collected by its parent.
    #[error(
        "process {pid} ({comm}) has exited; only its entry is left until its parent {parent} collects it"
    )]
    Exited {
        /// The PID.
        pid: u32,
        /// Its name.
        comm: String,
        /// Its parent.
        parent: i32,
    },
    /// It was there when the command began.
    #[error("process {pid} ({comm}) exited before the probes were attached")]
    ExitedSince {
        /// The PID.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// A thread of the kernel.
    #[error(
        "{pid} ({comm}) is a kernel thread, not a program; `agent flamegraph --all` shows the kernel's own work"
    )]
    KernelThread {
        /// The PID.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// A thread of another process.
    #[error("{tid} is a thread of process {pid} ({comm}); use --pid {pid}")]
    Thread {
        /// What was given.
        tid: u32,
        /// Its process.
        pid: i32,
        /// The process' name.
        comm: String,
    },
    /// `/proc/PID` cannot be read.
    #[error("cannot read /proc/{pid}: {why}")]
    Unreadable {
        /// The PID.
        pid: u32,
        /// The system's word.
        why: String,
    },
}

/// Looks a PID up.
pub fn find(pid: u32) -> Result<Found, PidError> {
    let unreadable = |error: ProcError| match error {
        ProcError::NotFound(_) => PidError::NotThere(pid),
        error => PidError::Unreadable { pid, why: error.to_string() },
    };
    let raw = i32::try_from(pid).map_err(|_| PidError::NotThere(pid))?;
    if raw == 0 {
        return Err(PidError::NotThere(pid));
    }
    let process = Process::new(raw).map_err(unreadable)?;
    let stat = process.stat().map_err(unreadable)?;
    if stat.flags().is_ok_and(|flags| flags.contains(StatFlags::PF_KTHREAD)) {
        return Err(PidError::KernelThread { pid, comm: stat.comm });
    }
    // Of a main thread that ended before the others only an entry is left, and the process works on.
    if matches!(stat.state, 'Z' | 'X' | 'x') && stat.num_threads <= 1 {
        return Err(PidError::Exited { pid, comm: stat.comm, parent: stat.ppid });
    }
    let status = process.status().map_err(unreadable)?;
    if status.tgid != raw {
        let comm = Process::new(status.tgid).and_then(|leader| leader.stat()).map(|stat| stat.comm);
        return Err(PidError::Thread { tid: pid, pid: status.tgid, comm: comm.unwrap_or(stat.comm) });
    }
    Ok(Found { comm: stat.comm, start_ticks: stat.starttime })
}

/// The process that was found is still alive (the same one: PIDs are used again).
#[must_use]
pub fn is_alive(pid: u32, found: &Found) -> bool {
    find(pid).is_ok_and(|now| now.start_ticks == found.start_ticks)
}

/// Path of the process' cgroup in the unified hierarchy.
#[must_use]
pub fn cgroup(pid: u32) -> Option<String> {
    let groups = Process::new(i32::try_from(pid).ok()?).and_then(|process| process.cgroups()).ok()?;
    groups.0.into_iter().find(|group: &ProcessCGroup| group.hierarchy == 0).map(|group| group.pathname)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn we_are_alive() {
        let found = find(std::process::id()).unwrap();
        assert!(is_alive(std::process::id(), &found));
        assert!(!is_alive(std::process::id(), &Found { start_ticks: found.start_ticks + 1, ..found }));
    }

    #[test]
    fn missing_exited_and_thread_are_three_answers() {
        assert_eq!(find(0), Err(PidError::NotThere(0)));
        assert_eq!(find(u32::MAX), Err(PidError::NotThere(u32::MAX)));

        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        // Not collected yet: it turns into a zombie, however long that takes.
        let exited = loop {
            match find(pid) {
                Ok(_) => std::thread::yield_now(),
                Err(error) => break error,
            }
        };
        assert!(matches!(exited, PidError::Exited { .. }), "{exited}");
        child.wait().unwrap();
        assert_eq!(find(pid), Err(PidError::NotThere(pid)));

        let (tid, ours) =
            std::thread::spawn(|| (nix::unistd::gettid(), find(nix::unistd::gettid().as_raw() as u32)))
                .join()
                .unwrap();
        assert!(
            matches!(ours, Err(PidError::Thread { pid, .. }) if pid as u32 == std::process::id()),
            "{tid} {ours:?}"
        );
    }

    #[test]
    fn a_kernel_thread_is_named_as_one() {
        // PID 2 is kthreadd, unless we are in a PID namespace of our own, which has no kernel threads.
        let Ok(comm) = std::fs::read_to_string("/proc/2/comm") else { return };
        if comm.trim() == "kthreadd" {
            assert!(matches!(find(2), Err(PidError::KernelThread { pid: 2, .. })));
        }
    }
}
