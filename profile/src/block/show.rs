//! Blocks → timelines, from which every picture and file is written.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::units::MonoNs;

use super::counters::take_names;
use super::{Block, Looked, NodeId};
use crate::frame::{Frame, Kind};
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
        let running = shown.running.map(|name| {
            done.frames.push(Frame::new(name, Kind::Reason));
            done.frames.len() as FrameId - 1
        });
        let mut ids = HashMap::new();
        for looked in Looked::ALL {
            let (wanted, top) = match looked {
                Looked::Cpu => (shown.cpu, running),
                Looked::Wait => (shown.waits, None),
            };
            if !wanted {
                continue;
            }
            done.names.add(&take_names(&self.counters, looked));
            let mut known: HashMap<NodeId, Option<u32>> = HashMap::new();
            for entry in self.entries(looked) {
                let stack = *known.entry(entry.node).or_insert_with(|| {
                    let stack = self.stack(entry.node, shown, top)?;
                    Some(intern(&mut ids, &mut done.stacks, stack))
                });
                let weight =
                    if looked == Looked::Cpu && running.is_none() { entry.samples } else { entry.ns };
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
            let passes = match frame.kind {
                Kind::Waker => shown.wakers,
                Kind::Reason => {
                    left_out |= shown.without.contains(&frame.name);
                    true
                }
                Kind::Kernel => shown.parts != Parts::User,
                _ => shown.parts != Parts::Kernel,
            };
            if passes {
                stack.push(id);
            }
        }
        stack.reverse();
        stack.extend(top);
        (!left_out).then(|| stack.into())
    }
}
