//! The ELF files that processes map: opened once and held, so that a deleted binary or an exited
//! container still gives names; and what blazesym caches of them, under a budget.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use blazesym::symbolize::evict::{self, Evict};
use blazesym::symbolize::source::{Elf, Process, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};

use super::cache::NameCache;
use super::elf::Image;
use super::maps::{Backing, Mapping};
use super::name::readable;
use crate::coverage::Unnamed;
use crate::names::FrameName;

/// Files held open at most, one descriptor each; those whose tables are cached take two more. The usual limit
/// of a service is 1,024.
const MAX_OPEN: usize = 256;
/// Files remembered at most (~300 bytes each) before those no process maps any more are forgotten.
const MAX_KNOWN: usize = 4096;
/// Build IDs remembered at most (~100 bytes each); beyond it names are looked up anew.
const MAX_CONTENTS: usize = 16 * 1024;
/// Where distributions put separate symbol files, by build ID.
const DEBUG_DIR: &str = "/usr/lib/debug/.build-id";

/// A file as `maps` names it. The path is part of it: overlay mounts show one inode for many files.
type Key = (u64, u64, String);

/// A mapped file; shared by all mappings of it.
#[derive(Debug)]
pub(crate) struct MappedFile {
    ino: u64,
    deleted: bool,
    path: PathBuf,
    /// File name alone, for `[libfoo.so+0x1a2b]`.
    label: Arc<str>,
    opened: RefCell<Opened>,
}

#[derive(Debug, Default)]
struct Opened {
    file: Option<File>,
    image: Option<Arc<Image>>,
    /// What distinguishes one content from another for [`NameCache`].
    content: u32,
    /// Size, mtime and ctime when `content` was given.
    stamp: (u64, i64, i64, i64),
    /// The tables that blazesym has, once it has been asked.
    cached: Option<Tables>,
    used: u64,
}

/// The symbol tables of a file, in memory of ours.
#[derive(Debug)]
struct Tables {
    copy: File,
    bytes: u64,
}

impl Tables {
    /// What blazesym knows them by. Evict before the descriptor is closed: its number will be used again.
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.copy.as_raw_fd()))
    }
}

/// All mapped files, and blazesym.
pub(crate) struct Files {
    known: HashMap<Key, Rc<MappedFile>>,
    symbolizer: Symbolizer,
    /// Build ID (or number) → content id: the same library in two images is symbolized once.
    contents: HashMap<Box<[u8]>, u32>,
    next_content: u32,
    open: usize,
    table_bytes: u64,
    clock: u64,
    budget: u64,
    evicted: u64,
}

impl Files {
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            known: HashMap::new(),
            // Names only: source lines and inlined functions cost ~100 times the memory.
            // Reload is off since a path here is memory of ours, which does not change.
            symbolizer: Symbolizer::builder()
                .enable_code_info(false)
                .enable_inlined_fns(false)
                .enable_demangling(false)
                .enable_auto_reload(false)
                .build(),
            contents: HashMap::new(),
            next_content: 1,
            open: 0,
            table_bytes: 0,
            clock: 0,
            budget,
            evicted: 0,
        }
    }

    /// The file behind `mapping`, if a file is behind it.
    pub(crate) fn intern(&mut self, mapping: &Mapping) -> Option<Rc<MappedFile>> {
        let Backing::File { dev, ino, path, deleted } = &mapping.backing else { return None };
        if self.known.len() >= MAX_KNOWN {
            self.forget_unmapped();
        }
        let file = self.known.entry((*dev, *ino, path.clone())).or_insert_with(|| {
            let path = PathBuf::from(path);
            let label = path.file_name().map_or("?".into(), |name| name.to_string_lossy().into());
            let opened = RefCell::default();
            Rc::new(MappedFile { ino: *ino, deleted: *deleted, path, label, opened })
        });
        Some(Rc::clone(file))
    }

    /// Opens `file` through process `tgid`'s `mapping`, if it is not open. Returns its headers.
    pub(crate) fn open(
        &mut self,
        tgid: u32,
        mapping: (u64, u64),
        file: &MappedFile,
    ) -> Result<Arc<Image>, Unnamed> {
        self.clock += 1;
        let mut opened = file.opened.borrow_mut();
        opened.used = self.clock;
        if opened.file.is_none()
            && let Some(handle) = open_mapped(tgid, mapping, (file.ino, &file.path, file.deleted))
        {
            opened.file = Some(handle);
            self.open += 1;
        }
        let Some(handle) = &opened.file else {
            // Its names may still be cached.
            return opened.image.clone().ok_or(Unnamed::FileGone);
        };
        let stamp = handle.metadata().map(|meta| stamp(&meta)).unwrap_or_default();
        if opened.image.is_none() || stamp != opened.stamp {
            // New, or written to in place since: then its build ID is not to be trusted.
            let image = Image::read(handle).map(Arc::new);
            let build_id = image.as_ref().and_then(|image| image.build_id.clone());
            let build_id = build_id.filter(|_| opened.content == 0);
            self.uncache(&mut opened);
            opened.stamp = stamp;
            opened.content = self.content(build_id);
            opened.image = image;
        }
        let result = opened.image.clone().ok_or(Unnamed::NotElf);
        drop(opened);
        if self.open > MAX_OPEN {
            self.close_oldest();
        }
        result
    }

    /// The number of a content: one a build ID, a new one each time without.
    fn content(&mut self, build_id: Option<Box<[u8]>>) -> u32 {
        let next = self.next_content;
        if self.contents.len() >= MAX_CONTENTS {
            self.contents.clear();
        }
        let content = build_id.map_or(next, |id| *self.contents.entry(id).or_insert(next));
        self.next_content += u32::from(content == next);
        content
    }

    /// Names of `vaddrs` (sorted) of `file`, which [`Self::open`] has opened; in order.
    pub(crate) fn names(
        &mut self,
        file: &MappedFile,
        vaddrs: &[u64],
        cache: &mut NameCache,
    ) -> Vec<FrameName> {
        let mut opened = file.opened.borrow_mut();
        let content = opened.content;
        let mut names: Vec<Option<FrameName>> =
            vaddrs.iter().map(|&vaddr| cache.get(content, vaddr)).collect();
        let missing: Vec<u64> =
            vaddrs.iter().zip(&names).filter(|(_, name)| name.is_none()).map(|(&vaddr, _)| vaddr).collect();
        if !missing.is_empty() {
            let mut found = self.symbolize(&mut opened, file, &missing).into_iter();
            for (name, &vaddr) in names.iter_mut().zip(vaddrs).filter(|(name, _)| name.is_none()) {
                let fresh = found.next().unwrap_or_else(|| stand_in(&file.label, vaddr, Unnamed::Failed));
                if !matches!(fresh.unnamed, Some(Unnamed::Failed | Unnamed::FileGone)) {
                    cache.insert(content, vaddr, fresh.clone());
                }
                *name = Some(fresh);
            }
        }
        names.into_iter().flatten().collect()
    }

    fn symbolize(&mut self, opened: &mut Opened, file: &MappedFile, vaddrs: &[u64]) -> Vec<FrameName> {
        let all = |reason| vaddrs.iter().map(|&vaddr| stand_in(&file.label, vaddr, reason)).collect();
        if opened.cached.is_none() {
            let (Some(handle), Some(image)) = (&opened.file, &opened.image) else {
                return all(Unnamed::FileGone);
            };
            match tables(handle, image) {
                Ok(cached) => {
                    self.table_bytes += cached.bytes;
                    opened.cached = Some(cached);
                }
                Err(error) => {
                    tracing::debug!(file = %file.path.display(), %error, "cannot read the symbol tables");
                    return all(Unnamed::Failed);
                }
            }
        }
        let Some(cached) = &opened.cached else { return all(Unnamed::Failed) };
        let mut elf = Elf::new(cached.path());
        elf.debug_syms = false;
        match self.symbolizer.symbolize(&Source::Elf(elf), Input::VirtOffset(vaddrs)) {
            Ok(symbols) => names_of(&symbols, |at, reason| stand_in(&file.label, vaddrs[at], reason)),
            Err(error) => {
                tracing::debug!(file = %file.path.display(), %error, "cannot symbolize");
                all(Unnamed::Failed)
            }
        }
    }

    /// Names of addresses in the vDSO, given as our own process' addresses.
    pub(crate) fn vdso_names(&self, addrs: &[u64]) -> Vec<FrameName> {
        let mut process = Process::new(blazesym::Pid::Slf);
        process.map_files = false;
        process.perf_map = false;
        let stand_in = |reason| FrameName::unnamed("[vdso]", reason);
        match self.symbolizer.symbolize(&Source::Process(process), Input::AbsAddr(addrs)) {
            Ok(symbols) => names_of(&symbols, |_, reason| stand_in(reason)),
            Err(_) => addrs.iter().map(|_| stand_in(Unnamed::Failed)).collect(),
        }
    }

    /// Drops what blazesym holds of the files used longest ago, until it is within the budget.
    pub(crate) fn enforce_budget(&mut self) {
        if self.table_bytes <= self.budget {
            return;
        }
        let mut cached: Vec<(u64, Rc<MappedFile>)> = self
            .known
            .values()
            .filter(|file| file.opened.borrow().cached.is_some())
            .map(|file| (file.opened.borrow().used, Rc::clone(file)))
            .collect();
        cached.sort_unstable_by_key(|(used, _)| *used);
        for (_, file) in cached {
            if self.table_bytes <= self.budget {
                break;
            }
            self.evicted += 1;
            self.uncache(&mut file.opened.borrow_mut());
        }
    }

    /// Files known, files open, bytes of symbol tables blazesym holds, files evicted so far.
    pub(crate) fn counts(&self) -> (usize, usize, u64, u64) {
        (self.known.len(), self.open, self.table_bytes, self.evicted)
    }

    fn uncache(&mut self, opened: &mut Opened) {
        if let Some(cached) = opened.cached.take() {
            self.table_bytes -= cached.bytes;
            if let Err(error) = self.symbolizer.evict(&Evict::Elf(evict::Elf::new(cached.path()))) {
                tracing::debug!(%error, "cannot evict");
            }
        }
    }

    /// Closes files while too many are open. Their names are found again by path, if that still leads to them.
    fn close_oldest(&mut self) {
        let mut open: Vec<(u64, Rc<MappedFile>)> = self
            .known
            .values()
            .filter(|file| file.opened.borrow().file.is_some())
            .map(|file| (file.opened.borrow().used, Rc::clone(file)))
            .collect();
        open.sort_unstable_by_key(|(used, _)| *used);
        // A quarter at once, so that this is not paid for at each file.
        for (_, file) in open.iter().take(MAX_OPEN / 4) {
            let mut opened = file.opened.borrow_mut();
            self.uncache(&mut opened);
            opened.file = None;
            self.open -= 1;
        }
    }

    fn forget_unmapped(&mut self) {
        let gone: Vec<Key> = self
            .known
            .iter()
            .filter(|(_, file)| Rc::strong_count(file) == 1)
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            if let Some(file) = self.known.remove(&key) {
                let mut opened = file.opened.borrow_mut();
                self.uncache(&mut opened);
                self.open -= usize::from(opened.file.is_some());
            }
        }
    }
}

impl MappedFile {
    /// What distinguishes its content, once it has been opened.
    pub(crate) fn content(&self) -> u32 {
        self.opened.borrow().content
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

/// blazesym's answers as names; consecutive answers with one symbol share its text.
fn names_of(symbols: &[Symbolized<'_>], stand_in: impl Fn(usize, Unnamed) -> FrameName) -> Vec<FrameName> {
    let mut last: Option<(u64, FrameName)> = None;
    symbols
        .iter()
        .enumerate()
        .map(|(at, symbol)| match symbol {
            Symbolized::Sym(symbol) => match &last {
                Some((addr, name)) if *addr == symbol.addr => name.clone(),
                _ => last.insert((symbol.addr, FrameName::named(readable(&symbol.name).into()))).1.clone(),
            },
            Symbolized::Unknown(blazesym::symbolize::Reason::IgnoredError) => stand_in(at, Unnamed::Failed),
            Symbolized::Unknown(_) => stand_in(at, Unnamed::Stripped),
        })
        .collect()
}

/// Opens the very file that is mapped: through `map_files` (right for deleted files and other mount
/// namespaces; needs `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE`), else by path if the inode is the same.
pub(crate) fn open_mapped(
    tgid: u32,
    (start, end): (u64, u64),
    (ino, path, deleted): (u64, &Path, bool),
) -> Option<File> {
    if let Some(handle) = open_plain(Path::new(&format!("/proc/{tgid}/map_files/{start:x}-{end:x}"))) {
        return Some(handle);
    }
    if deleted {
        return None;
    }
    let relative = path.strip_prefix("/").unwrap_or(path);
    [Path::new(&format!("/proc/{tgid}/root")).join(relative), path.to_path_buf()].iter().find_map(|path| {
        let handle = open_plain(path)?;
        let meta = handle.metadata().ok()?;
        // Overlay and btrfs show another device in `maps` than in `stat`, but the inode is what it is.
        (meta.ino() == ino).then_some(handle)
    })
}

/// Opens a regular file for reading, without waiting for anything.
fn open_plain(path: &Path) -> Option<File> {
    let handle =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    handle.metadata().ok()?.is_file().then_some(handle)
}

fn stamp(meta: &std::fs::Metadata) -> (u64, i64, i64, i64) {
    (meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ino() as i64)
}

/// Copies the symbol tables of `file`, or those of its separate symbol file if it is stripped and has one.
fn tables(file: &File, image: &Image) -> io::Result<Tables> {
    if let Some(debug) = debug_file(image)
        && let Some(separate) = Image::read(&debug).filter(|separate| separate.has_symtab)
    {
        return Ok(Tables { copy: separate.snapshot(&debug)?, bytes: separate.symbol_bytes() });
    }
    Ok(Tables { copy: image.snapshot(file)?, bytes: image.symbol_bytes() })
}

/// The separate symbol file of a stripped `image`, if it is installed.
fn debug_file(image: &Image) -> Option<File> {
    if image.has_symtab {
        return None;
    }
    let (first, rest) = image.build_id.as_ref()?.split_first()?;
    let rest = rest.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    open_plain(&Path::new(DEBUG_DIR).join(format!("{first:02x}/{rest}.debug")))
}
