//! What blazesym reads of a file: symbols and debug info, in memory of ours.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use opener::file::Root;

use crate::symbolize::debug;
use crate::symbolize::elf::{Content, Image};
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

/// The symbol tables, and debug info, of a file, in memory of ours.
#[derive(Debug)]
pub(super) struct Tables {
    copy: File,
    pub(super) bytes: u64,
    /// With debug info.
    pub(super) debug: bool,
    /// Go's function table, of a program without symbols.
    pub(super) go: Option<GoTable>,
}

impl Tables {
    /// Copies them from `file`, or from its separate debug file if it has one and less itself. May wait for file systems.
    pub(super) fn read(file: &File, image: &Image, wanted: &Wanted) -> io::Result<Self> {
        let Wanted { debug_bytes, .. } = *wanted;
        let fits = |image: &Image| {
            debug_bytes > 0 && image.has_debug_info() && image.bytes(Content::Debug) <= debug_bytes
        };
        if !fits(image)
            && (debug_bytes > 0 || !image.has_symtab())
            && let Some((separate, its)) = debug::find(image, &wanted.path, wanted.root, wanted.trusted)
            && (fits(&its) || (!image.has_symtab() && its.has_symtab()))
        {
            return Self::copy(&separate, &its, fits(&its));
        }
        let mut tables = Self::copy(file, image, fits(image))?;
        tables.go = if image.has_symtab() { None } else { GoTable::read(file, image) };
        tables.bytes += tables.go.as_ref().map_or(0, GoTable::bytes);
        Ok(tables)
    }

    fn copy(file: &File, image: &Image, debug: bool) -> io::Result<Self> {
        let content = if debug { Content::Debug } else { Content::Symbols };
        Ok(Self { copy: image.snapshot(file, content)?, bytes: image.bytes(content), debug, go: None })
    }

    /// What blazesym knows them by. Evict before the descriptor is closed: its number will be used again.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.copy.as_raw_fd()))
    }
}
