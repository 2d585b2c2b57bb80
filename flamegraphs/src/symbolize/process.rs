//! Mappings of processes, read early and kept after exit.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use agent_common::abi::python::PythonFrame;

use super::asker::Asker;
use super::elf::Image;
use super::files::{Files, MappedFile, stand_in};
use super::interpreted::{self, Interpreted, Span};
use super::jit::{Jit, Places};
use super::jitdump::Dump;
use super::maps::{self, Backing};
use super::plan::Plan;
use crate::coverage::Unnamed;
use crate::names::{Code, FrameName, Role};
use crate::python::{self, Interpreter};

/// Memory for the names of run-time compiled code of all processes: some 150,000 functions.
const MAX_JIT: usize = 12 << 20;
/// Memory for what was read of code objects of all processes: some 20,000 functions.
const MAX_INTERPRETED: usize = 12 << 20;
/// Processes remembered at most; ~2 KiB each.
const MAX_PROCESSES: usize = 4096;
/// Sets of mappings kept of one process: before and after an exec (a script has several), a `dlclose`, or the tgid's reuse.
const MAX_GENERATIONS: usize = 6;

/// What an executable mapping is, with the file resolved.
#[derive(Debug, Clone)]
enum Target {
    File(Rc<MappedFile>),
    Anonymous,
    Vdso,
    Special(Arc<str>),
}

#[derive(Debug, Clone)]
struct Region {
    start: u64,
    end: u64,
    offset: u64,
    target: Target,
}

#[derive(Debug, Default)]
struct Process {
    /// Latest first.
    generations: Vec<Rc<[Region]>>,
    /// Who it is, once it has been looked at while it lived.
    asker: Option<Asker>,
    /// Why there are no mappings.
    failed: Option<Unnamed>,
    used: u64,
    jit: Jit,
    interpreted: Interpreted,
    /// Who forked it: what it has not been asked itself in time, that one may know.
    parent: Option<u32>,
}

/// All processes seen.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    known: HashMap<u32, Process>,
    /// Our own vDSO, to name those of others (it is the same).
    own_vdso: Option<(u64, u64)>,
    clock: u64,
}

impl Processes {
    /// Reads the mappings of `tgid` and opens the files behind them, its jitdump too; says whether it lives.
    pub(crate) fn observe(&mut self, tgid: u32, files: &mut Files) -> bool {
        let alive = self.refresh(tgid, files);
        let Some(process) = self.known.get_mut(&tgid) else { return false };
        process.open_files(tgid, files);
        if alive && !process.jit.has_dump() && process.maps_dump() {
            let places = process.jit_places(tgid);
            if let Ok(dump) = files.workers.run(places.asker.owner(), move || places.open_dump()) {
                process.jit.attach(dump);
            }
        }
        alive
    }

    /// It has these mappings, or had them when it lived.
    pub(crate) fn mapped(&mut self, tgid: u32, mappings: &[maps::Mapping], files: &mut Files) {
        let process = self.entry(tgid);
        process.look(tgid);
        let space = process.asker(tgid).space;
        let regions: Rc<[Region]> = mappings.iter().map(|map| region(map, space, files)).collect();
        process.failed = None;
        process.add(regions);
        process.open_files(tgid, files);
    }

    /// A child has what its parent has until it execs; it may be gone before it is observed itself.
    pub(crate) fn forked(&mut self, parent_tgid: u32, child: u32) {
        let Some(parent) = self.known.get(&parent_tgid) else { return };
        let generations = parent.generations.clone();
        let used = self.clock;
        // It has its parent's user and namespaces, too, until it is looked at itself.
        let asker = parent.asker.map(|asker| Asker { tgid: child, ..asker });
        let process = Process { generations, asker, used, parent: Some(parent_tgid), ..Process::default() };
        self.known.insert(child, process);
    }

    /// Finds out where `addrs` (sorted, unique) of process `tgid` lie. What needs no file is named at once;
    /// the rest goes on `plan`, which asks each file once for all processes. Python frames are of samples from `span`.
    pub(crate) fn locate(
        &mut self,
        tgid: u32,
        (addrs, span): (&[u64], Span),
        files: &mut Files,
        plan: &mut Plan,
    ) {
        self.refresh(tgid, files);
        let own_vdso = self.own_vdso();
        let Some(process) = self.known.get_mut(&tgid) else { return };
        let asker = process.asker(tgid);
        let missing = process.failed.unwrap_or(Unnamed::Unmapped);
        let base = plan.names.len();
        plan.names.resize(base + addrs.len(), FrameName::unnamed("[unknown]", missing));

        let (mut anonymous, mut interpreted) = (Vec::new(), Vec::new());
        // Sorted addresses come region by region: open once, not once an address.
        let mut last: Option<(*const Region, Result<Arc<Image>, Unnamed>)> = None;
        for (slot, &addr) in (base..).zip(addrs) {
            if let Some(frame) = PythonFrame::of(addr) {
                interpreted.push((slot, frame));
                continue;
            }
            let Some(region) = process.find(addr) else { continue };
            let within = addr - region.start;
            match &region.target {
                Target::Anonymous => anonymous.push((slot, addr)),
                Target::Special(label) => {
                    plan.names[slot] = FrameName::unnamed(Arc::clone(label), Unnamed::Stripped);
                }
                Target::Vdso => match own_vdso {
                    Some((start, end)) if end - start == region.end - region.start => {
                        plan.vdso.push((start + within, slot));
                    }
                    _ => plan.names[slot] = FrameName::unnamed("[vdso]", Unnamed::Stripped),
                },
                Target::File(file) => {
                    let offset = within.saturating_add(region.offset);
                    let image = match &last {
                        Some((known, image)) if std::ptr::eq(*known, region) => image.clone(),
                        _ => {
                            let image = files.open(asker, (region.start, region.end), file);
                            last.insert((region, image)).1.clone()
                        }
                    };
                    if let Some(python) = file.interpreter()
                        && python.is_loop(offset)
                    {
                        plan.names[slot] = a_loop(file);
                        continue;
                    }
                    let found = image.and_then(|image| image.vaddr(offset).ok_or(Unnamed::Stripped));
                    match found {
                        Ok(vaddr) => plan.ask(file, vaddr, slot),
                        Err(reason) => {
                            plan.names[slot] = stand_in(file.label(), offset, reason);
                            if reason == Unnamed::NotElf {
                                // A JIT may map its code from a file (.NET's memfd): the perf map knows.
                                anonymous.push((slot, addr));
                            }
                        }
                    }
                }
            }
        }
        if !anonymous.is_empty() {
            process.name_jit(tgid, &anonymous, files, &mut plan.names);
            self.enforce_jit();
        }
        if !interpreted.is_empty() {
            self.name_interpreted(tgid, (&interpreted, span), files, &mut plan.names);
        }
    }

    /// Reads the code objects at `addrs` of a Python process, as long as it lives.
    pub(crate) fn read_code(&mut self, tgid: u32, addrs: &[u64], files: &mut Files) {
        if !self.known.contains_key(&tgid) {
            self.refresh(tgid, files);
        }
        let Some(process) = self.known.get_mut(&tgid) else { return };
        let Some(interpreter) = process.interpreter(tgid, files) else { return };
        let wanted = process.interpreted.wanted(addrs);
        let read = move || {
            let memory = opener::process::memory(tgid).ok()?;
            Some(interpreted::fetch(&interpreter, &memory, &wanted))
        };
        let Ok(Some(read)) = files.workers.run(process.asker(tgid).owner(), read) else { return };
        process.interpreted.take(read, interpreted::now_ns());
        // The largest goes first: who has much costs himself names, not others.
        while self.interpreted_bytes() > MAX_INTERPRETED
            && let Some(largest) = self.known.values_mut().max_by_key(|process| process.interpreted.bytes())
        {
            largest.interpreted = Interpreted::default();
        }
    }

    fn name_interpreted(
        &mut self,
        tgid: u32,
        (frames, span): (&[(usize, PythonFrame)], Span),
        files: &mut Files,
        names: &mut [FrameName],
    ) {
        let find = |processes: &Self, frame| {
            let own = processes.known.get(&tgid)?;
            let parent = || processes.known.get(&own.parent?)?.interpreted.find(frame, span);
            own.interpreted.find(frame, span).or_else(parent)
        };
        let unread = frames.iter().filter(|(_, frame)| find(self, *frame).is_none());
        let mut unread: Vec<u64> = unread.map(|(_, frame)| frame.code()).filter(|code| *code != 0).collect();
        unread.dedup();
        if !unread.is_empty() {
            self.read_code(tgid, &unread, files);
        }
        for &(slot, frame) in frames {
            names[slot] = find(self, frame).unwrap_or_else(|| interpreted::stand_in(frame));
        }
    }

    /// Memory of what was read of code objects.
    pub(crate) fn interpreted_bytes(&self) -> usize {
        self.known.values().map(|process| process.interpreted.bytes()).sum()
    }

    /// Memory of the names of run-time compiled code.
    pub(crate) fn jit_bytes(&self) -> usize {
        self.known.values().map(|process| process.jit.bytes()).sum()
    }

    /// Forgets run-time compiled code while it is too much, that of the process with most of it first. It is read again when it
    /// is asked for.
    fn enforce_jit(&mut self) {
        while self.jit_bytes() > MAX_JIT
            && let Some(largest) = self.known.values_mut().max_by_key(|process| process.jit.bytes())
        {
            largest.jit = Jit::default();
        }
    }

    /// Processes remembered.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Reads the mappings again if the process lives; keeps the old set if something is no longer in the new.
    /// Says whether the process lives.
    fn refresh(&mut self, tgid: u32, files: &mut Files) -> bool {
        let process = self.entry(tgid);
        process.look(tgid);
        let asker = process.asker(tgid);
        let maps = match files.workers.run(asker.owner(), move || maps::read(tgid)) {
            // Exiting: the mappings are gone before the entry is.
            Ok(Ok(maps)) if maps.is_empty() => Err(Unnamed::ProcessGone),
            Ok(Ok(maps)) => Ok(maps),
            Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Err(Unnamed::ProcessDenied),
            Ok(Err(_)) => Err(Unnamed::ProcessGone),
            Err(blocked) => Err(blocked.into()),
        };
        match maps {
            // What is not in the mappings we have is a stray address more likely than an exec we missed.
            Err(reason) => process.failed = process.generations.is_empty().then_some(reason),
            Ok(maps) => {
                let space = asker.space;
                let regions: Rc<[Region]> = maps.iter().map(|map| region(map, space, files)).collect();
                process.failed = None;
                process.add(regions);
                return true;
            }
        }
        false
    }

    /// The process, new if it is not known.
    fn entry(&mut self, tgid: u32) -> &mut Process {
        self.clock += 1;
        if self.known.len() >= MAX_PROCESSES && !self.known.contains_key(&tgid) {
            self.forget_oldest();
        }
        let process = self.known.entry(tgid).or_default();
        process.used = self.clock;
        process
    }

    fn own_vdso(&mut self) -> Option<(u64, u64)> {
        if self.own_vdso.is_none() {
            let maps = maps::read(std::process::id()).ok()?;
            self.own_vdso =
                maps.iter().find(|map| map.backing == Backing::Vdso).map(|map| (map.start, map.end));
        }
        self.own_vdso
    }

    fn forget_oldest(&mut self) {
        let mut used: Vec<u64> = self.known.values().map(|process| process.used).collect();
        let (_, cut, _) = used.select_nth_unstable(MAX_PROCESSES / 4);
        let cut = *cut;
        self.known.retain(|_, process| process.used > cut);
    }
}

impl Process {
    /// Looks who it is.
    fn look(&mut self, tgid: u32) {
        self.asker = Asker::of(tgid).or(self.asker);
    }

    fn asker(&self, tgid: u32) -> Asker {
        self.asker.unwrap_or(Asker::gone(tgid))
    }

    fn add(&mut self, regions: Rc<[Region]>) {
        if let Some(latest) = self.generations.first()
            && latest.iter().all(|old| find(&regions, old.start).is_some_and(|new| new.same_place(old)))
        {
            self.generations[0] = regions;
            return;
        }
        self.generations.insert(0, regions);
        self.generations.truncate(MAX_GENERATIONS);
    }

    /// Opens what it has mapped, so that it stays to be read.
    fn open_files(&self, tgid: u32, files: &mut Files) {
        for region in self.generations.first().into_iter().flat_map(|regions| regions.iter()) {
            if let Target::File(file) = &region.target {
                let _ = files.open(self.asker(tgid), (region.start, region.end), file);
            }
        }
    }

    /// The region that covers `addr`, in the latest mappings that have one.
    fn find(&self, addr: u64) -> Option<&Region> {
        self.generations.iter().find_map(|regions| find(regions, addr))
    }

    /// The CPython that it runs.
    fn interpreter(&self, tgid: u32, files: &mut Files) -> Option<Arc<Interpreter>> {
        self.generations.iter().flat_map(|regions| regions.iter()).find_map(|region| {
            let Target::File(file) = &region.target else { return None };
            if !Interpreter::may_be_in(file.path()) {
                return None;
            }
            let _ = files.open(self.asker(tgid), (region.start, region.end), file);
            file.interpreter()
        })
    }

    /// Names `places` (slot, address) from the process' perf map and jitdump.
    fn name_jit(&mut self, tgid: u32, slots: &[(usize, u64)], files: &Files, names: &mut [FrameName]) {
        let places = self.jit_places(tgid);
        let mut jit = std::mem::take(&mut self.jit);
        let read = move || {
            jit.refresh(&places);
            jit
        };
        let missing = match files.workers.run(self.asker(tgid).owner(), read) {
            Ok(jit) => {
                self.jit = jit;
                if self.jit.is_full() { Unnamed::OverBudget } else { Unnamed::Anonymous }
            }
            Err(blocked) => blocked.into(),
        };
        for &(slot, addr) in slots {
            if let Some(name) = self.jit.find(addr) {
                names[slot] = name;
            } else if names[slot].unnamed != Some(Unnamed::NotElf) {
                names[slot] = FrameName::unnamed("[jit]", missing);
            }
        }
    }

    /// It has a jitdump mapped.
    fn maps_dump(&self) -> bool {
        let regions = self.generations.iter().flat_map(|regions| regions.iter());
        regions
            .into_iter()
            .any(|region| matches!(&region.target, Target::File(file) if Dump::is_name(file.path())))
    }

    /// Where its perf map and jitdump may be.
    fn jit_places(&self, tgid: u32) -> Places {
        let regions = self.generations.iter().flat_map(|regions| regions.iter());
        let mapped = regions.filter_map(|region| match &region.target {
            Target::File(file) if Dump::is_name(file.path()) => {
                Some(file.mapped(tgid, (region.start, region.end)))
            }
            _ => None,
        });
        Places { asker: self.asker(tgid), dumps: mapped.collect() }
    }
}

impl Region {
    fn same_place(&self, old: &Self) -> bool {
        let shift = old.start - self.start;
        match (&self.target, &old.target) {
            (Target::File(a), Target::File(b)) => Rc::ptr_eq(a, b) && self.offset + shift == old.offset,
            (Target::Anonymous, Target::Anonymous) | (Target::Vdso, Target::Vdso) => true,
            (Target::Special(a), Target::Special(b)) => a == b,
            _ => false,
        }
    }
}

/// A frame of the interpreter's loop in `file`.
fn a_loop(file: &MappedFile) -> FrameName {
    let code = Code { module: Some(Arc::clone(file.module())), ..Code::default() };
    FrameName { role: Role::Loop, code: Some(Arc::new(code)), ..FrameName::named(python::LOOP.into()) }
}

fn region(map: &maps::Mapping, space: u64, files: &mut Files) -> Region {
    let target = match &map.backing {
        Backing::File { .. } => files.intern(map, space).map_or(Target::Anonymous, Target::File),
        Backing::Anonymous => Target::Anonymous,
        Backing::Vdso => Target::Vdso,
        Backing::Special(name) => Target::Special(name.as_str().into()),
    };
    Region { start: map.start, end: map.end, offset: map.offset, target }
}

/// The region that covers `addr`; regions are sorted, as `maps` is.
fn find(regions: &[Region], addr: u64) -> Option<&Region> {
    let next = regions.partition_point(|region| region.start <= addr);
    regions.get(next.checked_sub(1)?).filter(|region| addr < region.end)
}
