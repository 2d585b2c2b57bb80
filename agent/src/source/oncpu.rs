//! On-CPU samples from the probes, with the processes seen for the first time.

use std::collections::{HashMap, HashSet};

use agent_common::abi::oncpu::SampleHeader;
use agent_common::abi::python::{PythonFrame, PythonVerdict};
use agent_common::abi::unwind::Verdict;
use agent_common::units::{MonoNs, Tgid};
use diagnosis::window::{Pythons, Unwound};
use profile::Sample;

use super::comms::Comms;
use super::python::CodeSeen;
use super::unwind::{Copied, Walked};

/// A process sampled for the first time, or one that such a process was forked from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fresh {
    /// The process.
    pub tgid: Tgid,
    /// Who forked it, where it has not called exec since: it has that process' mappings, and may be gone already.
    pub parent: Option<Tgid>,
}

/// Most ancestors of a process that are searched for its mappings: forks without exec are rarely nested.
const MAX_ANCESTORS: usize = 8;

/// Samples since the last window.
#[derive(Debug, Default)]
pub struct OncpuSource {
    samples: Vec<Sample>,
    known: HashSet<Tgid>,
    fresh: Vec<Tgid>,
    names: Comms,
    unwound: Unwound,
    pythons: Pythons,
    code: CodeSeen,
    /// Stacks that were copied since the last poll.
    copied: Vec<CopiedStack>,
    /// Samples whose stacks are being walked: number, place in `samples`, and the verdict until then.
    walking: HashMap<u64, (usize, usize)>,
    /// Stacks copied so far.
    number: u64,
    /// Sampled since the last poll; true: in code that the unwinder does not know.
    sampled: HashMap<Tgid, bool>,
}

/// The stack of a process that the kernel side did not know yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedStack {
    /// Its number.
    pub id: u64,
    /// The process.
    pub tgid: Tgid,
    /// When.
    pub at: MonoNs,
    /// The stack.
    pub copied: Copied,
}

impl OncpuSource {
    /// Takes one sample off the ring.
    pub fn sample(&mut self, header: &SampleHeader, kernel: &[u64], user: &[u64], copied: &[u64]) {
        let tgid = Tgid(header.tgid);
        self.seen(tgid);
        let verdict = usize::from(header.verdict).min(Verdict::ALL.len() - 1);
        self.unwound.entry(tgid).or_default()[verdict] += 1;
        if header.python != PythonVerdict::None as u8 {
            let verdict = usize::from(header.python).min(PythonVerdict::ALL.len() - 1);
            self.pythons.entry(tgid).or_default()[verdict] += 1;
            self.code.stack(tgid, user);
        }
        *self.sampled.entry(tgid).or_default() |= header.stale != 0;
        let comm = self.names.get(&header.comm);
        self.copied(header, copied);
        self.samples.push(Sample {
            at: MonoNs(header.at_ns),
            tgid: header.tgid,
            tid: header.tid,
            comm,
            kernel: kernel.into(),
            user: user.into(),
            weight: 1,
        });
    }

    /// Puts a copied stack aside for whoever walks it.
    fn copied(&mut self, header: &SampleHeader, words: &[u64]) {
        let Some((&[pc, sp, bp], stack)) = words.split_first_chunk() else { return };
        self.number += 1;
        let verdict = usize::from(header.verdict).min(Verdict::ALL.len() - 1);
        self.walking.insert(self.number, (self.samples.len(), verdict));
        self.copied.push(CopiedStack {
            id: self.number,
            tgid: Tgid(header.tgid),
            at: MonoNs(header.at_ns),
            copied: Copied { pc, sp, bp, stack: stack.into() },
        });
    }

    /// A stack was walked: in place of the native frames that there are. One that comes too late for its window is left out.
    pub fn walked(&mut self, walked: Walked) {
        let Some((place, before)) = self.walking.remove(&walked.id) else { return };
        let Some(sample) = self.samples.get_mut(place) else { return };
        if walked.verdict == Verdict::NoProcess {
            return;
        }
        let is_native = |word: &&u64| PythonFrame::of(**word).is_none();
        let python = sample.user.iter().skip_while(is_native);
        sample.user = walked.frames.into_iter().chain(python.copied()).collect();
        let verdicts = self.unwound.entry(Tgid(sample.tgid)).or_default();
        verdicts[before] = verdicts[before].saturating_sub(1);
        verdicts[walked.verdict as usize] += 1;
    }

    /// Stacks are being walked.
    #[must_use]
    pub fn is_walking(&self) -> bool {
        !self.walking.is_empty()
    }

    /// Stacks copied since the last call.
    pub fn take_copied(&mut self) -> Vec<CopiedStack> {
        std::mem::take(&mut self.copied)
    }

    /// There are stacks of this process.
    pub fn seen(&mut self, tgid: Tgid) {
        if self.known.insert(tgid) {
            self.fresh.push(tgid);
        }
    }

    /// Processes sampled for the first time since the last call, parents before their children. The parent of one that
    /// may be gone already comes along though it is known: its mappings of long ago, perhaps of its loader, are not
    /// those that it passed on.
    pub fn take_fresh(&mut self, forked_by: impl Fn(Tgid) -> Option<Tgid>) -> Vec<Fresh> {
        let sampled = std::mem::take(&mut self.fresh);
        let mut pending: HashSet<Tgid> = sampled.iter().copied().collect();
        let mut again: HashSet<Tgid> = HashSet::new();
        let mut fresh = Vec::with_capacity(sampled.len());
        for tgid in sampled {
            if !pending.remove(&tgid) {
                continue;
            }
            let mut line = vec![Fresh { tgid, parent: forked_by(tgid) }];
            while let Some(&Fresh { parent: Some(parent), .. }) = line.last()
                && line.len() <= MAX_ANCESTORS
                && !again.contains(&parent)
            {
                let known = !pending.remove(&parent) && !self.known.insert(parent);
                again.insert(parent);
                line.push(Fresh { tgid: parent, parent: if known { None } else { forked_by(parent) } });
            }
            fresh.extend(line.into_iter().rev());
        }
        fresh
    }

    /// A process is gone: whoever gets its number is another one. So is what exec put in its place.
    pub fn forget(&mut self, tgid: Tgid) {
        self.known.remove(&tgid);
    }

    /// Processes sampled since the last call; true: in code that the unwinder does not know.
    pub fn take_sampled(&mut self) -> Vec<(Tgid, bool)> {
        self.sampled.drain().collect()
    }

    /// How the walks of the samples since the last call ended.
    pub fn take_unwound(&mut self) -> Unwound {
        std::mem::take(&mut self.unwound)
    }

    /// How the walks up Python frames of the samples since the last call ended.
    pub fn take_pythons(&mut self) -> Pythons {
        std::mem::take(&mut self.pythons)
    }

    /// Code objects sampled since the last call.
    pub fn take_code(&mut self) -> Vec<(Tgid, Vec<u64>)> {
        self.code.take()
    }

    /// Samples since the last call.
    pub fn take(&mut self) -> Vec<Sample> {
        self.walking.clear();
        std::mem::take(&mut self.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(source: &mut OncpuSource, tgid: u32) {
        source.sample(&SampleHeader { tgid, ..SampleHeader::default() }, &[], &[], &[]);
    }

    #[test]
    fn a_copied_stack_that_is_walked_takes_the_place_of_the_native_frames() {
        let mut source = OncpuSource::default();
        let header = SampleHeader { tgid: 7, verdict: Verdict::NoProcess as u8, ..SampleHeader::default() };
        let python = PythonFrame::new(0x7000, 3, true).0;
        for _ in 0..2 {
            source.sample(&header, &[], &[0x10, 0x15, python], &[0x10, 0x7f00, 0, 1, 2, 3]);
        }
        let [first, second] = &source.take_copied()[..] else { panic!("two stacks") };
        assert_eq!((&*first.copied.stack, second.copied.sp), (&[1, 2, 3][..], 0x7f00));
        source.walked(Walked { id: second.id, frames: vec![0x10, 0x20], verdict: Verdict::Complete });
        assert!(source.is_walking());
        let unwound = source.take_unwound()[&Tgid(7)];
        assert_eq!((unwound[Verdict::NoProcess as usize], unwound[Verdict::Complete as usize]), (1, 1));
        let stacks: Vec<Vec<u64>> = source.take().iter().map(|sample| sample.user.to_vec()).collect();
        assert_eq!(stacks, [vec![0x10, 0x15, python], vec![0x10, 0x20, python]]);
        source.walked(Walked { id: first.id, frames: vec![0x30], verdict: Verdict::Complete });
        assert!(!source.is_walking() && source.take().is_empty());
    }

    #[test]
    fn parents_come_before_their_children_and_each_once() {
        // 1 forked 2, 2 forked 3; the parent of 1 is unknown.
        let forked_by = |tgid: Tgid| (1 < tgid.0 && tgid.0 < 4).then(|| Tgid(tgid.0 - 1));
        let mut source = OncpuSource::default();
        sampled(&mut source, 3);
        sampled(&mut source, 2);
        sampled(&mut source, 9);
        let order: Vec<(u32, Option<u32>)> =
            source.take_fresh(forked_by).iter().map(|f| (f.tgid.0, f.parent.map(|p| p.0))).collect();
        assert_eq!(order, [(1, None), (2, Some(1)), (3, Some(2)), (9, None)]);
        sampled(&mut source, 1);
        assert_eq!(source.take_fresh(forked_by), []);
    }
}
