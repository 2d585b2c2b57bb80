//! Sockets as the kernel knows them: `sock_diag`, descriptors of processes, the listener of a port.

pub mod diag;
mod listener;
pub mod netns;
pub mod pass;

use std::fs;

pub use diag::Diag;
pub use listener::{Listener, claim, listener_on};

/// Inode of the socket that a descriptor is, by what `/proc/PID/fd` calls it.
#[must_use]
pub fn inode_of(link: &str) -> Option<u32> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Inodes of the sockets among a process' first `most` descriptors, 2 µs a descriptor.
pub fn inodes_of(tgid: u32, most: usize) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(format!("/proc/{tgid}/fd")).into_iter().flatten().flatten().take(most);
    entries.filter_map(|entry| inode_of(fs::read_link(entry.path()).ok()?.to_str()?))
}
