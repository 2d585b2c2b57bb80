//! Landlock: which files and ports a process without privileges reaches.
//!
//! Not in the collector: Landlock denies `/proc/PID/{mem,io,root}` of processes outside of the domain (tried on 6.18),
//! which is what the collector is there to read. A kernel without it (before 5.13, or not in `lsm=`) leaves the user's
//! permissions alone to bind them; [`abi`] says which it is.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Compatible as _, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, Scope,
};

use crate::{Error, Process};

/// The newest interface that the rules below speak of. An older kernel enforces what it knows of it.
const NEWEST: ABI = ABI::V6;

/// What a process may reach. Everything else is denied.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Files and directories to read, with all below them; programs there may be executed.
    pub read: Vec<PathBuf>,
    /// Files and directories to read and write, with all below them.
    pub write: Vec<PathBuf>,
    /// TCP ports to listen on; `None`: all.
    pub listen: Option<Vec<u16>>,
}

/// Version of the kernel's Landlock; 0 where there is none.
#[must_use]
pub fn abi() -> u32 {
    /// `LANDLOCK_CREATE_RULESET_VERSION` (`include/uapi/linux/landlock.h`).
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the call takes no ruleset and makes nothing.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION)
    };
    u32::try_from(version).unwrap_or(0)
}

/// Puts it in force for this thread and all that it starts: must be called while there is one thread. A path that does
/// not exist is left out. `process` also loses signals to, and abstract sockets of, processes outside of it.
pub fn confine(process: Process, reach: &Reach) -> Result<(), Error> {
    restrict(reach).map_err(|source| Error::Files { process: process.comm(), source })
}

fn restrict(reach: &Reach) -> Result<(), RulesetError> {
    let all = AccessFs::from_all(NEWEST);
    let read = AccessFs::from_read(NEWEST);
    let ruleset = Ruleset::default().handle_access(all)?.scope(Scope::Signal | Scope::AbstractUnixSocket)?;
    let ruleset = if reach.listen.is_none() { ruleset } else { ruleset.handle_access(AccessNet::BindTcp)? };
    let mut ruleset = ruleset.create()?.set_compatibility(landlock::CompatLevel::BestEffort);
    for (paths, access) in [(&reach.read, read), (&reach.write, all)] {
        for path in paths {
            ruleset = allow(ruleset, path, access)?;
        }
    }
    for port in reach.listen.iter().flatten() {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    ruleset.restrict_self().map(|_| ())
}

fn allow(
    ruleset: landlock::RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<landlock::RulesetCreated, RulesetError> {
    let Ok(fd) = PathFd::new(path) else { return Ok(ruleset) };
    // The kernel refuses the rights of directories for anything else.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    ruleset.add_rule(PathBeneath::new(fd, access))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Whether the kernel has this version. Otherwise says so, and fails where kernel tests are required.
    fn there(version: u32) -> bool {
        let there = abi() >= version;
        if !there {
            eprintln!("NOT RUN: this kernel's Landlock is version {}, the test needs {version}", abi());
            assert!(std::env::var_os("REQUIRE_BPF").is_none(), "REQUIRE_BPF is set");
        }
        there
    }

    /// On a thread of its own, which alone is restricted.
    fn within<T: Send>(reach: &Reach, look: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope.spawn(|| confine(Process::Plugin, reach).map(|()| look())).join().unwrap().unwrap()
        })
    }

    #[test]
    fn only_what_is_named_can_be_read_and_written() {
        if !there(1) {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (ours, others) = (dir.path().join("ours"), dir.path().join("others"));
        for dir in [&ours, &others] {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join("file"), "text").unwrap();
        }
        let reach =
            Reach { read: vec!["/proc".into(), "/no/such".into()], write: vec![ours.clone()], listen: None };
        let denied = Some(std::io::ErrorKind::PermissionDenied);
        let kind = |result: std::io::Result<()>| result.err().map(|error| error.kind());
        within(&reach, || {
            assert!(fs::write(ours.join("new"), "").is_ok());
            assert!(fs::read("/proc/self/status").is_ok());
            assert_eq!(kind(fs::read(others.join("file")).map(|_| ())), denied);
            assert_eq!(kind(fs::write(others.join("file"), "")), denied);
            assert_eq!(kind(fs::read("/etc/passwd").map(|_| ())), denied);
        });
        assert_eq!(fs::read(others.join("file")).unwrap(), b"text", "other threads are free");
    }

    #[test]
    fn another_port_cannot_be_listened_on() {
        if !there(4) {
            return;
        }
        let reach = Reach { listen: Some(vec![1]), ..Reach::default() };
        let bound = within(&reach, || std::net::TcpListener::bind("127.0.0.1:0").map(|_| ()));
        assert_eq!(bound.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    }
}
