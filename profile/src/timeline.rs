//! Samples and names → samples with readable stacks, each with its time and thread: what every format is written
//! from. Pure: no I/O, no clock.

mod loom;

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use agent_common::text::cleaned;
use agent_common::units::MonoNs;
use serde::{Deserialize, Serialize};

use crate::coverage::NameCoverage;
use crate::frame::Frame;
use crate::names::Names;
use crate::options::{FoldOptions, Roots};
use crate::sample::{Sample, Stacked};
use loom::{Extras, Loom};

/// Index in [`Timeline::frames`].
pub type FrameId = u32;

/// Samples with readable stacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Every frame, each once.
    pub frames: Vec<Frame>,
    /// Every stack, each once, root first. Threads and processes are not in them.
    pub stacks: Vec<Box<[FrameId]>>,
    /// Every thread.
    pub threads: Vec<Thread>,
    /// The samples, in the order they were given.
    pub points: Vec<Point>,
    /// How many frames have a name.
    pub names: NameCoverage,
}

/// A thread that was sampled. One that changes its name has the last; where its process' name is not known it is several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Thread {
    /// Process (thread group).
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// Its name.
    pub comm: Arc<str>,
    /// Its process' name, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Arc<str>>,
    /// What the process belongs to: a container, a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Arc<str>>,
}

impl Thread {
    /// Its process' name; its own where that is not known.
    #[must_use]
    pub fn process_name(&self) -> &Arc<str> {
        self.process.as_ref().unwrap_or(&self.comm)
    }

    /// The frame at the root of its stacks. Process 0 is the idle task, or stands for an unknown process.
    pub(crate) fn root(&self, roots: Roots) -> Option<Arc<str>> {
        let Self { tgid, tid, comm, .. } = self;
        let process = self.process_name();
        match roots {
            Roots::None => None,
            Roots::Process if *tgid != 0 => Some(format!("{process}-{tgid}").into()),
            Roots::Thread if *tgid != 0 => Some(format!("{comm}-{tgid}/{tid}").into()),
            Roots::Comm | Roots::Group | Roots::Process | Roots::Thread => Some(Arc::clone(process)),
        }
    }
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// When it was taken; 0: not known.
    #[serde(rename = "at_ns")]
    pub at: MonoNs,
    /// Index in [`Timeline::threads`].
    pub thread: u32,
    /// Index in [`Timeline::stacks`].
    pub stack: u32,
    /// What it stands for: samples, or ns. Never zero.
    pub weight: u64,
}

impl Timeline {
    /// Names the frames of `stacks` with `names`. Of `options`, [`FoldOptions::parts`] says which, and
    /// [`FoldOptions::roots`] how a waker is called.
    ///
    /// A name missing from `names` counts as [`Unnamed::Failed`] and shows as `[unknown]`.
    #[must_use]
    pub fn new<'s>(
        stacks: impl IntoIterator<Item = &'s Stacked>,
        names: &Names,
        options: &FoldOptions,
    ) -> Self {
        let mut loom = Loom::new(names, *options);
        for one in stacks {
            loom.add(
                &one.sample,
                Extras {
                    process: one.process.as_ref(),
                    reason: one.reason.as_ref(),
                    waker: one.waker.as_ref().map(|waker| (waker, one.waker_process.as_ref())),
                    group: one.group.as_ref(),
                },
            );
        }
        loom.done.cleaned()
    }

    /// The same of plain samples.
    pub(crate) fn of_samples(samples: &[Sample], names: &Names, options: FoldOptions) -> Self {
        let mut loom = Loom::new(names, options);
        for sample in samples {
            loom.add(sample, Extras::default());
        }
        loom.done.cleaned()
    }

    /// With every name made safe to show: symbols, paths, comms and groups are other users' words. Each format is made
    /// of a timeline, so none of them meets a raw one.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        for frame in &mut self.frames {
            clean_arc(&mut frame.name);
            frame.module.iter_mut().for_each(clean_arc);
            frame.source.iter_mut().for_each(|source| clean_arc(&mut source.file));
        }
        for thread in &mut self.threads {
            clean_arc(&mut thread.comm);
            thread.process.iter_mut().for_each(clean_arc);
            thread.group.iter_mut().for_each(clean_arc);
        }
        self
    }

    /// The frames of a point's stack, root first.
    pub fn stack_of(&self, point: &Point) -> impl DoubleEndedIterator<Item = &Frame> {
        self.stacks[point.stack as usize].iter().map(|&id| &self.frames[id as usize])
    }

    /// Sum of the weights.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.points.iter().fold(0, |sum, point| sum.saturating_add(point.weight))
    }

    /// Time of the first sample and of the last; `None` without samples. A sample at 0 has no time.
    #[must_use]
    pub fn span(&self) -> Option<(MonoNs, MonoNs)> {
        let times = self.points.iter().map(|point| point.at).filter(|at| *at > MonoNs(0));
        Some((times.clone().min()?, times.max()?))
    }

    /// Every index is one of an entry: what came from elsewhere must be asked before it is indexed.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let frames = self.frames.len();
        self.stacks.iter().flatten().all(|&id| (id as usize) < frames)
            && self.points.iter().all(|point| {
                (point.thread as usize) < self.threads.len() && (point.stack as usize) < self.stacks.len()
            })
    }
}

fn clean_arc(text: &mut Arc<str>) {
    if let Cow::Owned(clean) = cleaned(text) {
        *text = clean.into();
    }
}

/// The number of `value` in `list`, where it is put if it is new.
pub fn intern<T: Clone + Eq + Hash, S: BuildHasher>(
    ids: &mut HashMap<T, u32, S>,
    list: &mut Vec<T>,
    value: T,
) -> u32 {
    if let Some(&id) = ids.get(&value) {
        return id;
    }
    let id = list.len() as u32;
    list.push(value.clone());
    ids.insert(value, id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Kind, Source};
    use crate::testing::example;

    #[test]
    fn inlined_functions_stand_on_the_one_they_are_in() {
        let timeline = example();
        let stack: Vec<(&str, Kind)> =
            timeline.stack_of(&timeline.points[0]).map(|frame| (&*frame.name, frame.kind)).collect();
        assert_eq!(stack, [("main", Kind::Native), ("work", Kind::Native), ("inner", Kind::Inlined)]);
        let inner = timeline.stack_of(&timeline.points[0]).next_back().unwrap();
        assert_eq!(inner.source, Some(Source { file: "/src/inner.h".into(), line: 3 }));
        assert_eq!(inner.module.as_deref(), Some("/usr/bin/app"));
    }

    #[test]
    fn each_frame_stack_and_thread_is_there_once() {
        let timeline = example();
        assert_eq!((timeline.threads.len(), timeline.stacks.len(), timeline.points.len()), (3, 3, 4));
        assert_eq!(timeline.points[0].stack, timeline.points[3].stack);
        assert_eq!(timeline.frames.len(), 6);
        assert_eq!(
            (timeline.total(), timeline.span()),
            (7, Some((MonoNs(1_000_000_000), MonoNs(2_020_000_000))))
        );
        assert_eq!((timeline.names.frames, timeline.names.named), (8, 7), "inlined ones are not counted");
        assert!(timeline.is_sound());
    }

    #[test]
    fn a_thread_that_changes_its_name_is_one_of_its_process() {
        let request = |at, comm: &str| {
            let (kernel, user) = ([].into(), [].into());
            let sample =
                Sample { at: MonoNs(at), tgid: 7, tid: 8, comm: comm.into(), kernel, user, weight: 1 };
            Stacked { process: Some("server".into()), ..Stacked::from(sample) }
        };
        let stacks = [request(10, "req 1"), request(30, "req 3"), request(20, "req 2")];
        let timeline = Timeline::new(&stacks, &Names::default(), &FoldOptions::default());
        let threads: Vec<(&str, &str)> =
            timeline.threads.iter().map(|one| (&**one.process_name(), &*one.comm)).collect();
        assert_eq!(threads, [("server", "req 3")]);
        for (roots, root) in
            [(Roots::Comm, "server"), (Roots::Process, "server-7"), (Roots::Thread, "req 3-7/8")]
        {
            let folded = crate::Folded::new(&timeline, &FoldOptions { roots, ..FoldOptions::default() });
            assert_eq!(folded.stacks, [(root.to_owned(), 3)]);
        }
    }

    #[test]
    fn an_index_out_of_place_is_seen() {
        let timeline = example();
        let mut bad = timeline.clone();
        bad.points[1].thread = 3;
        assert!(!bad.is_sound());
        let mut bad = timeline;
        bad.stacks[0] = [99].into();
        assert!(!bad.is_sound());
    }
}
