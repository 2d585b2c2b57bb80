//! The ELF files that processes map. Each is opened once and kept open, so that a deleted binary or an exited container still
//! gives names. What blazesym caches of them has a budget.
//!
//! Each call that touches a file runs on a worker of `opener`: its file system may never answer.

mod answer;
mod look;
mod mapped;
mod tables;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blazesym::symbolize::evict::{self, Evict};
use blazesym::symbolize::source::{Elf, Process, Source};
use blazesym::symbolize::{Input, Reason, Symbolized, Symbolizer};
use profile::{FrameName, Unnamed};

use opener::file::Root;
use opener::{Owner, Refused, Workers};

use super::SymbolizerOptions;
use super::asker::Asker;
use super::cache::NameCache;
use super::debuginfod::{self, Debuginfod};
use super::elf::Image;
use super::unread;
use crate::maps::{Backing, Mapping};
use answer::names_of;
pub(super) use answer::{DebugName, Line};
use look::Looked;
use mapped::Opened;
pub(super) use mapped::{Key, MappedFile, stand_in};
use tables::{Tables, Wanted};

/// Most files that are kept open, one descriptor each; those whose tables are cached take two more. The usual limit of a
/// service is 1,024.
const MAX_OPEN: usize = 256;
/// Files remembered at most (~300 bytes each) before those no process maps any more are forgotten.
const MAX_KNOWN: usize = 4096;
/// Build IDs remembered at most (~100 bytes each); beyond it names are looked up anew.
const MAX_CONTENTS: usize = 16 * 1024;

/// All mapped files, and blazesym.
pub(crate) struct Files {
    /// Threads that touch files and processes.
    pub(super) workers: Workers,
    /// No file is read for the question under way after this.
    pub(super) deadline: Option<Instant>,
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
        Self {
            workers: Workers::new("symbolizer"),
            deadline: None,
            known: HashMap::new(),
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
            options,
            debuginfod: Debuginfod::new(options.debuginfod),
            evicted: 0,
            at_work: None,
            shunned: HashSet::new(),
        }
    }

    /// The file behind `mapping` of a process in this space, if a file is behind it.
    pub(crate) fn intern(&mut self, mapping: &Mapping, space: u64) -> Option<Rc<MappedFile>> {
        let Backing::File { dev, ino, path, deleted } = &mapping.backing else { return None };
        if self.known.len() >= MAX_KNOWN {
            self.forget_unmapped();
        }
        let file = self
            .known
            .entry((*dev, *ino, path.clone(), space))
            .or_insert_with_key(|key| Rc::new(MappedFile::new(key, *deleted)));
        Some(Rc::clone(file))
    }

    /// The file at `path`, open.
    pub(crate) fn of_path(&mut self, path: &Path) -> io::Result<Rc<MappedFile>> {
        let path = std::path::absolute(path)?;
        let wanted = path.clone();
        let read = move || look::read(Arc::new(opener::file::at(&wanted)?), &wanted);
        let looked = self.workers.run(Owner::own(), read).map_err(io::Error::other)?;
        let looked = looked.map_err(|refused| match refused {
            Refused::Unreachable(error) => error,
            refused => io::Error::other(refused),
        })?;
        let (dev, ino) = looked.held.identity().ok_or(io::ErrorKind::NotFound)?;
        let key = (dev, ino, path.to_string_lossy().into_owned(), 0);
        let file = self.known.entry(key).or_insert_with_key(|key| Rc::new(MappedFile::new(key, false)));
        let file = Rc::clone(file);
        let mut opened = file.opened.borrow_mut();
        self.take(&mut opened, looked, Asker::own());
        let is_elf = opened.image.is_some();
        drop(opened);
        if is_elf { Ok(file) } else { Err(io::Error::other(Unnamed::NotElf.as_str())) }
    }

    /// Opens `file` through the asker's `mapping`, if it is not open. Returns its headers.
    pub(crate) fn open(
        &mut self,
        asker: Asker,
        mapping: (u64, u64),
        file: &MappedFile,
    ) -> Result<Arc<Image>, Unnamed> {
        self.clock += 1;
        let mut opened = file.opened.borrow_mut();
        opened.used = self.clock;
        let known = opened.stamp.filter(|_| opened.image.is_some());
        let looked = match &opened.file {
            // Not written to in place since: then its build ID would not be to be trusted.
            Some(held) if opened.stamp == held.stamp() => None,
            Some(held) => {
                let (held, path) = (Arc::clone(held), file.path.clone());
                Some(self.touch(asker.owner().on(file.dev), move || look::read(held, &path)))
            }
            None => {
                let mapped = file.mapped(asker.tgid, mapping);
                Some(self.touch(asker.owner().on(file.dev), move || look::open(&mapped, known)))
            }
        };
        match looked {
            None => {}
            Some(Ok(looked)) => self.take(&mut opened, looked, asker),
            // Its names may still be cached.
            Some(Err(reason)) => return opened.image.clone().ok_or(reason),
        }
        self.take_in(&mut opened);
        let result = opened.image.clone().ok_or(Unnamed::NotElf);
        drop(opened);
        if self.open > MAX_OPEN {
            self.close_oldest();
        }
        result
    }

    /// Runs what touches a file on a thread that may be given up.
    fn touch<T: Send + 'static>(
        &self,
        owner: Owner,
        work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Unnamed> {
        if self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return Err(Unnamed::OverBudget);
        }
        let done = self.workers.run(owner, work).map_err(unread::blocked)?;
        done.map_err(|refused| unread::refused(&refused))
    }

    /// Takes what was read of a file.
    fn take(&mut self, opened: &mut Opened, Looked { held, stamp, contents }: Looked, asker: Asker) {
        self.open += usize::from(opened.file.is_none());
        opened.trusted = held.is_trusted() && asker.space == 0;
        // Whoever can write what is in it pays for reading it. A file system of the asker's may call anything root's.
        opened.uid = match held.uid() {
            0 if !opened.trusted => asker.uid,
            uid => uid,
        };
        opened.tgid = asker.tgid;
        opened.file = Some(held);
        let Some(contents) = contents else { return };
        let build_id = contents.image.as_ref().and_then(|image| image.build_id.clone());
        // A build ID identifies the contents of a file only if no user but root could write the file, and if the file was not
        // written to in place.
        let shared = build_id.filter(|_| opened.trusted && opened.content == 0);
        self.uncache(opened);
        opened.stamp = stamp;
        opened.content = self.content(shared);
        opened.image = contents.image.map(Arc::new);
        opened.python = contents.python.map(Arc::new);
        opened.awaits = false;
    }

    /// Forgets what was found without the debug file that a server has sent since.
    fn take_in(&mut self, opened: &mut Opened) {
        let id = opened.image.as_ref().and_then(|image| image.build_id.clone());
        if opened.awaits
            && let Some(id) = id
            && let Some(path) = debuginfod::cached(&id)
            && let Ok(true) = self.workers.run(Owner::own(), move || opener::file::at(&path).is_ok())
        {
            opened.awaits = false;
            self.uncache(opened);
            let shared = opened.trusted.then(|| {
                self.contents.remove(&id);
                id
            });
            opened.content = self.content(shared);
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
            let (found, complete) = self.symbolize(&mut opened, file, &missing);
            let mut found = found.into_iter();
            for (name, &vaddr) in names.iter_mut().zip(vaddrs).filter(|(name, _)| name.is_none()) {
                let fresh = found.next().unwrap_or_else(|| stand_in(&file.label, vaddr, Unnamed::Failed));
                if complete {
                    cache.insert(content, vaddr, fresh.clone());
                }
                *name = Some(fresh);
            }
        }
        names.into_iter().flatten().collect()
    }

    /// Names of `vaddrs` (sorted), and whether a later question could not find more.
    fn symbolize(
        &mut self,
        opened: &mut Opened,
        file: &MappedFile,
        vaddrs: &[u64],
    ) -> (Vec<FrameName>, bool) {
        let all = |reason| {
            let names = vaddrs.iter().map(|&vaddr| stand_in(&file.label, vaddr, reason)).collect();
            (
                names,
                ![Unnamed::Failed, Unnamed::FileGone, Unnamed::NoAnswer, Unnamed::OverBudget]
                    .contains(&reason),
            )
        };
        if self.shunned.contains(&file.key) {
            return all(Unnamed::Failed);
        }
        if opened.cached.is_none() {
            match self.tables(opened, file) {
                Ok(tables) => {
                    self.table_bytes += tables.bytes();
                    opened.cached = Some(tables);
                }
                Err(reason) => return all(reason),
            }
        }
        let owner = opened.owner(file.dev);
        let Some(tables) = &mut opened.cached else { return all(Unnamed::Failed) };
        self.at_work = Some(file.key.clone());
        self.table_bytes -= tables.bytes();
        let (mut debug, mut complete) = (Vec::new(), true);
        if let Some(info) = tables.debug.take() {
            let addrs = vaddrs.to_vec();
            let asked = self.touch(owner, move || {
                let found = info.find_all(&addrs);
                Ok((info, found))
            });
            complete = asked.is_ok();
            (tables.debug, debug) = asked.map_or((None, debug), |(info, found)| (Some(info), found));
        }
        self.table_bytes += tables.bytes();
        let begin = thread_cpu();
        let answer = self.answers(tables, file, vaddrs, &debug);
        opener::charge(opened.uid, thread_cpu().saturating_sub(begin));
        self.at_work = None;
        if !complete {
            // What did not answer has its debug info: it is read again.
            self.uncache(opened);
        }
        match answer {
            Ok(names) => (names, complete),
            Err(error) => {
                tracing::debug!(file = %file.path.display(), %error, "cannot symbolize");
                all(Unnamed::Failed)
            }
        }
    }

    /// Reads the tables of `file`.
    fn tables(&mut self, opened: &mut Opened, file: &MappedFile) -> Result<Tables, Unnamed> {
        let (Some(held), Some(image)) = (opened.file.clone(), opened.image.clone()) else {
            return Err(Unnamed::FileGone);
        };
        let wanted = Wanted {
            path: file.path.clone(),
            root: Root::Of(opened.tgid),
            trusted: opened.trusted,
            debug_bytes: self.options.debug_bytes,
        };
        let owner = opened.owner(file.dev);
        let its = Arc::clone(&image);
        let read = move || -> io::Result<Tables> { Tables::read(&held.reader()?, &its, &wanted) };
        let tables = self.touch(owner, move || Ok(read()))?.map_err(|error| {
            tracing::debug!(file = %file.path.display(), %error, "cannot read the symbol tables");
            let too_large = error.kind() == io::ErrorKind::FileTooLarge;
            if too_large { Unnamed::OverBudget } else { Unnamed::Failed }
        })?;
        if tables.debug.is_none()
            && let Some(id) = &image.build_id
        {
            opened.awaits = self.debuginfod.ask(id);
        }
        Ok(tables)
    }

    /// What symbol tables and debug info say; of a Go program without symbols its own table.
    fn answers(
        &self,
        tables: &Tables,
        file: &MappedFile,
        vaddrs: &[u64],
        debug: &[Option<DebugName<'_>>],
    ) -> Result<Vec<FrameName>, blazesym::Error> {
        let mut elf = Elf::new(tables.path());
        elf.debug_syms = false;
        let symbols = self.symbolizer.symbolize(&Source::Elf(elf), Input::VirtOffset(vaddrs))?;
        let go = |at: usize| tables.go.as_ref().and_then(|go| go.find(vaddrs[at]));
        Ok(names_of(&symbols, debug, &file.module, |at, reason| match go(at) {
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
            self.table_bytes -= cached.bytes();
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

/// CPU time of this thread.
fn thread_cpu() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
