//! Refused calls: calls that fail because a resource, a peer, a route or a lock is missing. One table of (errno, call) pairs that are
//! no normal answer.

use super::{Facts, Map};
use crate::syscall_names;
use crate::window::SyscallAbi;

/// What a refused call lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// A resource of the host, or a limit: the reason and the cure.
    Resource(&'static str),
    /// A process that listens at the other end.
    Peer,
    /// A route to the other end.
    Route,
    /// A file lock that another process holds.
    Lock,
}

/// A row of the table: errno, calls (`*` at the end: a prefix), least share of refused calls, and what they lack.
struct Line {
    errno: i32,
    calls: &'static [&'static str],
    share: f64,
    want: Want,
}

const fn resource(errno: i32, calls: &'static [&'static str], share: f64, why: &'static str) -> Line {
    Line { errno, calls, share, want: Want::Resource(why) }
}

/// Calls that store data or names in a file system.
const FILE_SYSTEM_CALLS: &[&str] = &[
    "write*",
    "pwrite*",
    "fallocate",
    "truncate*",
    "ftruncate*",
    "open",
    "openat*",
    "creat",
    "mkdir*",
    "rename*",
    "link*",
    "symlink*",
    "fsync",
    "fdatasync",
    "copy_file_range",
    "sendfile*",
    "splice",
];
/// Calls that open a descriptor.
const DESCRIPTOR_CALLS: &[&str] = &[
    "open",
    "openat*",
    "creat",
    "accept*",
    "socket",
    "socketpair",
    "pipe*",
    "dup*",
    "epoll_create*",
    "eventfd*",
    "timerfd_create",
    "signalfd*",
    "memfd_create",
    "pidfd_open",
];
const FORK_CALLS: &[&str] = &["clone*", "fork", "vfork"];

/// All (errno, call) pairs that are no normal answer. Where a part of them is normal (trying for a lock, one of several peers), the
/// share is the limit of normal.
static TABLE: &[Line] = &[
    resource(
        libc::ENOSPC,
        FILE_SYSTEM_CALLS,
        0.05,
        "no space or no inodes are left on the file system: `df -h`, `df -i`",
    ),
    resource(libc::EDQUOT, FILE_SYSTEM_CALLS, 0.05, "the user's disk quota is used up: `quota`"),
    resource(
        libc::ENOSPC,
        &["inotify_add_watch"],
        0.5,
        "the user's watches are used up: raise fs.inotify.max_user_watches",
    ),
    resource(
        libc::EMFILE,
        &["inotify_init*"],
        0.5,
        "the user's inotify instances are used up: raise fs.inotify.max_user_instances",
    ),
    resource(
        libc::EROFS,
        &["write*", "pwrite*", "fallocate", "ftruncate*", "fsync", "fdatasync"],
        0.05,
        "the file system has become read-only: `dmesg` says whether an error made it so (`errors=remount-ro`)",
    ),
    resource(
        libc::EIO,
        &["fsync", "fdatasync", "msync", "pwrite*"],
        0.05,
        "the device fails: `dmesg`, `smartctl -a`",
    ),
    resource(
        libc::EMFILE,
        DESCRIPTOR_CALLS,
        0.05,
        "its descriptors are used up: raise LimitNOFILE=, or find what it does not close",
    ),
    resource(
        libc::ENFILE,
        DESCRIPTOR_CALLS,
        0.05,
        "the host's table of open files is full: raise fs.file-max",
    ),
    resource(
        libc::EAGAIN,
        FORK_CALLS,
        0.05,
        "no more processes or threads are allowed: pids.max of its cgroup (TasksMax=), RLIMIT_NPROC, kernel.pid_max",
    ),
    resource(
        libc::ENOMEM,
        FORK_CALLS,
        0.05,
        "the kernel has no memory for it: `free -m`, vm.overcommit_memory",
    ),
    resource(
        libc::ENOMEM,
        &["mmap*", "mprotect"],
        0.5,
        "no more memory is given to it: RLIMIT_AS, vm.max_map_count, vm.overcommit_memory",
    ),
    resource(
        libc::EADDRNOTAVAIL,
        &["connect"],
        0.05,
        "no local port is free for it: keep connections, widen net.ipv4.ip_local_port_range; or the address is none of this \
         host's (::1 where IPv6 is off)",
    ),
    Line { errno: libc::ECONNREFUSED, calls: &["connect"], share: 0.5, want: Want::Peer },
    Line { errno: libc::EHOSTUNREACH, calls: &["connect"], share: 0.9, want: Want::Route },
    Line { errno: libc::ENETUNREACH, calls: &["connect"], share: 0.9, want: Want::Route },
    // A process that fails at the last of several locks releases the others, by the same call.
    Line { errno: libc::EAGAIN, calls: &["fcntl*", "flock"], share: 0.1, want: Want::Lock },
];

/// The table's row for an errno of a call; `None` for a normal answer.
fn line(call: &str, errno: u16) -> Option<&'static Line> {
    let is = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(prefix) => call.starts_with(prefix),
        None => call == *pattern,
    };
    TABLE.iter().find(|line| line.errno == i32::from(errno) && line.calls.iter().any(is))
}

/// One call of a unit that is refused with one errno.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// Index in [`Facts::units`].
    pub(crate) unit: usize,
    pub(crate) abi: SyscallAbi,
    pub(crate) nr: u16,
    pub(crate) errno: u16,
    pub(crate) want: Want,
    /// Least share of its calls from which it is no normal answer.
    pub(crate) share: f64,
    pub(crate) count: u64,
    /// Refusals a second, by window.
    pub(crate) rates: Vec<f64>,
}

/// All refused calls of all units.
pub(super) fn refused(facts: &Facts) -> Vec<Refused> {
    let mut all: Map<(usize, SyscallAbi, u16, u16), Refused> = Map::default();
    for (window, of) in facts.windows.iter().enumerate() {
        let seconds = of.span().as_secs_f64().max(1e-9);
        for row in of.syscalls.iter().filter(|row| !row.errnos.is_empty()) {
            let call = syscall_names::name(row.abi, row.nr).unwrap_or_default();
            for (errno, count) in &row.errnos {
                let late = call == "connect" && i32::from(*errno) == libc::EINPROGRESS;
                let errno = if late { libc::ECONNREFUSED as u16 } else { *errno };
                let (Some(line), Some(unit)) = (line(call, errno), facts.unit_of(row.tgid)) else { continue };
                // A non-blocking connect learns of the refusal later: its resets show it.
                let resets =
                    || of.net.iter().filter(|net| net.tgid == row.tgid).map(|net| net.resets).sum::<u64>();
                let count = if late { resets().min(*count) } else { *count };
                let (abi, nr, want, share) = (row.abi, row.nr, line.want, line.share);
                let one = all.entry((unit.at, abi, nr, errno)).or_insert_with(|| {
                    let rates = vec![0.0; facts.windows.len()];
                    Refused { unit: unit.at, abi, nr, errno, want, share, count: 0, rates }
                });
                one.count += count;
                one.rates[window] += count as f64 / seconds;
            }
        }
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyday_answers_refuse_nothing() {
        let want = |call: &str, errno: i32| line(call, errno as u16).map(|line| line.want);
        for (call, errno) in [
            ("read", libc::EAGAIN),
            ("read", libc::EIO),
            ("futex", libc::EAGAIN),
            ("access", libc::EROFS),
            ("openat", libc::EROFS),
            ("mremap", libc::ENOMEM),
            ("mlock", libc::ENOMEM),
            ("madvise", libc::ENOMEM),
            ("recvmsg", libc::ENOBUFS),
            ("sendto", libc::ECONNREFUSED),
            ("bind", libc::EADDRNOTAVAIL),
            ("perf_event_open", libc::ENOSPC),
            ("add_key", libc::EDQUOT),
            ("connect", libc::ENOENT),
        ] {
            assert_eq!(want(call, errno), None, "{call}");
        }
        assert!(matches!(want("pwrite64", libc::ENOSPC), Some(Want::Resource(why)) if why.contains("df -h")));
        assert!(
            matches!(want("inotify_add_watch", libc::ENOSPC), Some(Want::Resource(why)) if why.contains("watches"))
        );
        assert!(
            matches!(want("inotify_init1", libc::EMFILE), Some(Want::Resource(why)) if why.contains("instances"))
        );
        assert!(
            matches!(want("accept4", libc::EMFILE), Some(Want::Resource(why)) if why.contains("LimitNOFILE"))
        );
        assert!(
            matches!(want("clone3", libc::EAGAIN), Some(Want::Resource(why)) if why.contains("pids.max"))
        );
        assert_eq!(want("connect", libc::ECONNREFUSED), Some(Want::Peer));
        assert_eq!(want("connect", libc::ENETUNREACH), Some(Want::Route));
        assert_eq!(want("fcntl64", libc::EAGAIN), Some(Want::Lock));
    }
}
