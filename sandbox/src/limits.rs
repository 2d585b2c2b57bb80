//! Resource limits of the programs that the plugin process starts.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{Error, Process};

/// Most processes and threads of the user, of all programs together: a fork bomb ends here.
const MAX_PROCESSES: u64 = 256;
/// Most address space of a process, bytes: runtimes such as Go or Java reserve more than they use.
const MAX_ADDRESS_SPACE_BYTES: u64 = 4 << 30;
/// Largest file that a process writes.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Most open files of a process.
const MAX_OPEN_FILES: u64 = 1024;
/// Most CPU time of a process, s; the daemon's time-out is shorter unless the configuration raises it.
const MAX_CPU_S: u64 = 60;

/// Sets, for this process and all that it starts, what one program may use. The limit of CPU time is for children: see
/// [`limit_cpu`].
pub fn limit_children() -> Result<(), Error> {
    for (limit, resource, most) in [
        ("RLIMIT_NPROC", Resource::RLIMIT_NPROC, MAX_PROCESSES),
        ("RLIMIT_AS", Resource::RLIMIT_AS, MAX_ADDRESS_SPACE_BYTES),
        ("RLIMIT_FSIZE", Resource::RLIMIT_FSIZE, MAX_FILE_BYTES),
        ("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE, MAX_OPEN_FILES),
        ("RLIMIT_CORE", Resource::RLIMIT_CORE, 0),
    ] {
        let failed = |source| Error::Limit { limit, process: Process::Plugin.comm(), source };
        let (_, hard) = getrlimit(resource).map_err(failed)?;
        let most = most.min(hard);
        setrlimit(resource, most, most).map_err(failed)?;
    }
    Ok(())
}

/// Ends the process `pid` after its CPU seconds. It may be gone.
pub fn limit_cpu(pid: u32) {
    let limit = libc::rlimit { rlim_cur: MAX_CPU_S, rlim_max: MAX_CPU_S };
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: the call reads the new limit, and writes no old one.
    unsafe { libc::prlimit(pid, libc::RLIMIT_CPU, &raw const limit, std::ptr::null_mut()) };
}
