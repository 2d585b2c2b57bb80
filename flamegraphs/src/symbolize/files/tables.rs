//! What names are read from: symbol tables, for blazesym in memory of ours, and debug info.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use opener::file::Root;

use crate::symbolize::debug;
use crate::symbolize::dwarf::{DebugInfo, Places};
use crate::symbolize::elf::Image;
use crate::symbolize::go::GoTable;

/// What to look for.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Path of the file, as the process sees it.
    pub(super) path: PathBuf,
    /// Root of a process that has it mapped.
    pub(super) root: Root,
    /// The file is one that only root can have written: so must its debug file be.
    pub(super) trusted: bool,
    /// Bytes of debug info at most.
    pub(super) debug_bytes: u64,
}

/// The symbol tables of a file, in memory of ours, and its debug info.
#[derive(Debug)]
pub(super) struct Tables {
    copy: File,
    symbol_bytes: u64,
    /// Inlined functions and lines.
    pub(super) debug: Option<DebugInfo>,
    /// Go's function table, of a program without symbols.
    pub(super) go: Option<GoTable>,
}

impl Tables {
    /// Copies them from `file`, or from its separate debug file if it has one and less itself. May wait for file systems.
    pub(super) fn read(file: &File, image: &Image, wanted: &Wanted) -> io::Result<Self> {
        let Wanted { debug_bytes, .. } = *wanted;
        let fits =
            |image: &Image| debug_bytes > 0 && image.debug_bytes().is_some_and(|bytes| bytes <= debug_bytes);
        if !fits(image)
            && (debug_bytes > 0 || !image.has_symtab())
            && let Some((separate, its, found)) =
                debug::find(image, &wanted.path, wanted.root, wanted.trusted)
            && (fits(&its) || (!image.has_symtab() && its.has_symtab()))
        {
            let places = Places { root: found.0, path: found.1, trusted: wanted.trusted };
            return Self::copy(&separate, &its, &places, if fits(&its) { debug_bytes } else { 0 });
        }
        let places = Places { root: wanted.root, path: wanted.path.clone(), trusted: wanted.trusted };
        let mut tables = Self::copy(file, image, &places, if fits(image) { debug_bytes } else { 0 })?;
        tables.go = if image.has_symtab() { None } else { GoTable::read(file, image) };
        Ok(tables)
    }

    fn copy(file: &File, image: &Image, places: &Places, debug_bytes: u64) -> io::Result<Self> {
        let debug = (debug_bytes > 0).then(|| DebugInfo::read(file, places, debug_bytes)).flatten();
        Ok(Self { copy: image.snapshot(file)?, symbol_bytes: image.symbol_bytes(), debug, go: None })
    }

    /// Memory.
    pub(super) fn bytes(&self) -> u64 {
        let debug = self.debug.as_ref().map_or(0, DebugInfo::bytes);
        self.symbol_bytes + debug + self.go.as_ref().map_or(0, GoTable::bytes)
    }

    /// What blazesym knows them by. Evict before the descriptor is closed: its number will be used again.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.copy.as_raw_fd()))
    }
}
