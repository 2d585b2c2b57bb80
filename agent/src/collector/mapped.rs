//! Stacks and names of processes that have just started, or that ended before the agent could read their `/proc` files.
//!
//! The kernel side copies the stack of a process that it does not know. The kernel reports each mapping of such a process as it
//! happens (perf events), so the agent can walk its stack, and name the frames, after the process has ended.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use agent_common::abi::unwind::Verdict;
use agent_common::units::{MonoNs, Tgid};
use flamegraphs::maps::{Backing, Mapping};

use crate::bpf::{MappingChange, MappingEvent, MappingEvents, Probes};
use crate::source::endings::EndingSource;
use crate::source::oncpu::{CopiedStack, Fresh, OncpuSource};
use crate::source::spaces::Spaces;
use crate::source::unwind::{StackCopy, Unwinding, Walked};

/// Longest wait at the end of a window for stacks that are still being walked: a new file takes some ms.
const STACKS_TIMEOUT: Duration = Duration::from_millis(200);

/// Mappings of processes, from the kernel's events.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    /// `None` where the kernel refuses them.
    events: Option<MappingEvents>,
    spaces: Spaces,
    /// Mappings that the symbolizer has not got yet.
    for_symbolizer: Vec<(Tgid, flamegraphs::Mapped)>,
    /// Processes that have mapped more files, for the unwinder.
    grown: Vec<Tgid>,
    /// Processes that have mapped more files, for the window.
    remapped: BTreeSet<Tgid>,
    /// How many mappings of each program of a process it knows.
    known: HashMap<Tgid, Vec<usize>>,
}

impl Mapped {
    /// Opens the kernel's events.
    pub(super) fn start(probes: &Probes) -> Self {
        let events = probes.mapping_events();
        let events = events.inspect_err(
            |error| tracing::warn!(%error, "no mapping events: processes that have ended stay without names"),
        );
        Self { events: events.ok(), ..Self::default() }
    }

    /// Takes the mappings up to the samples that were just read. For `fresh` processes (sampled for the first time) the symbolizer gets
    /// them now; mappings that come later it gets at the process' end.
    pub(super) fn take(&mut self, fresh: &[Fresh], now: MonoNs) {
        let Some(events) = &mut self.events else { return };
        let events = events.take();
        let ended: Vec<Tgid> = events
            .iter()
            .filter(|event| event.what == MappingChange::Exit && self.known.contains_key(&event.tgid))
            .map(|event| event.tgid)
            .collect();
        self.note_changes(&events);
        self.spaces.take(events);
        for tgid in fresh.iter().map(|fresh| fresh.tgid).chain(ended.iter().copied()) {
            let now = self.spaces.sizes(tgid);
            if self.known.get(&tgid) != Some(&now) {
                self.for_symbolizer.extend(self.spaces.of(tgid).into_iter().map(|what| (tgid, what)));
                self.known.insert(tgid, now);
            }
        }
        for tgid in ended {
            self.known.remove(&tgid);
        }
        self.spaces.trim(now);
    }

    /// Notes new mappings of processes that the symbolizer knows: a library may have replaced another.
    fn note_changes(&mut self, events: &[MappingEvent]) {
        let mut later: HashMap<Tgid, Vec<(u64, Mapping)>> = HashMap::new();
        for MappingEvent { at, tgid, what } in events {
            // Mappings of generated code come by hundreds a second, and are no reason to read again.
            if let MappingChange::Map(mapping) = what
                && matches!(mapping.backing, Backing::File { .. })
                && self.known.contains_key(tgid)
            {
                later.entry(*tgid).or_default().push((at.0, mapping.clone()));
            }
        }
        self.grown.extend(later.keys());
        self.remapped.extend(later.keys());
        self.for_symbolizer
            .extend(later.into_iter().map(|(tgid, later)| (tgid, flamegraphs::Mapped::Later(later))));
    }

    /// Makes the unwinder read processes again that have mapped more files.
    pub(super) fn look(&mut self, unwinding: &Unwinding) {
        unwinding.sampled(self.grown.drain(..).map(|tgid| (tgid, true)).collect());
    }

    /// Passes copied stacks to the unwinder, and takes the walked ones.
    pub(super) fn walk(&self, oncpu: &mut OncpuSource, endings: &mut EndingSource, unwinding: &Unwinding) {
        let copies = oncpu.take_copied().into_iter().chain(endings.take_copied()).map(
            |CopiedStack { id, tgid, at, copied }| {
                let (mappings, before) = self.spaces.at(tgid, at);
                StackCopy { id, tgid, mappings, before, copied }
            },
        );
        for id in unwinding.walk(copies.collect()) {
            hand_over(oncpu, endings, Walked { id, frames: Vec::new(), verdict: Verdict::NoProcess });
        }
        while let Some(walked) = unwinding.walked(Duration::ZERO) {
            hand_over(oncpu, endings, walked);
        }
    }

    /// Waits up to [`STACKS_TIMEOUT`] for stacks that are being walked.
    pub(super) fn finish(oncpu: &mut OncpuSource, endings: &mut EndingSource, unwinding: &Unwinding) {
        let begin = Instant::now();
        while oncpu.is_walking() {
            let Some(walked) = unwinding.walked(STACKS_TIMEOUT.saturating_sub(begin.elapsed())) else {
                return;
            };
            hand_over(oncpu, endings, walked);
        }
    }

    /// All that a process has, or had, mapped.
    pub(super) fn of(&self, tgid: Tgid) -> Vec<flamegraphs::Mapped> {
        self.spaces.of(tgid)
    }

    /// Path of the program that a process ran at a time: of the file that is mapped lowest.
    pub(super) fn program(&self, tgid: Tgid, at: MonoNs) -> Option<String> {
        let (mappings, _) = self.spaces.at(tgid, at);
        mappings.iter().find_map(|mapping| match &mapping.backing {
            Backing::File { path, .. } => Some(path.clone()),
            _ => None,
        })
    }

    /// Processes that have mapped more files since the last call.
    pub(super) fn take_remapped(&mut self) -> Vec<Tgid> {
        std::mem::take(&mut self.remapped).into_iter().collect()
    }

    /// Mappings for the symbolizer since the last call.
    pub(super) fn take_mapped(&mut self) -> Vec<(Tgid, flamegraphs::Mapped)> {
        std::mem::take(&mut self.for_symbolizer)
    }

    /// Events lost for lack of room since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        self.events.as_mut().map_or(0, |events| std::mem::take(&mut events.lost))
    }

    /// Kernel memory of its ring buffers, bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.events.as_ref().map_or(0, MappingEvents::bytes)
    }
}

/// A walked stack to whom it belongs.
fn hand_over(oncpu: &mut OncpuSource, endings: &mut EndingSource, walked: Walked) {
    if !endings.walked(&walked) {
        oncpu.walked(walked);
    }
}
