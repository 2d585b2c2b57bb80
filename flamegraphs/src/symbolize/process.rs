//! Mappings of processes, read early and kept after exit.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use agent_common::abi::python::PythonFrame;
use profile::{FrameName, Unnamed};

use super::asker::Asker;
use super::elf::Image;
use super::files::{Files, stand_in};
use super::interpreted::{self, Interpreted, Span};
use super::jit::Jit;
use super::plan::Plan;
use super::program::{Process, Region, Target, a_loop, region};
use super::unread;
use crate::maps::{self, Backing};

/// Memory for the names of run-time compiled code of all processes: some 150,000 functions.
const MAX_JIT: usize = 12 << 20;
/// Memory for what was read of code objects of all processes: some 20,000 functions.
const MAX_INTERPRETED: usize = 12 << 20;
/// Processes remembered at most …
const MAX_PROCESSES: usize = 4096;
/// … and memory for their mappings: 80 B each, and a process has some 20 that are executable; a browser's or one with a JIT
/// compiler has hundreds, and up to 1,024 that are gone.
const MAX_MAPPING_BYTES: usize = 12 << 20;
/// How often all mappings are counted, in requests.
const COUNTED_EVERY: u64 = 64;
/// How long after a fork the child may be heard of at the latest.
const FORK_HEARD_NS: u64 = 10_000_000_000;

/// What a process has mapped, from the kernel's records of each mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped {
    /// The executable mappings of the program that it runs, or ran, sorted by address.
    Program {
        /// When it began, by exec or fork: `CLOCK_MONOTONIC` ns.
        since_ns: u64,
        /// The mappings.
        mappings: Arc<Vec<maps::Mapping>>,
    },
    /// Later mappings, each with its time (`CLOCK_MONOTONIC` ns). Each replaces what was at its addresses.
    Later(Vec<(u64, maps::Mapping)>),
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

    /// Adds what the process has, or had, mapped since its program began.
    pub(crate) fn mapped(&mut self, tgid: u32, mapped: &Mapped, files: &mut Files) {
        let process = self.entry(tgid);
        process.look(tgid);
        let space = process.asker(tgid).space;
        process.failed = None;
        match mapped {
            Mapped::Program { since_ns, mappings } => {
                // 0: it began before the agent observed it.
                if *since_ns > 0 {
                    process.space.began(*since_ns);
                }
                mappings.iter().for_each(|map| process.space.mapped(*since_ns, region(map, space, files)));
            }
            Mapped::Later(later) => {
                for (at_ns, map) in later {
                    process.space.mapped(*at_ns, region(map, space, files));
                }
            }
        }
        process.open_files(tgid, files);
    }

    /// A child has what its parent has until it execs; it may be gone before it is observed itself.
    pub(crate) fn forked(&mut self, parent_tgid: u32, child: u32) {
        let Some(parent) = self.known.get(&parent_tgid) else { return };
        let space = parent.space.of_child(interpreted::now_ns().saturating_sub(FORK_HEARD_NS));
        // It has its parent's user and namespaces, too, until it is looked at itself.
        let asker = parent.asker.map(|asker| Asker { tgid: child, ..asker });
        let process = Process { space, asker, parent: Some(parent_tgid), ..Process::default() };
        *self.entry(child) = Process { used: self.clock, ..process };
    }

    /// Of addresses and times those at which something else is at the address than at the time before, sorted.
    pub(crate) fn turns(&self, tgid: u32, mut asked: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
        let Some(process) = self.known.get(&tgid) else { return Vec::new() };
        asked.sort_unstable();
        asked.dedup();
        let mut last: Option<(u64, Vec<&Region>)> = None;
        asked.retain(|&(addr, at)| {
            let found = process.space.find(addr, at);
            let same = last.as_ref().is_some_and(|(known, before)| {
                *known == addr
                    && before.len() == found.len()
                    && before.iter().zip(&found).all(|(a, b)| std::ptr::eq(*a, *b))
            });
            last = Some((addr, found));
            !same
        });
        asked
    }

    /// Those of `addrs` at which process `tgid` had more than one thing in turn.
    pub(crate) fn contested(&self, tgid: u32, addrs: &[u64]) -> Vec<u64> {
        let Some(process) = self.known.get(&tgid) else { return Vec::new() };
        addrs.iter().copied().filter(|addr| process.space.is_contested(*addr)).collect()
    }

    /// Finds out where `addrs` (sorted, unique) of process `tgid` lie; each with the time that it was sampled at, 0 where that
    /// does not matter. What needs no file is named at once; the rest goes on `plan`, which asks each file once for all
    /// processes. Python frames are of samples from `span`. Returns the first of their slots.
    pub(crate) fn locate(
        &mut self,
        tgid: u32,
        (addrs, span): (&[(u64, u64)], Span),
        files: &mut Files,
        plan: &mut Plan,
    ) -> usize {
        let (own_vdso, base) = (self.own_vdso(), plan.names.len());
        let Some(process) = self.known.get_mut(&tgid) else { return base };
        let missing = process.failed.unwrap_or(Unnamed::Unmapped);
        plan.names.resize(base + addrs.len(), FrameName::unnamed("[unknown]", missing));

        let mut interpreted = Vec::new();
        let asker = process.asker(tgid);
        let mut places = Placing { asker, own_vdso, anonymous: Vec::new(), last: None };
        for (slot, &(addr, at)) in (base..).zip(addrs) {
            if let Some(frame) = PythonFrame::of(addr) {
                interpreted.push((slot, frame));
                continue;
            }
            // Where it is not known which of two it was, both are named.
            for (nth, region) in process.space.find(addr, at).into_iter().enumerate() {
                let slot = if nth == 0 { slot } else { plan.also(slot) };
                places.place(region, addr, slot, files, plan);
            }
        }
        let anonymous = places.anonymous;
        if !anonymous.is_empty() {
            process.name_jit(tgid, &anonymous, files, &mut plan.names);
            self.enforce_jit();
        }
        if !interpreted.is_empty() {
            self.name_interpreted(tgid, (&interpreted, span), files, &mut plan.names);
        }
        base
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

    /// Memory of the mappings of all processes.
    pub(crate) fn mapping_bytes(&self) -> usize {
        self.known.values().map(|process| process.space.bytes()).sum()
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
    pub(crate) fn refresh(&mut self, tgid: u32, files: &mut Files) -> bool {
        let process = self.entry(tgid);
        process.look(tgid);
        let asker = process.asker(tgid);
        // The time before the mappings are read: a mapping made during the reading has a later time.
        let at = interpreted::now_ns();
        let maps = match files.workers.run(asker.owner(), move || maps::read(tgid)) {
            // Exiting: the mappings are gone before the entry is.
            Ok(Ok(maps)) if maps.is_empty() => Err(Unnamed::ProcessGone),
            Ok(Ok(maps)) => Ok(maps),
            Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Err(Unnamed::ProcessDenied),
            Ok(Err(_)) => Err(Unnamed::ProcessGone),
            Err(blocked) => Err(unread::blocked(blocked)),
        };
        match maps {
            // What is not in the mappings we have is a stray address more likely than an exec we missed.
            Err(reason) => process.failed = process.space.is_empty().then_some(reason),
            Ok(maps) => {
                let space = asker.space;
                let regions = maps.iter().map(|map| region(map, space, files)).collect();
                process.failed = None;
                process.space.seen(at, regions);
                return true;
            }
        }
        false
    }

    /// The process, new if it is not known.
    fn entry(&mut self, tgid: u32) -> &mut Process {
        self.clock += 1;
        let is_full = self.known.len() >= MAX_PROCESSES && !self.known.contains_key(&tgid);
        if is_full || self.clock.is_multiple_of(COUNTED_EVERY) && self.mapping_bytes() > MAX_MAPPING_BYTES {
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
        if used.is_empty() {
            return;
        }
        let quarter = used.len() / 4;
        let (_, cut, _) = used.select_nth_unstable(quarter);
        let cut = *cut;
        self.known.retain(|_, process| process.used > cut);
    }
}

/// Where the addresses of one process lie.
struct Placing<'p> {
    asker: Asker,
    own_vdso: Option<(u64, u64)>,
    /// Slots of addresses in anonymous memory.
    anonymous: Vec<(usize, u64)>,
    /// Sorted addresses come region by region: open once, not once an address.
    last: Option<(&'p Region, Result<Arc<Image>, Unnamed>)>,
}

impl<'p> Placing<'p> {
    /// Asks for the name of `addr`, which is in `region`.
    fn place(&mut self, region: &'p Region, addr: u64, slot: usize, files: &mut Files, plan: &mut Plan) {
        let within = addr - region.range.start;
        match &region.target {
            Target::Anonymous => self.anonymous.push((slot, addr)),
            Target::Special(label) => {
                plan.names[slot] = FrameName::unnamed(Arc::clone(label), Unnamed::Stripped);
            }
            Target::Vdso => match self.own_vdso {
                Some((start, end)) if end - start == region.range.end - region.range.start => {
                    plan.vdso.push((start + within, slot));
                }
                _ => plan.names[slot] = FrameName::unnamed("[vdso]", Unnamed::Stripped),
            },
            Target::File(file) => {
                let offset = within.saturating_add(region.offset);
                let image = match &self.last {
                    Some((known, image)) if std::ptr::eq(*known, region) => image.clone(),
                    _ => {
                        let image = files.open(self.asker, (region.range.start, region.range.end), file);
                        self.last.insert((region, image)).1.clone()
                    }
                };
                if file.interpreter().is_some_and(|python| python.is_loop(offset)) {
                    plan.names[slot] = a_loop(file);
                    return;
                }
                match image.and_then(|image| image.vaddr(offset).ok_or(Unnamed::Stripped)) {
                    Ok(vaddr) => plan.ask(file, vaddr, slot),
                    Err(reason) => {
                        plan.names[slot] = stand_in(file.label(), offset, reason);
                        if reason == Unnamed::NotElf {
                            // A JIT may map its code from a file (.NET's memfd): the perf map knows.
                            self.anonymous.push((slot, addr));
                        }
                    }
                }
            }
        }
    }
}
