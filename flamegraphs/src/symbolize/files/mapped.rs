//! A mapped file, and what is open of it.

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::tables::Tables;
use crate::coverage::Unnamed;
use crate::names::FrameName;
use crate::python::Interpreter;
use crate::symbolize::elf::Image;

/// A file as `maps` names it. The path is part of it: overlay mounts show one inode for many files.
pub(crate) type Key = (u64, u64, String);

/// A mapped file; shared by all mappings of it.
#[derive(Debug)]
pub(crate) struct MappedFile {
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
    pub(super) file: Option<File>,
    pub(super) image: Option<Arc<Image>>,
    /// What distinguishes one content from another for [`NameCache`].
    pub(super) content: u32,
    /// Size, mtime and ctime when `content` was given.
    pub(super) stamp: (u64, i64, i64, i64),
    /// The tables that blazesym has, once it has been asked.
    pub(super) cached: Option<Tables>,
    pub(super) used: u64,
    /// A process that has it mapped: its root has its debug files.
    pub(super) tgid: u32,
    /// Its debug file may come in from a server.
    pub(super) awaits: bool,
    /// Its debug info is broken.
    pub(super) plain: bool,
    /// The CPython in it.
    pub(super) python: Option<Rc<Interpreter>>,
}

impl MappedFile {
    pub(super) fn new(dev: u64, ino: u64, path: &str, deleted: bool) -> Self {
        let key = (dev, ino, path.to_owned());
        let module = path.into();
        let path = PathBuf::from(path);
        let label = path.file_name().map_or("?".into(), |name| name.to_string_lossy().into());
        Self { ino, deleted, path, module, label, key, opened: RefCell::default() }
    }

    /// What distinguishes its content, once it has been opened.
    pub(crate) fn content(&self) -> u32 {
        self.opened.borrow().content
    }

    /// The CPython in it, once it has been opened.
    pub(crate) fn interpreter(&self) -> Option<Rc<Interpreter>> {
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
