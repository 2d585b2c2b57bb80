//! Blocks → timelines, from which every picture and file is written.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::MonoNs;

use super::counters::take_names;
use super::{Block, Entry, Looked, NodeId, Trie};
use crate::frame::{Frame, Kind};
use crate::mode::{Mode, reason};
use crate::options::Parts;
use crate::timeline::{FrameId, Point, Thread, Timeline, intern};

/// What of a block is shown, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown<'a> {
    /// What ran.
    pub cpu: bool,
    /// What waited.
    pub waits: bool,
    /// With who ended the waits.
    pub wakers: bool,
    /// The frame on top of what ran, which is then weighed in ns.
    pub running: Option<&'a str>,
    /// Frames of waits that are left out.
    pub without: &'a [Arc<str>],
    /// Which frames. Those of who ended a wait are all there.
    pub parts: Parts,
}

impl Shown<'_> {
    /// Calls with how a block is shown in a mode. `no_idle` leaves out waits for work ([`State::is_idle`]).
    pub fn of<T>(mode: Mode, no_idle: bool, parts: Parts, with: impl FnOnce(&Shown<'_>) -> T) -> T {
        let idle: Vec<Arc<str>> =
            State::ALL.into_iter().filter(|state| state.is_idle()).map(reason).collect();
        let running = reason(State::Oncpu);
        with(&Shown {
            cpu: mode.has_samples(),
            waits: mode.has_waits(),
            wakers: mode == Mode::Wakers,
            running: (mode == Mode::Wall).then_some(&*running),
            without: if no_idle { &idle } else { &[] },
            parts,
        })
    }

    /// Whether what was looked at in this way is shown.
    #[must_use]
    pub fn has(&self, looked: Looked) -> bool {
        match looked {
            Looked::Cpu => self.cpu,
            Looked::Wait => self.waits,
        }
    }

    /// The frame on top of what was looked at in this way.
    #[must_use]
    pub fn top(&self, looked: Looked) -> Option<Frame> {
        let name = self.running.filter(|_| looked == Looked::Cpu)?;
        Some(Frame::new(name, Kind::Reason))
    }

    /// What an entry weighs: samples, or the ns of waits and of what ran beside them.
    #[must_use]
    pub fn weight(&self, looked: Looked, entry: &Entry) -> u64 {
        if looked == Looked::Cpu && self.running.is_none() { entry.samples } else { entry.ns }
    }

    /// Whether a frame is in its stacks.
    #[must_use]
    pub fn passes(&self, frame: &Frame) -> bool {
        match frame.kind {
            Kind::Waker => self.wakers,
            Kind::Reason => true,
            Kind::Kernel => self.parts != Parts::User,
            _ => self.parts != Parts::Kernel,
        }
    }

    /// For each stack of a trie, by its number, whether it is left out.
    #[must_use]
    pub fn left_out(&self, trie: &Trie) -> Vec<bool> {
        let frames: Vec<bool> = trie.frames.iter().map(|frame| self.leaves_out(frame)).collect();
        let mut all = Vec::with_capacity(trie.nodes.len() + 1);
        all.push(false);
        // A parent has a smaller number.
        for node in &trie.nodes {
            all.push(frames[node.frame as usize] || all[node.parent as usize]);
        }
        all
    }

    fn leaves_out(&self, frame: &Frame) -> bool {
        frame.kind == Kind::Reason && self.without.contains(&frame.name)
    }
}

impl Block {
    /// Its samples as a timeline: one point a stack, process and column, at the start of the column. Time 1 is the start of
    /// the block. `place` says what a process belongs to.
    #[must_use]
    pub fn timeline(&self, shown: &Shown<'_>, place: impl Fn(&super::Group) -> Arc<str>) -> Timeline {
        let mut done = Timeline { frames: self.trie.frames.clone(), ..Timeline::default() };
        done.threads = self
            .groups
            .iter()
            .map(|group| Thread {
                tgid: group.tgid,
                tid: group.tgid,
                comm: Arc::clone(&group.comm),
                process: Some(Arc::clone(&group.comm)),
                group: Some(place(group)),
            })
            .collect();
        let running = shown.top(Looked::Cpu).map(|top| {
            done.frames.push(top);
            done.frames.len() as FrameId - 1
        });
        let mut ids = HashMap::new();
        for looked in Looked::ALL {
            if !shown.has(looked) {
                continue;
            }
            let top = running.filter(|_| looked == Looked::Cpu);
            done.names.add(&take_names(&self.counters, looked));
            let mut known: HashMap<NodeId, Option<u32>> = HashMap::new();
            for entry in self.entries(looked) {
                let stack = *known.entry(entry.node).or_insert_with(|| {
                    let stack = self.stack(entry.node, shown, top)?;
                    Some(intern(&mut ids, &mut done.stacks, stack))
                });
                let weight = shown.weight(looked, entry);
                let Some(stack) = stack.filter(|_| weight > 0) else { continue };
                let at = MonoNs(1 + u64::from(entry.column) * self.column.0);
                done.points.push(Point { at, thread: entry.group, stack, weight });
            }
        }
        // It came from elsewhere.
        done.cleaned()
    }

    /// Frames of a stack, root first; `None` if it is left out.
    fn stack(&self, node: NodeId, shown: &Shown<'_>, top: Option<FrameId>) -> Option<Box<[FrameId]>> {
        let mut stack: Vec<FrameId> = Vec::new();
        let mut left_out = false;
        for id in self.trie.path(node) {
            let frame = &self.trie.frames[id as usize];
            left_out |= shown.leaves_out(frame);
            if shown.passes(frame) {
                stack.push(id);
            }
        }
        stack.reverse();
        stack.extend(top);
        (!left_out).then(|| stack.into())
    }
}
