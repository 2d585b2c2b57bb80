//! The ELF files that processes map: opened once and held, so that a deleted binary or an exited
//! container still gives names; and what blazesym caches of them, under a budget.

mod answer;
mod mapped;
mod open;
mod tables;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use blazesym::symbolize::evict::{self, Evict};
use blazesym::symbolize::source::{Elf, Process, Source};
use blazesym::symbolize::{Input, Reason, Symbolized, Symbolizer};

use super::SymbolizerOptions;
use super::cache::NameCache;
use super::debuginfod::{self, Debuginfod};
use super::elf::Image;
use super::maps::{Backing, Mapping};
use crate::coverage::Unnamed;
use crate::names::FrameName;
use crate::python::Interpreter;
use answer::names_of;
use mapped::Opened;
pub(super) use mapped::{Key, MappedFile, stand_in};
pub(crate) use open::open_mapped;
pub(super) use open::open_plain;
use open::stamp;
use tables::Tables;

/// Files held open at most, one descriptor each; those whose tables are cached take two more. The usual limit
/// of a service is 1,024.
const MAX_OPEN: usize = 256;
/// Files remembered at most (~300 bytes each) before those no process maps any more are forgotten.
const MAX_KNOWN: usize = 4096;
/// Build IDs remembered at most (~100 bytes each); beyond it names are looked up anew.
const MAX_CONTENTS: usize = 16 * 1024;

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
    options: SymbolizerOptions,
    debuginfod: Debuginfod,
    evicted: u64,
    /// What blazesym is at work on: if it panics, this is what it cannot cope with.
    at_work: Option<Key>,
    /// What it could not cope with.
    pub(super) shunned: HashSet<Key>,
}

impl Files {
    pub(crate) fn new(options: SymbolizerOptions) -> Self {
        let debug = options.debug_bytes > 0;
        Self {
            known: HashMap::new(),
            // Reload is off since a path here is memory of ours, which does not change.
            symbolizer: Symbolizer::builder()
                .enable_code_info(debug)
                .enable_inlined_fns(debug)
                .enable_demangling(false)
                .enable_auto_reload(false)
                .build(),
            contents: HashMap::new(),
            next_content: 1,
            open: 0,
            table_bytes: 0,
            clock: 0,
            options,
            debuginfod: Debuginfod::new(options.debuginfod),
            evicted: 0,
            at_work: None,
            shunned: HashSet::new(),
        }
    }

    /// The file behind `mapping`, if a file is behind it.
    pub(crate) fn intern(&mut self, mapping: &Mapping) -> Option<Rc<MappedFile>> {
        let Backing::File { dev, ino, path, deleted } = &mapping.backing else { return None };
        if self.known.len() >= MAX_KNOWN {
            self.forget_unmapped();
        }
        let file = self
            .known
            .entry((*dev, *ino, path.clone()))
            .or_insert_with(|| Rc::new(MappedFile::new(*dev, *ino, path, *deleted)));
        Some(Rc::clone(file))
    }

    /// The file at `path`, open.
    pub(crate) fn of_path(&mut self, path: &Path) -> io::Result<Rc<MappedFile>> {
        let handle = open_plain(path).ok_or(io::ErrorKind::NotFound)?;
        let meta = handle.metadata()?;
        let text = std::path::absolute(path)?.to_string_lossy().into_owned();
        let (dev, ino) = (meta.dev(), meta.ino());
        let file = self
            .known
            .entry((dev, ino, text))
            .or_insert_with_key(|(dev, ino, text)| Rc::new(MappedFile::new(*dev, *ino, text, false)));
        let file = Rc::clone(file);
        {
            let mut opened = file.opened.borrow_mut();
            self.open += usize::from(opened.file.is_none());
            opened.file = Some(handle);
        }
        self.open(std::process::id(), (0, 0), &file).map_err(|reason| io::Error::other(reason.as_str()))?;
        Ok(file)
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
            opened.tgid = tgid;
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
            let may_be = Interpreter::may_be_in(&file.path);
            let python = may_be.then(|| Interpreter::read(handle, &file.path)).flatten();
            self.uncache(&mut opened);
            opened.stamp = stamp;
            opened.content = self.content(build_id);
            opened.image = image;
            opened.python = python.map(Rc::new);
            opened.awaits = false;
            opened.plain = false;
        }
        self.take_in(&mut opened);
        let result = opened.image.clone().ok_or(Unnamed::NotElf);
        drop(opened);
        if self.open > MAX_OPEN {
            self.close_oldest();
        }
        result
    }

    /// Forgets what was found without the debug file that a server has sent since.
    fn take_in(&mut self, opened: &mut Opened) {
        let id = opened.image.as_ref().and_then(|image| image.build_id.clone());
        if opened.awaits
            && let Some(id) = id
            && debuginfod::cached(&id).is_some_and(|path| path.exists())
        {
            opened.awaits = false;
            self.uncache(opened);
            self.contents.remove(&id);
            opened.content = self.content(Some(id));
        }
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
        if self.shunned.contains(&file.key) {
            return all(Unnamed::Failed);
        }
        loop {
            if opened.cached.is_none() {
                let (Some(handle), Some(image)) = (&opened.file, &opened.image) else {
                    return all(Unnamed::FileGone);
                };
                let root = PathBuf::from(format!("/proc/{}/root", opened.tgid));
                let debug_bytes = if opened.plain { 0 } else { self.options.debug_bytes };
                match Tables::read(handle, image, (&file.path, &root), debug_bytes) {
                    Ok(tables) => {
                        self.table_bytes += tables.bytes;
                        if !tables.debug
                            && !opened.plain
                            && let Some(id) = &image.build_id
                        {
                            opened.awaits = self.debuginfod.ask(id);
                        }
                        opened.cached = Some(tables);
                    }
                    Err(error) => {
                        tracing::debug!(file = %file.path.display(), %error, "cannot read the symbol tables");
                        return all(Unnamed::Failed);
                    }
                }
            }
            let Some(tables) = &opened.cached else { return all(Unnamed::Failed) };
            self.at_work = Some(file.key.clone());
            let answer = self.answers(tables, file, vaddrs);
            self.at_work = None;
            match answer {
                Ok(names) => return names,
                Err(error) if tables.debug => {
                    tracing::debug!(file = %file.path.display(), %error, "its debug info is broken");
                    opened.plain = true;
                    self.uncache(opened);
                }
                Err(error) => {
                    tracing::debug!(file = %file.path.display(), %error, "cannot symbolize");
                    return all(Unnamed::Failed);
                }
            }
        }
    }

    /// What symbol tables and, if there is, debug info say; of a Go program without symbols its own table.
    fn answers(
        &self,
        tables: &Tables,
        file: &MappedFile,
        vaddrs: &[u64],
    ) -> Result<Vec<FrameName>, blazesym::Error> {
        let mut elf = Elf::new(tables.path());
        elf.debug_syms = false;
        let symbols = self.symbolizer.symbolize(&Source::Elf(elf.clone()), Input::VirtOffset(vaddrs))?;
        let debug = if tables.debug {
            elf.debug_syms = true;
            self.symbolizer.symbolize(&Source::Elf(elf), Input::VirtOffset(vaddrs))?
        } else {
            Vec::new()
        };
        let go = |at: usize| tables.go.as_ref().and_then(|go| go.find(vaddrs[at]));
        Ok(names_of(&symbols, &debug, &file.module, |at, reason| match go(at) {
            Some(name) => FrameName::named(name.into()),
            None => stand_in(&file.label, vaddrs[at], reason),
        }))
    }

    /// After a panic: what is never to be asked about again.
    pub(crate) fn take_shunned(&mut self) -> HashSet<Key> {
        let mut shunned = std::mem::take(&mut self.shunned);
        shunned.extend(self.at_work.take());
        shunned
    }

    /// Names of addresses in the vDSO, given as our own process' addresses.
    pub(crate) fn vdso_names(&self, addrs: &[u64]) -> Vec<FrameName> {
        let mut process = Process::new(blazesym::Pid::Slf);
        process.map_files = false;
        process.perf_map = false;
        let stand_in = |reason| FrameName::unnamed("[vdso]", reason);
        match self.symbolizer.symbolize(&Source::Process(process), Input::AbsAddr(addrs)) {
            Ok(mut symbols) => {
                for symbol in &mut symbols {
                    // The symbol of its version, at address 0, is no function.
                    if symbol.as_sym().is_some_and(|symbol| symbol.name.starts_with("LINUX_")) {
                        *symbol = Symbolized::Unknown(Reason::UnknownAddr);
                    }
                }
                names_of(&symbols, &[], &"[vdso]".into(), |_, reason| stand_in(reason))
            }
            Err(_) => addrs.iter().map(|_| stand_in(Unnamed::Failed)).collect(),
        }
    }

    /// Drops what blazesym holds of the files used longest ago, until it is within the budget.
    pub(crate) fn enforce_budget(&mut self) {
        if self.table_bytes <= self.options.table_bytes {
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
            if self.table_bytes <= self.options.table_bytes {
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
