//! Namespaces in which the collector's process numbers or times would differ from those that the kernel reports.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use agent_common::clocks;

/// Inode of the first PID namespace (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL_PID: u64 = 0xEFFF_FFFC;

/// What helps where a container has PIDs of its own.
pub(crate) const HOST_PIDS: &str = "give the container the host's PIDs (docker run --pid=host; Kubernetes: hostPID: true), \
    or start the agent on the host (from a container of its own: nsenter --target 1 --pid --mount agent …)";

/// Where this process is, as far as PIDs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PidNamespace {
    /// The host's, and `/proc` is the host's.
    Host,
    /// A container's: its processes have other numbers than the kernel's programs see.
    Container,
    /// The host's, but `/proc` is another one's.
    ForeignProc,
    /// `/proc` does not say.
    Unknown,
}

/// Looks at `/proc` below `root`.
pub(crate) fn pid_namespace(root: &Path) -> PidNamespace {
    match fs::metadata(root.join("proc/self/ns/pid")).map(|meta| meta.ino()) {
        Ok(INITIAL_PID) => {
            let own = fs::read_link(root.join("proc/self")).ok();
            let known = own.as_deref().and_then(Path::to_str).and_then(|number| number.parse().ok());
            if known == Some(std::process::id()) { PidNamespace::Host } else { PidNamespace::ForeignProc }
        }
        Ok(_) => PidNamespace::Container,
        Err(_) => PidNamespace::Unknown,
    }
}

/// Why nothing can be observed from here: what is wrong, and what to do.
pub(crate) fn obstacle() -> Option<(String, String)> {
    let what = match pid_namespace(Path::new("/")) {
        PidNamespace::Container => {
            "this is a PID namespace of a container: the kernel counts the host's PIDs, /proc here shows others, \
             so that no name and no --pid would fit"
        }
        PidNamespace::ForeignProc => {
            "/proc shows the processes of another PID namespace than this one: no name and no --pid would fit"
        }
        PidNamespace::Host | PidNamespace::Unknown => {
            let unknown = clocks::offsets().err()?;
            return Some((unknown.to_string(), "start the agent outside of it".to_owned()));
        }
    };
    Some((what.to_owned(), HOST_PIDS.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_does_not_tell_is_not_an_obstacle() {
        assert_eq!(pid_namespace(Path::new("/nowhere")), PidNamespace::Unknown);
    }
}
