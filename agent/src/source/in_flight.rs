//! System calls that have not returned, so that a hung process is visible.
//!
//! While calls are timed, the BPF side's entry table has the start of each call that began after the probes were attached. A
//! thread whose slot was never written is still in the call in which the probes found it. `/proc/PID/task/TID/syscall` names
//! that call; it is at least as old as the probes.
//!
//! While calls are only counted, there is no table. The collector then reads threads in `/proc`: a thread that has not run
//! between two readings has been in its call since the first.

use std::collections::HashMap;
use std::fs;

use agent_common::abi::syscalls::{FLAG_COMPAT, SyscallEntry};
use agent_common::units::{DurNs, MonoNs, Tgid, Tid};
use diagnosis::window::SyscallAbi;

/// Most threads read through `/proc` in one window, 10 to 15 µs each: 3 ms a second.
const MAX_THREADS: usize = 200;

/// A call in flight; [`diagnosis::window::InFlight`] without the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Process.
    pub tgid: Tgid,
    /// Thread.
    pub tid: Tid,
    /// Table.
    pub abi: SyscallAbi,
    /// Number.
    pub nr: u16,
    /// When it began, or was first seen.
    pub since: MonoNs,
    /// It was first seen then, and began earlier.
    pub at_least: bool,
}

/// A thread in a call whose start was not seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    tgid: Tgid,
    nr: u16,
    since: MonoNs,
    /// Times it was given a CPU: unchanged means it has been in the same call throughout.
    runs: u64,
}

/// Remembers threads that were in a call when they were first looked at.
#[derive(Debug, Default)]
pub struct InFlightSource {
    seen: HashMap<Tid, Seen>,
    /// Threads to look at in the coming windows.
    queue: Vec<(Tgid, Tid)>,
}

impl InFlightSource {
    /// Looks at every thread of `tgids`, once: the calls they are in began before the probes.
    pub fn look_at_all(&mut self, tgids: impl IntoIterator<Item = Tgid>, now: MonoNs) {
        for tgid in tgids {
            for tid in threads(tgid) {
                self.look(tgid, tid, now);
            }
        }
    }

    fn look(&mut self, tgid: Tgid, tid: Tid, now: MonoNs) {
        let Some((nr, runs)) = blocked_in(tgid, tid) else {
            self.seen.remove(&tid);
            return;
        };
        let fresh = Seen { tgid, nr, since: now, runs };
        let seen = self.seen.entry(tid).or_insert(fresh);
        if (seen.tgid, seen.nr, seen.runs) != (tgid, nr, runs) {
            *seen = fresh;
        }
    }

    /// Counting only: looks at some of the threads of `tgids` again, in turn.
    pub fn look_on(&mut self, tgids: impl Iterator<Item = Tgid>, now: MonoNs) {
        if self.queue.is_empty() {
            self.queue = tgids.flat_map(|tgid| threads(tgid).map(move |tid| (tgid, tid))).collect();
            let queue = &self.queue;
            let alive: std::collections::HashSet<Tid> = queue.iter().map(|(_, tid)| *tid).collect();
            self.seen.retain(|tid, _| alive.contains(tid));
        }
        for _ in 0..MAX_THREADS {
            let Some((tgid, tid)) = self.queue.pop() else { break };
            self.look(tgid, tid, now);
        }
    }

    /// Timing: calls of the table, and of threads that have not entered any since the probes were attached. `slot`
    /// gives a thread's slot of the table.
    pub fn timed(
        &mut self,
        table: impl Iterator<Item = SyscallEntry>,
        slot: impl Fn(u32) -> SyscallEntry,
        passes: impl Fn(Tgid) -> bool,
    ) -> Vec<Call> {
        self.seen.retain(|tid, seen| slot(tid.0).tid != tid.0 && runs_of(seen.tgid, *tid) == Some(seen.runs));
        let mut calls = self.counted(&passes);
        calls.extend(table.filter(|e| passes(Tgid(e.tgid))).map(|e| Call {
            tgid: Tgid(e.tgid),
            tid: Tid(e.tid),
            abi: if e.flags & u16::from(FLAG_COMPAT) != 0 { SyscallAbi::Compat } else { SyscallAbi::Native },
            nr: e.nr,
            since: MonoNs(e.start_ns),
            at_least: false,
        }));
        calls
    }

    /// Counting only: what was seen through `/proc`.
    pub fn counted(&self, passes: impl Fn(Tgid) -> bool) -> Vec<Call> {
        let calls = self.seen.iter().filter(|(_, seen)| passes(seen.tgid));
        calls
            .map(|(tid, seen)| Call {
                tgid: seen.tgid,
                tid: *tid,
                abi: SyscallAbi::Native,
                nr: seen.nr,
                since: seen.since,
                at_least: true,
            })
            .collect()
    }
}

impl Call {
    /// Age at `now`.
    #[must_use]
    pub const fn age(&self, now: MonoNs) -> DurNs {
        now.since(self.since)
    }
}

/// The threads of a process.
pub(super) fn threads(tgid: Tgid) -> impl Iterator<Item = Tid> {
    let entries = fs::read_dir(format!("/proc/{tgid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok()).map(Tid))
}

/// Number of the call a thread is blocked in, and how often it was given a CPU. `None`: it runs, is a kernel thread,
/// is gone, or may not be looked at.
fn blocked_in(tgid: Tgid, tid: Tid) -> Option<(u16, u64)> {
    let text = fs::read_to_string(format!("/proc/{tgid}/task/{tid}/syscall")).ok()?;
    let mut words = text.split_whitespace();
    let nr: i64 = words.next()?.parse().ok()?;
    // Up to 6.12 a kernel thread shows call 0 with an empty frame: neither stack nor instruction pointer.
    if words.next_back() == Some("0x0") {
        return None;
    }
    // -1: blocked, but not in a call (a page fault); kernel threads show it as well.
    let nr = u16::try_from(nr).ok()?;
    Some((nr, runs_of(tgid, tid)?))
}

fn runs_of(tgid: Tgid, tid: Tid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{tgid}/task/{tid}/schedstat")).ok()?;
    text.split_whitespace().nth(2)?.parse().ok()
}
