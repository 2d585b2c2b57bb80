//! Files of `/proc/PID`, read with limits.
//!
//! `maps` and `mem` wait for the process' memory lock, and reading its memory for the file systems that are mapped into it:
//! call these on a [worker](crate::Workers). [`status`] does not wait.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use crate::living;

/// Text of `maps` at most. A process may have 65,530 mappings of paths as long as it likes; a large Java program has 1 MiB.
const MAX_MAPS_BYTES: u64 = 16 << 20;
/// Most bytes of a process' arguments.
const MAX_ARGUMENTS_BYTES: u64 = 512;
/// Text of `status` at most: one has 1.5 KiB, and a line of groups that may have 65,536.
const MAX_STATUS_BYTES: u64 = 512 << 10;

/// The text of `/proc/PID/maps`, cut at 16 MiB. May wait for the process.
pub fn maps(tgid: u32) -> io::Result<Vec<u8>> {
    let of = |number: u32| read(&format!("/proc/{number}/maps"), MAX_MAPS_BYTES);
    let text = of(tgid)?;
    match text.is_empty().then(|| living(tgid)) {
        Some(thread) if thread != tgid => of(thread),
        _ => Ok(text),
    }
}

/// The memory of a process. Reading it may wait for the file systems that are mapped into it.
pub fn memory(tgid: u32) -> io::Result<File> {
    File::open(format!("/proc/{}/mem", living(tgid)))
}

/// The first bytes of a process' arguments, each with its NUL. Reading them waits while the process changes its mappings.
pub fn command_line(tgid: u32) -> io::Result<Vec<u8>> {
    read(&format!("/proc/{}/cmdline", living(tgid)), MAX_ARGUMENTS_BYTES)
}

/// Reads a file of `/proc` up to `limit` bytes.
fn read(path: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut text)?;
    Ok(text)
}

/// Identity of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Real user id: a process cannot take another one without being allowed to.
    pub uid: u32,
    /// What the process calls itself, in its own PID namespace.
    pub ns_tgid: u32,
}

/// The identity of process `tgid`; `None` if it has ended. Never waits.
#[must_use]
pub fn status(tgid: u32) -> Option<Status> {
    let text = read(&format!("/proc/{tgid}/status"), MAX_STATUS_BYTES).ok()?;
    parse_status(&text)
}

fn parse_status(text: &[u8]) -> Option<Status> {
    // The name, which comes first, has its line breaks written as `\n`.
    let word = |key: &[u8], last: bool| {
        let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(key))?;
        let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
        let word = if last { words.next_back() } else { words.next() };
        word?.parse().ok()
    };
    let tgid = || word(b"Tgid:", false);
    Some(Status { uid: word(b"Uid:", false)?, ns_tgid: word(b"NStgid:", true).or_else(tgid)? })
}

/// 0 for a process in our own user namespace. Else the inode of its mount namespace: what is mounted there, and what paths mean,
/// another user may have decided. Never waits.
#[must_use]
pub fn space(tgid: u32) -> u64 {
    static OWN: OnceLock<Option<u64>> = OnceLock::new();
    let inode = |path: &str| std::fs::metadata(path).ok().map(|meta| meta.ino());
    let own = *OWN.get_or_init(|| inode("/proc/self/ns/user"));
    match inode(&format!("/proc/{tgid}/ns/user")) {
        Some(user) if Some(user) != own => inode(&format!("/proc/{tgid}/ns/mnt")).unwrap_or(user),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_pass_for_a_line_of_status() {
        let text = b"Name:\tx\\nUid:\\t0\nTgid:\t70\nUid:\t1000\t0\t0\t0\nNStgid:\t70\t4\n";
        assert_eq!(parse_status(text), Some(Status { uid: 1000, ns_tgid: 4 }));
        assert_eq!(parse_status(b"Tgid:\t70\nUid:\t5\t5\t5\t5\n"), Some(Status { uid: 5, ns_tgid: 70 }));
        assert_eq!(parse_status(b"Uid:\t\xff"), None);
    }

    #[test]
    fn this_process_is_in_its_own_namespace() {
        let own = std::process::id();
        assert_eq!(space(own), 0);
        assert_eq!(status(own).map(|status| status.ns_tgid), Some(own));
        assert!(maps(own).is_ok_and(|maps| maps.windows(4).any(|word| word == b"r-xp")));
    }
}
