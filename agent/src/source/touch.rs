//! Calls of the collector thread that another process or its file system can block.
//!
//! The collector thread drains rings that have room for four seconds, so it must not block on a file system that does not
//! answer. Each call runs on a worker thread of `opener`. A process whose call does not return gets no further call until it
//! returns.

use std::fs::Metadata;
use std::os::unix::fs::FileExt as _;

use agent_common::units::Tgid;
use flamegraphs::maps::{self, Mapping};
use opener::{Owner, Patience, Workers, living, process};

static WORKERS: Workers = Workers::with_patience("collector", Patience::COLLECTOR);

/// What `stat` says of `<path>` below the process' directory in `/proc`; symbolic links are followed. An error if there is no answer.
pub(super) fn metadata(tgid: Tgid, path: &str) -> Result<Option<Metadata>, opener::Blocked> {
    let path = format!("/proc/{}/{path}", living(tgid.0));
    WORKERS.run(Owner::of_process(tgid.0), move || std::fs::metadata(path).ok())
}

/// Path of a process' working directory, or of the directory behind a descriptor of it; none if there is no answer.
pub(crate) fn directory(tgid: Tgid, fd: Option<i32>) -> Option<String> {
    let link = match fd {
        Some(fd) => format!("/proc/{}/fd/{fd}", living(tgid.0)),
        None => format!("/proc/{}/cwd", living(tgid.0)),
    };
    let read = move || Some(std::fs::read_link(link).ok()?.to_str()?.to_owned());
    WORKERS.run(Owner::of_process(tgid.0), read).ok().flatten()
}

/// The first bytes of a process' arguments, each with its NUL; none if it is gone or does not answer.
pub(crate) fn command_line(tgid: Tgid) -> Vec<u8> {
    let read = move || process::command_line(tgid.0).unwrap_or_default();
    WORKERS.run(Owner::of_process(tgid.0), read).unwrap_or_default()
}

/// Up to `N` bytes of a process' memory; zero beyond what can be read.
pub(super) fn memory<const N: usize>(tgid: Tgid, at: u64) -> Option<[u8; N]> {
    let read = move || {
        let mut bytes = [0; N];
        let memory = process::memory(tgid.0).ok()?;
        (memory.read_at(&mut bytes, at).ok()? > 0).then_some(bytes)
    };
    WORKERS.run(Owner::of_process(tgid.0), read).ok().flatten()
}

/// The text of a process' mappings; empty if it is gone or does not answer.
pub(super) fn maps_text(tgid: Tgid) -> Vec<u8> {
    let read = move || process::maps(tgid.0).unwrap_or_default();
    WORKERS.run(Owner::of_process(tgid.0), read).unwrap_or_default()
}

/// The executable mappings of a process; none if it is gone or does not answer.
pub(super) fn mappings(tgid: Tgid) -> Vec<Mapping> {
    let read = move || maps::read(tgid.0).unwrap_or_default();
    WORKERS.run(Owner::of_process(tgid.0), read).unwrap_or_default()
}
