//! Where threads spent their time: differences of the slots, summed by process.
//!
//! A thread that was blocked before the probes were attached has no slot until it is woken. [`look`] reads its state from
//! `/proc` once. So every thread has a state at any time, and its states add up to wall-clock time.

mod kinds;
mod look;
mod sums;

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::abi::sched::{DEAD, FLAG_COMPAT, FLAG_NEW, FLAG_SHARED, NO_CALL, STATES, SchedSlot, State};
use agent_common::units::{MonoNs, Tgid, Tid};
use diagnosis::window::{OpenWait, ProcessTimes, SyscallAbi, ThreadTimes};

use self::look::Resting;
pub(super) use self::look::call;
use self::sums::{Sums, settle};
use super::comms::Comms;
use super::lasting::{Lasting, MIN_LOCK_WAIT, MIN_PEER_WAIT, is_for_files};

/// What was read of one thread so far.
#[derive(Debug)]
struct Last {
    /// Time in each state, that of the open one up to the reading included.
    ns: [i64; STATES],
    voluntary: u64,
    preempted: u64,
    seq: u32,
    /// Number of the reading that saw it.
    turn: u32,
}

/// Slots of the running window.
#[derive(Debug, Default)]
pub struct SchedSource {
    last: HashMap<(Tid, u64), Last>,
    resting: HashMap<Tid, Resting>,
    processes: HashMap<Tgid, Sums>,
    names: Comms,
    lasting: Vec<Lasting>,
    start: MonoNs,
    turn: u32,
}

impl SchedSource {
    /// Looks at every thread of `tgids` once, after the probes were attached: those that have no slot yet rest in the
    /// state they are in.
    pub fn look_at_all(&mut self, tgids: impl IntoIterator<Item = Tgid>, now: MonoNs) {
        self.resting = look::all(tgids, now);
    }

    /// Begins the first window: what the slots hold by now belongs to none.
    pub fn begin(&mut self, start: MonoNs) {
        self.processes.clear();
        self.start = start;
    }

    /// Takes the slot of a live thread at `now`, or of one that has died.
    pub fn thread(&mut self, slot: &SchedSlot, now: MonoNs) {
        let (tgid, tid) = (Tgid(slot.tgid), Tid(slot.tid));
        let dead = slot.state == DEAD;
        let mut total = slot.ns.map(|ns| i64::try_from(ns).unwrap_or(i64::MAX));
        if !dead {
            // Negative when the state began after `now`: what it ended is in `total` to that moment.
            total[usize::from(slot.state) % STATES] += signed(now) - slot.since_ns.cast_signed();
        }
        let key = (tid, slot.born_ns);
        let before = self.last.get(&key);
        let unchanged = before.is_some_and(|last| last.seq == slot.seq);
        let mut delta = total;
        let (mut voluntary, mut preempted) = (slot.voluntary, slot.preempted);
        if let Some(last) = before {
            for (delta, last) in delta.iter_mut().zip(last.ns) {
                *delta -= last;
            }
            voluntary -= last.voluntary.min(voluntary);
            preempted -= last.preempted.min(preempted);
        } else if slot.flags & FLAG_NEW == 0
            && let Some(rest) = self.resting.remove(&tid)
        {
            delta[rest.state as usize] += (slot.born_ns.cast_signed() - signed(self.start)).max(0);
        }
        settle(&mut delta);
        let now_in = State::from_index(usize::from(slot.state)).map(|state| OpenWait {
            tid,
            state,
            age: now.since(MonoNs(slot.since_ns)),
            syscall: call_of(slot, state),
            arg: if state.is_blocked() { slot.arg } else { 0 },
        });
        if let Some(wait) = now_in {
            self.lasts(Lasting {
                tgid,
                wait,
                since: MonoNs(slot.since_ns),
                comm: slot.comm,
                owner: Tid(slot.owner),
                shared: slot.flags & FLAG_SHARED != 0,
            });
        }
        let sums = self.processes.entry(tgid).or_default();
        sums.add(&delta);
        if let Some(open) = now_in {
            sums.open(open);
        }
        // One that runs all the time has no switch either, and is no rest.
        let waits = now_in.filter(|open| open.state.is_blocked());
        if let (true, Some(open)) = (unchanged, waits) {
            sums.rest(open.state);
        } else {
            let comm = self.names.get(&slot.comm);
            sums.threads.push(ThreadTimes {
                tid,
                comm,
                states: sums::listed(&delta),
                voluntary,
                preempted,
                now: now_in,
            });
        }
        if dead {
            self.last.remove(&key);
        } else {
            let last = Last {
                ns: total,
                voluntary: slot.voluntary,
                preempted: slot.preempted,
                seq: slot.seq,
                turn: self.turn,
            };
            self.last.insert(key, last);
        }
    }

    /// Notes a wait that lasts, if it may hold the thread up.
    fn lasts(&mut self, wait: Lasting) {
        let lasts = match wait.wait.state {
            State::FutexLock => wait.owner.0 != 0 && wait.wait.age >= MIN_LOCK_WAIT,
            State::Ipc | State::NetRecv | State::NetSend | State::NetConnect | State::Dns => {
                wait.wait.age >= MIN_PEER_WAIT
            }
            state => is_for_files(state) && wait.wait.age >= MIN_PEER_WAIT,
        };
        if lasts {
            self.lasting.push(wait);
        }
    }

    /// The waits that last and may hold their threads up, of all threads since the last call.
    pub fn take_lasting(&mut self) -> Vec<Lasting> {
        std::mem::take(&mut self.lasting)
    }

    /// Closes the window at `now`. Every live thread has been given to [`Self::thread`] with the same time.
    pub fn close(&mut self, now: MonoNs, mut comm: impl FnMut(Tgid) -> Arc<str>) -> Vec<ProcessTimes> {
        let span = now.since(self.start);
        for (tid, rest) in std::mem::take(&mut self.resting) {
            let sums = self.processes.entry(rest.tgid).or_default();
            let open = rest.open(tid, now);
            sums.add_one(rest.state, span);
            if rest.state.is_blocked() {
                sums.rest(rest.state);
            } else {
                sums.threads.push(ThreadTimes {
                    tid,
                    comm: self.names.get(&rest.comm),
                    states: vec![(rest.state, span)],
                    voluntary: 0,
                    preempted: 0,
                    now: Some(open),
                });
            }
            sums.open(open);
            self.lasts(rest.lasting(tid, now));
            self.resting.insert(tid, rest);
        }
        // A slot that was freed without being seen dead: its ring was overrun and it was taken again.
        let turn = self.turn;
        self.last.retain(|_, last| last.turn == turn);
        self.turn = turn.wrapping_add(1);
        self.start = now;
        let mut rows: Vec<ProcessTimes> = std::mem::take(&mut self.processes)
            .into_iter()
            .map(|(tgid, sums)| sums.row(tgid, comm(tgid)))
            .collect();
        rows.sort_unstable_by_key(|row| row.tgid);
        rows
    }

    /// A process is gone: a thread of it that never woke rests no more.
    pub fn forget(&mut self, tgid: Tgid) {
        self.resting.retain(|_, rest| rest.tgid != tgid);
    }

    /// Threads known.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.last.len() + self.resting.len()
    }
}

const fn signed(at: MonoNs) -> i64 {
    at.0.cast_signed()
}

fn call_of(slot: &SchedSlot, state: State) -> Option<(SyscallAbi, u16)> {
    if !state.is_blocked() || slot.nr == NO_CALL {
        return None;
    }
    let abi = if slot.flags & FLAG_COMPAT != 0 { SyscallAbi::Compat } else { SyscallAbi::Native };
    Some((abi, slot.nr))
}

#[cfg(test)]
mod tests;
