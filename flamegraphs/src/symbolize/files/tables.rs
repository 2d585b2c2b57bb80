//! What blazesym reads of a file: symbols and debug info, in memory of ours.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use opener::file::Root;

use super::answer::DebugName;
use crate::symbolize::debug;
use crate::symbolize::elf::{Content, Image};
use crate::symbolize::go::GoTable;
use crate::symbolize::spread::{Places, Spread};

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
    /// Debug info of which a part is in other files: in place of what blazesym would make of it.
    pub(super) spread: Option<Spread>,
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
        tables.bytes += tables.go.as_ref().map_or(0, GoTable::bytes);
        Ok(tables)
    }

    fn copy(file: &File, image: &Image, places: &Places, debug_bytes: u64) -> io::Result<Self> {
        let debug = debug_bytes > 0;
        let may_be = debug && image.may_be_spread();
        let spread = may_be.then(|| Spread::read(file, places, debug_bytes)).flatten();
        let content = if debug && spread.is_none() { Content::Debug } else { Content::Symbols };
        let bytes = image.bytes(content) + spread.as_ref().map_or(0, Spread::bytes);
        Ok(Self { copy: image.snapshot(file, content)?, bytes, debug, spread, go: None })
    }

    /// What debug info in several files says of `vaddrs`, if it is there.
    pub(super) fn debug_names(&self, vaddrs: &[u64]) -> Option<Vec<Option<DebugName<'static>>>> {
        let spread = self.spread.as_ref()?;
        Some(vaddrs.iter().map(|vaddr| spread.find(*vaddr)).collect())
    }

    /// What blazesym knows them by. Evict before the descriptor is closed: its number will be used again.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.copy.as_raw_fd()))
    }
}
