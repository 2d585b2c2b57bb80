//! Resource limits of the programs that the plugin process starts.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{Error, Process};

/// Processes and threads of the user, all programs together: a fork bomb ends here.
const PROCESSES: u64 = 256;
/// Address space of one: runtimes such as Go or Java reserve more than they use.
const ADDRESS_SPACE: u64 = 4 << 30;
/// A file that one writes.
const FILE_BYTES: u64 = 256 << 20;
/// Open files of one.
const OPEN_FILES: u64 = 1024;
/// CPU seconds of one; the time-out of the daemon is shorter unless someone raised it.
const CPU_SECONDS: u64 = 60;

/// Sets, for this process and all that it starts, what one program may use. The limit of CPU time is for children: see
/// [`limit_cpu`].
pub fn limit_children() -> Result<(), Error> {
    for (limit, resource, most) in [
        ("RLIMIT_NPROC", Resource::RLIMIT_NPROC, PROCESSES),
        ("RLIMIT_AS", Resource::RLIMIT_AS, ADDRESS_SPACE),
        ("RLIMIT_FSIZE", Resource::RLIMIT_FSIZE, FILE_BYTES),
        ("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE, OPEN_FILES),
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
    let limit = libc::rlimit { rlim_cur: CPU_SECONDS, rlim_max: CPU_SECONDS };
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // SAFETY: the new limit is read, the old one is not asked for.
    unsafe { libc::prlimit(pid, libc::RLIMIT_CPU, &raw const limit, std::ptr::null_mut()) };
}
