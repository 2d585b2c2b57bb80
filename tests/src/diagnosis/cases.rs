//! The cases.

mod cpu;
mod decoys;
mod disk;
mod locks;
mod memory;
mod net;
mod process;

use super::Case;

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [cpu::CASES, disk::CASES, memory::CASES, locks::CASES, net::CASES, process::CASES, decoys::CASES]
        .into_iter()
        .flatten()
}

/// One by its name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Case> {
    all().find(|case| case.name == name)
}
