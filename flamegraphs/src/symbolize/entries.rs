//! The readers of foreign input, for [`crate::fuzz`].

use std::fs::File;
use std::path::Path;

use opener::file::Root;

use super::dwarf::{DebugInfo, Places};
use super::elf::Image;
use super::go::GoTable;
use super::jitdump::Dump;
use super::{name, perf_map};
use crate::maps;

/// Addresses asked for: the ends, and what small inputs hold.
const ADDRS: [u64; 8] = [0, 1, 0x10, 0x1000, 0x1040, 0x7f00_0000_1000, 1 << 63, u64::MAX];

pub(crate) fn perf_map(bytes: &[u8]) {
    let mut functions = perf_map::parse(bytes);
    for addr in ADDRS {
        functions.find(addr);
    }
    assert!(functions.bytes() < 64 * bytes.len() + 64);
}

pub(crate) fn jitdump(file: &File) {
    let mut dump = Dump::new(Path::new("/tmp/jit-1.dump"));
    dump.read_on(file);
    dump.read_on(file);
    for addr in ADDRS {
        dump.find(addr);
    }
}

pub(crate) fn maps(bytes: &[u8]) {
    let found = maps::parse(bytes);
    assert!(found.len() <= bytes.len());
}

pub(crate) fn elf(file: &File) {
    let Some(image) = Image::read(file) else { return };
    for addr in ADDRS {
        image.vaddr(addr);
    }
    // Sizes may be made up: a refusal is an answer.
    let _ = image.snapshot(file);
    // Of debug info in several files this one is all that there is.
    let nowhere = Places { root: Root::Own, path: "/nonexistent/program".into(), trusted: true };
    if let Some(own) = DebugInfo::read(file, &nowhere, 1 << 20) {
        let _ = own.find_all(&ADDRS);
    }
    if let Some(table) = GoTable::read(file, &image) {
        let _ = ADDRS.map(|addr| table.find(addr));
    }
}

pub(crate) fn go_table(bytes: &[u8]) {
    if let Some(table) = GoTable::parse(bytes.to_vec(), 0x1000) {
        let _ = ADDRS.map(|addr| table.find(addr));
    }
}

pub(crate) fn name(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(name::readable(text).len() <= name::MAX_NAME);
    }
}
