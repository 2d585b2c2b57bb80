//! What the whole-program tests share: workloads with known behaviour, and the agent observing them.
//!
//! A workload says `ready`, waits for a line, does its work, says `done` and waits for the end of its input. So a
//! test knows what happened before, during and after the observation without a single sleep.

pub mod agent;
pub mod compile;
pub mod daemon;
pub mod diagnosis;
pub mod disk;
pub mod fuse;
pub mod meter;
pub mod stacks;
pub mod systemd;
pub mod windows;
pub mod workload;

use std::path::{Path, PathBuf};

/// Where the built programs lie: beside the tests, or one above (`deps`).
///
/// # Panics
/// When this program's own path cannot be read.
#[must_use]
pub fn programs() -> PathBuf {
    let own = std::env::current_exe().expect("the path of this program");
    let dir = own.parent().unwrap_or(Path::new("/"));
    if dir.ends_with("deps") { dir.parent().unwrap_or(dir).to_path_buf() } else { dir.to_path_buf() }
}

/// True: kernel tests run as root. A test that cannot run has not passed.
///
/// # Panics
/// When this is not root.
#[must_use]
pub fn can_observe() -> bool {
    assert!(
        nix::unistd::geteuid().is_root(),
        "NOT RUN: loading BPF programs needs root; `cargo xtask test` runs this test as root"
    );
    true
}

/// A number in `/proc/PID/stat`, by its place in proc(5), from 4 on; `None` if the process is gone.
#[must_use]
pub fn stat_field(pid: &str, place: usize) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, which may hold anything, is in brackets; field 3 comes behind it.
    stat.rsplit(") ").next()?.split(' ').nth(place.checked_sub(3)?)?.trim().parse().ok()
}

/// Folded stacks: their frames, root first, and their counts.
///
/// # Panics
/// When a line has no count.
#[must_use]
pub fn folded(text: &str) -> Vec<(Vec<String>, u64)> {
    let stacks = text.lines().map(|line| {
        let (stack, count) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no count in {line:?}"));
        let count = count.parse().unwrap_or_else(|_| panic!("no count in {line:?}"));
        (stack.split(';').map(str::to_owned).collect(), count)
    });
    stacks.collect()
}
