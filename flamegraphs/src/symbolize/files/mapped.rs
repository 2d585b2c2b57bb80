//! A mapped file, and what is open of it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use opener::file::Mapped;
use opener::{Held, Owner, Place, Stamp};
use profile::{FrameName, Unnamed};

use super::tables::Tables;
use crate::python::Interpreter;
use crate::symbolize::elf::Image;

/// A file as `maps` names it: device, inode, path, and [space](opener::process::space). The path is part of it: overlay mounts
/// show one inode for many files. So is the space: of a Btrfs all subvolumes show one device, and a user can mount another
/// one over a path in a namespace of its own.
pub(crate) type Key = (u64, u64, String, u64);

/// A mapped file; shared by all mappings of it.
#[derive(Debug)]
pub(crate) struct MappedFile {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) deleted: bool,
    pub(super) path: PathBuf,
    /// The same, for frames.
    pub(super) module: Arc<str>,
    /// File name alone, for `[libfoo.so+0x1a2b]`.
    pub(super) label: Arc<str>,
    pub(super) key: Key,
    pub(super) opened: RefCell<Opened>,
}

#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) file: Option<Arc<Held>>,
    pub(super) image: Option<Arc<Image>>,
    /// What distinguishes one content from another for [`NameCache`].
    pub(super) content: u32,
    /// The file's stamp when `content` was given.
    pub(super) stamp: Option<Stamp>,
    /// The tables that blazesym has, once it has been asked.
    pub(super) cached: Option<Tables>,
    pub(super) used: u64,
    /// A process that has it mapped: its root has its debug files.
    pub(super) tgid: u32,
    /// Who answers for what is in it.
    pub(super) uid: u32,
    /// Only root can have written what is in it.
    pub(super) trusted: bool,
    /// Its debug file may come in from a server.
    pub(super) awaits: bool,
    /// The CPython in it.
    pub(super) python: Option<Arc<Interpreter>>,
}

impl Opened {
    /// Who pays for reading it, on this device.
    pub(super) const fn owner(&self, dev: u64) -> Owner {
        Owner { uid: self.uid, place: Place::Device(dev) }
    }
}

impl MappedFile {
    pub(super) fn new(key: &Key, deleted: bool) -> Self {
        let (dev, ino, path, _) = key;
        let (dev, ino, key) = (*dev, *ino, key.clone());
        let module = path.as_str().into();
        let path = PathBuf::from(path);
        let label = path.file_name().map_or("?".into(), |name| name.to_string_lossy().into());
        Self { dev, ino, deleted, path, module, label, key, opened: RefCell::default() }
    }

    /// It, where process `tgid` has it mapped, to be opened.
    pub(crate) fn mapped(&self, tgid: u32, range: (u64, u64)) -> Mapped {
        Mapped { tgid, range, ino: self.ino, path: self.path.clone(), deleted: self.deleted }
    }

    /// What distinguishes its content, once it has been opened.
    pub(crate) fn content(&self) -> u32 {
        self.opened.borrow().content
    }

    /// The CPython in it, once it has been opened.
    pub(crate) fn interpreter(&self) -> Option<Arc<Interpreter>> {
        self.opened.borrow().python.clone()
    }

    /// Path as the process sees it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same, for frames.
    pub(crate) fn module(&self) -> &Arc<str> {
        &self.module
    }

    /// File name alone.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }
}

/// `[libfoo.so+0x1a2b]`.
pub(crate) fn stand_in(label: &str, vaddr: u64, reason: Unnamed) -> FrameName {
    FrameName::unnamed(format!("[{label}+{vaddr:#x}]"), reason)
}
