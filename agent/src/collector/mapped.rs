//! Stacks and names of processes too young, or too short-lived, for anybody to have asked them.
//!
//! The kernel side copies the stack of a process that it does not know. What such a process has mapped the kernel tells as
//! it happens, so its stack can be walked and named when it is gone.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use agent_common::abi::unwind::Verdict;
use agent_common::units::{MonoNs, Tgid};
use flamegraphs::maps::{Backing, Mapping};

use crate::bpf::{MappingChange, MappingEvent, MappingEvents, Probes};
use crate::source::oncpu::{CopiedStack, Fresh, OncpuSource};
use crate::source::spaces::Spaces;
use crate::source::unwind::{Unwinding, Walked, Young};

/// How long the end of a window waits for stacks that are being walked: a file that was never seen takes some ms.
const PATIENCE: Duration = Duration::from_millis(200);

/// What processes have mapped.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    /// `None` where the kernel does not let us.
    events: Option<MappingEvents>,
    spaces: Spaces,
    /// For the symbolizer.
    told: Vec<(Tgid, flamegraphs::Mapped)>,
    /// For the unwinder: processes that have mapped more files.
    grown: Vec<Tgid>,
    /// For the window.
    remapped: BTreeSet<Tgid>,
    /// How many mappings of each program of a process it knows.
    known: HashMap<Tgid, Vec<usize>>,
}

impl Mapped {
    /// Begins to look.
    pub(super) fn start(probes: &Probes) -> Self {
        let events = probes.mapping_events();
        let events = events.inspect_err(
            |error| tracing::warn!(%error, "what processes map is not told: those that are gone stay without names"),
        );
        Self { events: events.ok(), ..Self::default() }
    }

    /// What was mapped up to the samples that were just taken. `fresh`: processes sampled for the first time: the symbolizer
    /// is told of these now, and of what they have mapped since when they end.
    pub(super) fn take(&mut self, fresh: &[Fresh], now: MonoNs) {
        let Some(events) = &mut self.events else { return };
        let events = events.take();
        let ended: Vec<Tgid> = events
            .iter()
            .filter(|event| event.what == MappingChange::Exit && self.known.contains_key(&event.tgid))
            .map(|event| event.tgid)
            .collect();
        self.tell_later(&events);
        self.spaces.take(events);
        for tgid in fresh.iter().map(|fresh| fresh.tgid).chain(ended.iter().copied()) {
            let now = self.spaces.sizes(tgid);
            if self.known.get(&tgid) != Some(&now) {
                self.told.extend(self.spaces.of(tgid).into_iter().map(|what| (tgid, what)));
                self.known.insert(tgid, now);
            }
        }
        for tgid in ended {
            self.known.remove(&tgid);
        }
        self.spaces.trim(now);
    }

    /// What processes that the symbolizer knows have mapped since: a library may be in the place of another.
    fn tell_later(&mut self, events: &[MappingEvent]) {
        let mut later: HashMap<Tgid, Vec<(u64, Mapping)>> = HashMap::new();
        for MappingEvent { at, tgid, what } in events {
            // Of generated code there are hundreds a second, which says nothing.
            if let MappingChange::Map(mapping) = what
                && matches!(mapping.backing, Backing::File { .. })
                && self.known.contains_key(tgid)
            {
                later.entry(*tgid).or_default().push((at.0, mapping.clone()));
            }
        }
        self.grown.extend(later.keys());
        self.remapped.extend(later.keys());
        self.told.extend(later.into_iter().map(|(tgid, later)| (tgid, flamegraphs::Mapped::Later(later))));
    }

    /// Has the unwinder look at processes that have mapped more files.
    pub(super) fn look(&mut self, unwinding: &Unwinding) {
        unwinding.sampled(self.grown.drain(..).map(|tgid| (tgid, true)).collect());
    }

    /// Has the stacks walked that were copied, and takes those that were.
    pub(super) fn walk(&self, oncpu: &mut OncpuSource, unwinding: &Unwinding) {
        let young = oncpu.take_copied().into_iter().map(|CopiedStack { id, tgid, at, copied }| {
            let (mappings, before) = self.spaces.at(tgid, at);
            Young { id, tgid, mappings, before, copied }
        });
        for id in unwinding.walk(young.collect()) {
            oncpu.walked(Walked { id, frames: Vec::new(), verdict: Verdict::NoProcess });
        }
        while let Some(walked) = unwinding.walked(Duration::ZERO) {
            oncpu.walked(walked);
        }
    }

    /// Waits for the stacks that are being walked, for a moment.
    pub(super) fn finish(oncpu: &mut OncpuSource, unwinding: &Unwinding) {
        let begin = Instant::now();
        while oncpu.is_walking() {
            let Some(walked) = unwinding.walked(PATIENCE.saturating_sub(begin.elapsed())) else { return };
            oncpu.walked(walked);
        }
    }

    /// Processes that have mapped more files since the last call.
    pub(super) fn take_remapped(&mut self) -> Vec<Tgid> {
        std::mem::take(&mut self.remapped).into_iter().collect()
    }

    /// What the symbolizer is to know.
    pub(super) fn take_told(&mut self) -> Vec<(Tgid, flamegraphs::Mapped)> {
        std::mem::take(&mut self.told)
    }

    /// Changes that the kernel had no room to tell, since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        self.events.as_mut().map_or(0, |events| std::mem::take(&mut events.lost))
    }

    /// Memory that the kernel keeps for it.
    pub(super) fn bytes(&self) -> u64 {
        self.events.as_ref().map_or(0, MappingEvents::bytes)
    }
}
