//! Stacks with names, in the making: each frame, stack and thread once.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::abi::python::PythonFrame;
use agent_common::units::MonoNs;

use super::{FrameId, Point, Thread, Timeline, intern};
use crate::coverage::Unnamed;
use crate::frame::{Frame, Kind};
use crate::interpreted;
use crate::names::{NameId, Names, Role};
use crate::options::{FoldOptions, Parts};
use crate::sample::{Sample, lookup_addr};

/// What comes with a sample: the name of its process, a reason, a waker with the name of its process, a group.
#[derive(Clone, Copy, Default)]
pub(super) struct Extras<'s> {
    pub(super) process: Option<&'s Arc<str>>,
    pub(super) reason: Option<&'s Arc<str>>,
    pub(super) waker: Option<(&'s Sample, Option<&'s Arc<str>>)>,
    pub(super) group: Option<&'s Arc<str>>,
}

/// A timeline in the making.
pub(super) struct Loom<'a> {
    names: &'a Names,
    options: FoldOptions,
    pub(super) done: Timeline,
    frames: HashMap<Frame, FrameId>,
    stacks: HashMap<Box<[FrameId]>, u32>,
    threads: HashMap<Thread, u32>,
    /// When each thread got the name that it has.
    renamed: Vec<MonoNs>,
    /// The frames of a name as user and as kernel code, where it has been asked for: a range of `expanded`.
    user: Vec<Option<(u32, u32)>>,
    kernel: Vec<Option<(u32, u32)>>,
    expanded: Vec<FrameId>,
}

impl<'a> Loom<'a> {
    pub(super) fn new(names: &'a Names, options: FoldOptions) -> Self {
        let unset = vec![None; names.len()];
        Self {
            names,
            options,
            done: Timeline::default(),
            frames: HashMap::new(),
            stacks: HashMap::new(),
            threads: HashMap::new(),
            renamed: Vec::new(),
            user: unset.clone(),
            kernel: unset,
            expanded: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, sample: &Sample, Extras { process, reason, waker, group }: Extras<'_>) {
        let mut stack = Vec::with_capacity(sample.user.len() + sample.kernel.len());
        self.push_stack(&mut stack, sample);
        if let Some(reason) = reason {
            stack.push(self.frame(Frame::new(Arc::clone(reason), Kind::Reason)));
        }
        if let Some((waker, process)) = waker {
            self.push_waker(&mut stack, waker, process);
        }
        if sample.weight == 0 {
            return;
        }
        let thread = self.thread(sample, process, group);
        let stack = intern(&mut self.stacks, &mut self.done.stacks, stack.into_boxed_slice());
        self.done.points.push(Point { at: sample.at, thread, stack, weight: sample.weight });
    }

    /// The thread of a sample, under its latest name.
    fn thread(&mut self, sample: &Sample, process: Option<&Arc<str>>, group: Option<&Arc<str>>) -> u32 {
        let (tgid, tid) = (sample.tgid, sample.tid);
        let comm = if process.is_some() { "".into() } else { Arc::clone(&sample.comm) };
        let thread = Thread { tgid, tid, comm, process: process.cloned(), group: group.cloned() };
        let id = intern(&mut self.threads, &mut self.done.threads, thread);
        self.renamed.resize(self.done.threads.len(), MonoNs(0));
        if process.is_some() && sample.at >= self.renamed[id as usize] {
            self.renamed[id as usize] = sample.at;
            self.done.threads[id as usize].comm = Arc::clone(&sample.comm);
        }
        id
    }

    /// The one place where stacks turn from leaf first to root first: user frames, then the kernel's on top.
    fn push_stack(&mut self, stack: &mut Vec<FrameId>, sample: &Sample) {
        let user = if self.options.parts == Parts::Kernel { &[][..] } else { &sample.user };
        let kernel = if self.options.parts == Parts::User { &[][..] } else { &sample.kernel };
        let named =
            |index: usize| self.names.user_id(sample.tgid, lookup_addr(index, user[index]), sample.at);
        let python = user.last().is_some_and(|word| PythonFrame::of(*word).is_some());
        let order = if python {
            let is_loop = |index| named(index).is_some_and(|id| self.names.get(id).role == Role::Loop);
            let merged = interpreted::merge(user, is_loop);
            self.done.names.count_python(merged.fits);
            merged.order
        } else {
            (0..user.len()).collect()
        };
        let mut lost = false;
        for index in order.into_iter().rev() {
            let name = named(index);
            // Code without frame pointers uses that register for something else, and the walk then strays
            // through up to 126 addresses of nothing: that is one hole in the stack, not so many frames.
            let reason = name.and_then(|id| self.names.get(id).unnamed);
            let known = !matches!(reason, Some(Unnamed::Unmapped | Unnamed::ProcessGone));
            if known || !lost {
                self.push_name(stack, name, false);
            }
            lost = !known;
        }
        for (index, &addr) in kernel.iter().enumerate().rev() {
            let name = self.names.kernel_id(lookup_addr(index, addr));
            self.push_name(stack, name, true);
        }
    }

    /// The waker upside down: its leaf, where it made the wake-up, touches the reason; its name is at the very top.
    fn push_waker(&mut self, stack: &mut Vec<FrameId>, waker: &Sample, process: Option<&Arc<str>>) {
        let from = stack.len();
        let comm = Arc::clone(&waker.comm);
        let thread =
            Thread { tgid: waker.tgid, tid: waker.tid, comm, process: process.cloned(), group: None };
        if let Some(root) = thread.root(self.options.roots) {
            stack.push(self.frame(Frame::new(root, Kind::Waker)));
        }
        self.push_stack(stack, waker);
        stack[from..].reverse();
        for id in &mut stack[from..] {
            let frame = self.done.frames[*id as usize].clone();
            *id = self.frame(Frame { kind: Kind::Waker, ..frame });
        }
    }

    /// The function at an address, and what is inlined into it there.
    fn push_name(&mut self, stack: &mut Vec<FrameId>, name: Option<NameId>, kernel: bool) {
        let Some(id) = name else {
            self.done.names.count(kernel, Some(Unnamed::Failed));
            let kind = if kernel { Kind::Kernel } else { Kind::Unnamed };
            stack.push(self.frame(Frame::new("[unknown]", kind)));
            return;
        };
        let named = self.names.get(id);
        self.done.names.count(kernel, named.unnamed);
        if let Some(code) = &named.code
            && let (Some(what), Some(module)) = (code.not_read, &code.module)
        {
            self.done.names.count_not_read(what, module);
        }
        let known = if kernel { &self.kernel } else { &self.user }[id as usize];
        let (from, to) = known.unwrap_or_else(|| self.expand(id, kernel));
        stack.extend_from_slice(&self.expanded[from as usize..to as usize]);
    }

    fn expand(&mut self, id: NameId, kernel: bool) -> (u32, u32) {
        let names = self.names;
        let name = names.get(id);
        let kind = match (kernel, name.jit, name.unnamed) {
            (true, ..) => Kind::Kernel,
            (.., None) if name.role == Role::Function => Kind::Interpreted,
            (_, true, _) => Kind::of_jit(&name.text),
            (.., Some(_)) => Kind::Unnamed,
            _ => Kind::Native,
        };
        let code = name.code.as_deref();
        let module = code.and_then(|code| code.module.clone());
        let source = code.and_then(|code| code.source.clone());
        let from = self.expanded.len() as u32;
        let outer = self.frame(Frame { name: Arc::clone(&name.text), kind, module: module.clone(), source });
        self.expanded.push(outer);
        for inlined in name.inlined() {
            let frame = self.frame(Frame {
                name: Arc::clone(&inlined.text),
                // Where it runs says more than how it got there.
                kind: if kernel { Kind::Kernel } else { Kind::Inlined },
                module: module.clone(),
                source: inlined.source.clone(),
            });
            self.expanded.push(frame);
        }
        let range = (from, self.expanded.len() as u32);
        let slot = if kernel { &mut self.kernel } else { &mut self.user };
        slot[id as usize] = Some(range);
        range
    }

    fn frame(&mut self, frame: Frame) -> FrameId {
        intern(&mut self.frames, &mut self.done.frames, frame)
    }
}
