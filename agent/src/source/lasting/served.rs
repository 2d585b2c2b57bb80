//! Waits for a file system that a process serves (FUSE). The kernel accounts them as waits for a disk.

use std::fs;

use agent_common::units::Tgid;
use diagnosis::syscall_names;
use diagnosis::window::WaitTarget;

use super::ends::End;
use super::{Held, Lasting};
use crate::source::mounts::{self, Mount};
use crate::source::sched::call;
use crate::source::touch;

/// What the descriptors of those who serve file systems are called.
const DEVICE: &str = "/dev/fuse";
/// Longest path argument of a call that is read.
const MAX_PATH_BYTES: usize = 256;

/// The file system's server, if a thread waits for one.
pub(super) fn held(wait: &Lasting) -> Option<(Held, Option<End>)> {
    let connection = connection(wait)?;
    let held = Held { target: WaitTarget::FileServer { connection }, peer: None };
    let end = End {
        of: wait.tgid,
        link: DEVICE.to_owned(),
        reads: true,
        only_stopped: false,
        connection: Some(connection),
    };
    Some((held, Some(end)))
}

/// The FUSE connection that a thread waits for: of the file that its call, or its page fault, is about.
fn connection(wait: &Lasting) -> Option<u32> {
    let mounts = mounts::of(wait.tgid);
    // Hardly any process sees one.
    if !mounts.values().any(|mount| mount.is_fuse) {
        return None;
    }
    let Some((abi, nr)) = wait.wait.syscall else {
        return mapped(wait.tgid, &mounts.values().filter_map(Mount::connection).collect::<Vec<_>>());
    };
    let name = syscall_names::name(abi, nr)?;
    if !takes_path(name) {
        return mounts.get(&mounts::mount_of(wait.tgid, wait.wait.arg as u32)?)?.connection();
    }
    let text = fs::read_to_string(format!("/proc/{}/task/{}/syscall", wait.tgid, wait.wait.tid)).ok()?;
    let (_, args) = call(&text)?;
    let (dir, at) = if is_at(name) { (Some(args[0] as i32), args[1]) } else { (None, args[0]) };
    let bytes: [u8; MAX_PATH_BYTES] = touch::memory(wait.tgid, at)?;
    let path = std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()?;
    if path.starts_with('/') {
        return mounts::below(&mounts, path)?.connection();
    }
    let base = touch::directory(wait.tgid, dir.filter(|fd| *fd != libc::AT_FDCWD))?;
    mounts::below(&mounts, &format!("{base}/{path}"))?.connection()
}

/// Calls whose first argument is a path, or a directory and then a path.
fn takes_path(name: &str) -> bool {
    let plain = [
        "open",
        "stat",
        "lstat",
        "access",
        "chdir",
        "mkdir",
        "rmdir",
        "creat",
        "unlink",
        "readlink",
        "chmod",
        "chown",
        "lchown",
        "truncate",
        "rename",
        "link",
        "statfs",
        "execve",
        "utime",
        "utimes",
        "getxattr",
        "lgetxattr",
        "listxattr",
        "setxattr",
    ];
    plain.contains(&name) || is_at(name)
}

fn is_at(name: &str) -> bool {
    matches!(name, "openat" | "openat2" | "statx" | "newfstatat" | "fstatat64" | "faccessat2")
        || name.ends_with("at") && name.len() > 4 && !matches!(name, "fstat" | "lstat" | "shmat")
}

/// The connection whose files a process has mapped, if it is one of these and the only one.
fn mapped(tgid: Tgid, connections: &[u32]) -> Option<u32> {
    let text = touch::maps_text(tgid);
    let text = String::from_utf8_lossy(&text);
    // FUSE's devices have the major number 0.
    let minor = |line: &str| u32::from_str_radix(line.split(' ').nth(3)?.strip_prefix("00:")?, 16).ok();
    let mut found: Vec<u32> =
        text.lines().filter_map(minor).filter(|minor| connections.contains(minor)).collect();
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [one] => Some(one),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_with_paths_are_distinguished_from_calls_with_descriptors() {
        for name in ["open", "openat", "statx", "newfstatat", "mkdirat", "execve", "unlinkat", "renameat"] {
            assert!(takes_path(name), "{name}");
        }
        for name in ["read", "pread64", "fstat", "write", "getdents64", "fsync", "shmat", "close"] {
            assert!(!takes_path(name), "{name}");
        }
        assert!(is_at("openat") && !is_at("open") && !is_at("fstat"));
    }

    #[test]
    fn a_process_without_such_mappings_waits_for_none() {
        assert_eq!(mapped(Tgid(std::process::id()), &[1_048_000]), None);
    }
}
