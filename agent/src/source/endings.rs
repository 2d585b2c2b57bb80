//! Ends of processes: what the kernel side saw of each, put together when the process is gone.
//!
//! An end comes in two parts. A fatal signal, or `exit_group` with a code, has the stack, while the memory is there; the exit of the last
//! thread has the status. Last words and failed calls stay in the kernel until then. A plain `exit(1)` of a process that wrote
//! nothing and whose calls did not fail is left out: a shell ends thousands like it a second.

mod kept;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use agent_common::abi::endings::{ENDED_CALLS, ENDED_WORDS, Ending, FailedCall, OomGroup};
use agent_common::abi::process::{ProcessEvent, numbered};
use agent_common::abi::unwind::Verdict;
use agent_common::units::{BootNs, DurNs, MonoNs, Tgid};
use diagnosis::window::TaskSample;
use flamegraphs::Mapped;
use profile::Sample;

use super::oncpu::CopiedStack;
use super::process::comm_str;
use super::unwind::{Copied, Walked};
use crate::bpf::Probes;

/// Processes that have begun to end and still have threads: one that dumps its core takes seconds. 2 KiB each.
const MAX_BEGUN: usize = 1024;
/// Ends that one poll (100 ms) reports: each costs two reads of 4 KiB here and some ms of naming later. What is more is counted.
const MAX_ENDS_PER_POLL: usize = 32;
/// Ends that wait for their stacks.
const MAX_WAITING: usize = 256;
/// Longest wait for a stack that is being walked.
const STACK_TIMEOUT: Duration = Duration::from_millis(2500);
/// Walks of a stack whose tables are being read: one a poll.
const MAX_WALKS: u32 = 25;
/// Words of a page, which a stack that ran over may have below what can be read.
const MAX_SKIPPED: usize = 512;
/// Ends that are remembered for the sake of children that end with their parents. 24 B each.
const MAX_RECENT: usize = 4096;
/// Numbers of copied stacks from here on are ends'; those below are samples'.
const STACK_IDS: u64 = 1 << 63;
/// The first process of a host, or the service manager.
const INIT: u32 = 1;

/// An end as the probes saw it.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The process.
    pub tgid: Tgid,
    /// Its start.
    pub start: BootNs,
    /// When it was gone.
    pub at: MonoNs,
    /// Its parent.
    pub parent: Tgid,
    /// Its name.
    pub comm: String,
    /// Its user.
    pub uid: u32,
    /// Wait status: `code << 8 | signal`, 0x80 = core dumped.
    pub status: u32,
    /// CPU time of all threads.
    pub cpu: DurNs,
    /// It was forked and never called exec with success.
    pub never_execed: bool,
    /// What was seen while it had its memory.
    pub ending: Option<Box<Ending>>,
    /// Its stack then, leaf first; nothing without `ending`.
    pub stack: Option<Sample>,
    /// What it wrote last, oldest first.
    pub words: Vec<LastWrite>,
    /// Its calls that failed last, oldest first.
    pub calls: Vec<FailedCall>,
    /// Whose memory was used up, if it was killed for it.
    pub oom: Option<OomGroup>,
    /// The process with the most memory in the last window, if this one was killed for memory.
    pub largest: Option<Arc<TaskSample>>,
    /// Path of its program, from its mappings.
    pub program: Option<String>,
    /// What it had mapped, if it began while we looked.
    pub mapped: Vec<Mapped>,
    /// What was known of it in the last window.
    pub known: Option<Arc<TaskSample>>,
    /// And of its parent.
    pub known_parent: Option<Arc<TaskSample>>,
    /// How its parent ended, where it did in the last minute: when, and its status.
    pub parent_end: Option<(MonoNs, u32)>,
}

/// One of its last writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWrite {
    /// When.
    pub at: MonoNs,
    /// 1 or 2.
    pub fd: u16,
    /// The first bytes.
    pub bytes: Vec<u8>,
    /// How many it wrote.
    pub whole: u32,
}

/// What is known of a process beyond the probes.
pub struct Around<'a> {
    /// Processes of the last window, by number.
    pub tasks: &'a [Arc<TaskSample>],
    /// Path of the program that a process ran at a time.
    pub program: &'a dyn Fn(Tgid, MonoNs) -> Option<String>,
    /// All that a process has, or had, mapped.
    pub mapped: &'a dyn Fn(Tgid) -> Vec<Mapped>,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Begun {
    ending: Box<Ending>,
    stack: Vec<u64>,
    /// The copied stack, until it is walked, and the walks of it.
    walking: Option<CopiedStack>,
    walks: u32,
}

/// Code and signal of a wait status: it has one of the two.
#[must_use]
pub const fn code_and_signal(status: u32) -> (Option<i32>, Option<u8>) {
    match (status & 0x7f) as u8 {
        0 => (Some((status >> 8 & 0xff) as i32), None),
        signal => (None, Some(signal)),
    }
}

/// Ends since the last poll.
#[derive(Debug, Default)]
pub struct EndingSource {
    begun: HashMap<u32, Begun>,
    order: VecDeque<u32>,
    exits: Vec<(ProcessEvent, bool)>,
    waiting: VecDeque<(Ended, u32)>,
    copied: Vec<CopiedStack>,
    /// To be walked once more with the next poll.
    again: Vec<CopiedStack>,
    stacks: u64,
    recent: VecDeque<(Tgid, MonoNs, u32)>,
    dropped: u64,
}

impl EndingSource {
    /// Takes an end off the ring.
    pub fn begins(&mut self, ending: &Ending, user: &[u64], copied: &[u64]) {
        let process = numbered(ending.tgid, ending.start_boot_ns);
        let mut begun = Begun { ending: Box::new(*ending), stack: user.into(), walking: None, walks: 0 };
        if let Some((&[pc, sp, bp], stack)) = copied.split_first_chunk() {
            self.stacks += 1;
            let id = STACK_IDS | self.stacks;
            let guard = std::iter::repeat_n(0, (ending.skipped as usize).min(MAX_SKIPPED));
            // The kernel side has its registers even where it could not walk.
            (begun.ending.ip, begun.ending.sp) = (pc, sp);
            let copied = CopiedStack {
                id,
                tgid: Tgid(ending.tgid),
                at: MonoNs(ending.at_ns),
                copied: Copied { pc, sp, bp, stack: guard.chain(stack.iter().copied()).collect() },
            };
            begun.walking = Some(copied.clone());
            self.copied.push(copied);
        }
        if self.begun.insert(process, begun).is_none() {
            self.order.push_back(process);
        }
        if self.order.len() > MAX_BEGUN
            && let Some(oldest) = self.order.pop_front()
        {
            self.begun.remove(&oldest);
        }
    }

    /// A process is gone.
    pub fn exit(&mut self, event: &ProcessEvent, never_execed: bool) {
        if self.recent.len() >= MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((Tgid(event.tgid), MonoNs(event.at_ns), event.exit_status));
        if event.exit_status == 0 {
            return;
        }
        let process = numbered(event.tgid, event.start_boot_ns);
        let matters = event.exit_status & 0x7f != 0
            || event.ended != 0
            || event.parent_tgid == INIT
            || self.begun.contains_key(&process);
        // Two threads that end at once may both be the last.
        let is_twin = |(known, _): &(ProcessEvent, bool)| {
            known.tgid == event.tgid && known.start_boot_ns == event.start_boot_ns
        };
        if matters && !self.exits.iter().rev().take(64).any(is_twin) {
            self.exits.push((*event, never_execed));
        }
    }

    /// Stacks to be walked since the last call.
    pub fn take_copied(&mut self) -> Vec<CopiedStack> {
        std::mem::take(&mut self.copied)
    }

    /// Takes a stack that was walked. False if it is not an end's.
    pub fn walked(&mut self, walked: &Walked) -> bool {
        if walked.id & STACK_IDS == 0 {
            return false;
        }
        let is_it = |begun: &&mut Begun| begun.walking.as_ref().is_some_and(|copied| copied.id == walked.id);
        if let Some(begun) = self.begun.values_mut().find(is_it) {
            begun.walks += 1;
            if walked.frames.len() >= begun.stack.len() || walked.verdict.is_complete() {
                begun.stack.clone_from(&walked.frames);
            }
            // The tables of its files are being read: the next poll may have them.
            let again = walked.verdict == Verdict::Pending && begun.walks < MAX_WALKS;
            match begun.walking.take_if(|_| !again) {
                Some(_) => {}
                None => self.again.extend(begun.walking.clone()),
            }
        }
        true
    }

    /// Ends that are complete. What the kernel keeps of them is taken at once.
    pub fn finish(&mut self, probes: &Probes, now: MonoNs, around: &Around<'_>) -> Vec<Ended> {
        let (mut words, mut calls) = (Vec::new(), Vec::new());
        for (nth, (event, never_execed)) in std::mem::take(&mut self.exits).into_iter().enumerate() {
            let process = numbered(event.tgid, event.start_boot_ns);
            if event.ended & ENDED_WORDS != 0 {
                words.push(process);
            }
            if event.ended & ENDED_CALLS != 0 {
                calls.push(process);
            }
            if nth >= MAX_ENDS_PER_POLL || self.waiting.len() >= MAX_WAITING {
                self.dropped += 1;
                self.begun.remove(&process);
                continue;
            }
            let ended = self.put_together(probes, &event, never_execed, around);
            self.waiting.push_back((ended, process));
        }
        if !words.is_empty() || !calls.is_empty() {
            probes.forget_ended(&words, &calls);
        }
        let mut complete = Vec::new();
        let mut still = VecDeque::new();
        for (mut ended, process) in std::mem::take(&mut self.waiting) {
            let walking = self.begun.get(&process).is_some_and(|begun| begun.walking.is_some());
            if walking && now.since(ended.at).0 < STACK_TIMEOUT.as_nanos() as u64 {
                still.push_back((ended, process));
                continue;
            }
            if let Some(begun) = self.begun.remove(&process) {
                ended.stack = Some(sample(&begun));
                ended.ending = Some(begun.ending);
            }
            complete.push(ended);
        }
        self.waiting = still;
        self.copied.append(&mut self.again);
        let begun = &self.begun;
        self.order.retain(|process| begun.contains_key(process));
        complete
    }

    fn put_together(
        &self,
        probes: &Probes,
        event: &ProcessEvent,
        never_execed: bool,
        around: &Around<'_>,
    ) -> Ended {
        let process = numbered(event.tgid, event.start_boot_ns);
        let (tgid, at) = (Tgid(event.tgid), MonoNs(event.at_ns));
        let known = task(around.tasks, tgid);
        // Its start there is cut to ticks of 10 ms.
        let is_it = |task: &Arc<TaskSample>| event.start_boot_ns.abs_diff(task.start_boot_ns.0) < 20_000_000;
        let parent = Tgid(event.parent_tgid);
        let parent_end = self.recent.iter().rev().find(|(tgid, ..)| *tgid == parent);
        let oom = probes.oom_group(event.tgid).filter(|oom| at.since(MonoNs(oom.at_ns)).0 < 60_000_000_000);
        let kept = event.ended;
        Ended {
            tgid,
            start: BootNs(event.start_boot_ns),
            at,
            parent,
            comm: comm_str(&event.comm).into_owned(),
            uid: event.uid,
            status: event.exit_status,
            // By whichever account there is more: limits go by the ticks.
            cpu: DurNs(event.cpu_ns.max(event.utime_ns + event.stime_ns)),
            never_execed,
            ending: None,
            stack: None,
            words: (kept & ENDED_WORDS != 0)
                .then(|| probes.last_words(process).map(|words| kept::writes(&words)))
                .flatten()
                .unwrap_or_default(),
            calls: (kept & ENDED_CALLS != 0)
                .then(|| probes.failed_calls(process).map(|calls| kept::in_order(&calls)))
                .flatten()
                .unwrap_or_default(),
            largest: oom.is_some().then(|| largest(around.tasks, tgid)).flatten(),
            oom,
            program: (around.program)(tgid, at),
            mapped: (around.mapped)(tgid),
            known: known.filter(is_it),
            known_parent: task(around.tasks, parent),
            parent_end: parent_end.map(|(_, at, status)| (*at, *status)),
        }
    }

    /// Ends that were not looked at since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

fn sample(begun: &Begun) -> Sample {
    Sample {
        at: MonoNs(begun.ending.at_ns),
        tgid: begun.ending.tgid,
        tid: begun.ending.tid,
        comm: comm_str(&begun.ending.comm).as_ref().into(),
        kernel: Box::default(),
        user: begun.stack.as_slice().into(),
        weight: 1,
    }
}

/// The process with the most memory, but for one.
fn largest(tasks: &[Arc<TaskSample>], but: Tgid) -> Option<Arc<TaskSample>> {
    tasks.iter().filter(|task| task.tgid != but).max_by_key(|task| task.rss_bytes).cloned()
}

fn task(tasks: &[Arc<TaskSample>], tgid: Tgid) -> Option<Arc<TaskSample>> {
    let at = tasks.binary_search_by_key(&tgid, |task| task.tgid).ok()?;
    Some(Arc::clone(&tasks[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_exit_with_a_code_is_left_out_and_what_wrote_or_was_killed_is_not() {
        let mut source = EndingSource::default();
        let event = ProcessEvent { tgid: 7, exit_status: 1 << 8, parent_tgid: 5, ..ProcessEvent::default() };
        source.exit(&event, false);
        source.exit(&ProcessEvent { exit_status: 0, ended: ENDED_WORDS, ..event }, false);
        assert!(source.exits.is_empty());
        source.exit(&ProcessEvent { tgid: 8, ended: ENDED_WORDS, ..event }, false);
        source.exit(&ProcessEvent { tgid: 9, exit_status: 9, ..event }, false);
        source.exit(&ProcessEvent { tgid: 9, exit_status: 9, ..event }, false);
        source.exit(&ProcessEvent { tgid: 10, parent_tgid: 1, ..event }, false);
        assert_eq!(source.exits.iter().map(|(event, _)| event.tgid).collect::<Vec<_>>(), [8, 9, 10]);
    }
}
