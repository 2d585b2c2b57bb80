//! File descriptors of the collector: every map, program and perf event is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::StartError;

/// Descriptors of maps, programs, links, the runtime and the first files of the symbolizer: 170 were counted.
const FIXED_DESCRIPTORS: u64 = 256;
/// A sampling and a mapping event, on each CPU.
const DESCRIPTORS_PER_CPU: u64 = 2;
/// Descriptors beyond that: open files of the symbolizer and the unwinder, and open files of `/proc`.
const SPARE_DESCRIPTORS: u64 = 4096;

/// Raises the limit of open descriptors as far as it helps. An error if the limit stays below what the collector needs.
///
/// The soft limit of 1,024 that systemd and shells set is for programs that use `select(2)`. The hard limit is raised too where
/// that is allowed (`CAP_SYS_RESOURCE`).
pub(super) fn ensure(cpus: usize) -> Result<(), StartError> {
    let need = FIXED_DESCRIPTORS + DESCRIPTORS_PER_CPU * cpus as u64;
    let have = raise(need + SPARE_DESCRIPTORS);
    if have >= need {
        return Ok(());
    }
    Err(StartError::Unsupported {
        what: format!("at most {have} files may be open here (RLIMIT_NOFILE), and the probes need {need}"),
        cure: format!(
            "raise the limit: `ulimit -n {}`, or LimitNOFILE= of the systemd unit",
            need + SPARE_DESCRIPTORS
        ),
    })
}

/// Raises the limit towards `wanted`. Returns the one in force.
fn raise(wanted: u64) -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    if soft >= wanted {
        return soft;
    }
    let tries = [(wanted, wanted.max(hard)), (wanted.min(hard), hard)];
    tries
        .into_iter()
        .find(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, *soft, *hard).is_ok())
        .map_or(soft, |(soft, _)| soft)
}
