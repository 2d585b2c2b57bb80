//! System calls that a process' filter has refused: each is a missing permission of a feature, or an attack.

use diagnosis::window::SyscallAbi;
use sandbox::Process;

/// How many were logged.
#[derive(Debug)]
pub(crate) struct Refusals {
    process: Process,
    logged: u64,
}

impl Refusals {
    /// Of this process, which is `process`.
    pub(crate) const fn of(process: Process) -> Self {
        Self { process, logged: 0 }
    }

    /// Logs the calls refused since the last time.
    pub(crate) fn log_new(&mut self) {
        let (count, last) = sandbox::seccomp::refusals();
        if count > self.logged {
            let last = last.and_then(|number| u16::try_from(number).ok());
            let last = last.map(|number| diagnosis::syscall_names::display(SyscallAbi::Native, number));
            tracing::error!(
                process = self.process.comm(),
                count,
                last = last.as_deref(),
                "the system call filter has refused calls that this process is not meant to make"
            );
            self.logged = count;
        }
    }
}
