//! Which process waits for which other: wakers, lock owners, and processes that ran while others waited for the CPU.

use std::collections::{HashMap, HashSet};

use agent_common::abi::sched::State;
use agent_common::units::{Tgid, Tid};

use super::process::Process;
use super::{Facts, Map, Unit};
use crate::window::{Wait, WaitTarget, Window};

/// A process that ended waits of a unit, or owns the lock they wait for.
#[derive(Debug, Clone)]
pub(crate) struct Blocker {
    /// Process, index in [`Facts::processes`].
    pub(crate) process: usize,
    /// Its thread with most of them.
    pub(crate) tid: Tid,
    /// Share of the unit's waiting with a known blocker.
    pub(crate) share: f64,
    /// Relation to the wait, for text: `owns the lock`, `ends the waits`, `holds the lock`, [`AT_THE_OTHER_END`].
    pub(crate) how: &'static str,
}

/// Relation of a process to waits for its socket or file system.
pub(crate) const AT_THE_OTHER_END: &str = "is at the other end";

/// Least share of each unit's blocked time that the other one ends, if they work together.
const MIN_MUTUAL_WAKE_SHARE: f64 = 0.2;
/// Least share of one unit's blocked time that another one ends, if it works for that one.
const MIN_WAKE_SHARE: f64 = 0.6;
/// The same, as a share of the span.
const MIN_WAKE_SPAN_RATIO: f64 = 0.1;

/// Waiting that one process ended: all of it, and by thread.
type Ended = (u64, HashMap<Tid, u64>);

impl Facts<'_> {
    pub(super) fn add_edges(&mut self) {
        for window in self.windows {
            self.add_blame(window);
            for wait in &window.waits {
                let Some(waker) = &wait.waker else { continue };
                let (Some(victim), Some(by)) = (self.by_tgid.get(&wait.tgid), self.by_tgid.get(&waker.tgid))
                else {
                    continue;
                };
                let (victim, by) = (self.processes[*victim].unit, self.processes[*by].unit);
                *self.wakes[victim].entry(by).or_default() += wait.weight.0;
            }
        }
    }

    fn add_blame(&mut self, window: &Window) {
        if self.has_states {
            for row in &window.blame {
                let (Some(victim), Some(by)) =
                    (self.by_tgid.get(&row.victim), self.by_tgid.get(&row.culprit))
                else {
                    continue;
                };
                let (victim, by) = (self.processes[*victim].unit, self.processes[*by].unit);
                *self.blame[victim].entry(by).or_default() += row.waited.0;
            }
            return;
        }
        // The running process is not known: all processes that ran share the blame by their CPU time.
        let used: Vec<(usize, u64)> = window
            .tasks
            .iter()
            .filter(|task| task.user.0 + task.system.0 > 0)
            .filter_map(|task| Some((*self.by_tgid.get(&task.tgid)?, task.user.0 + task.system.0)))
            .collect();
        let all: u64 = used.iter().map(|(_, ns)| ns).sum();
        for task in window.tasks.iter().filter(|task| task.runq.is_some_and(|runq| runq.0 > 0)) {
            let Some(victim) = self.by_tgid.get(&task.tgid) else { continue };
            let own = task.user.0 + task.system.0;
            for (by, ns) in used.iter().filter(|(by, _)| by != victim) {
                let share = *ns as f64 / (all - own).max(1) as f64;
                let (victim, by) = (self.processes[*victim].unit, self.processes[*by].unit);
                *self.blame[victim].entry(by).or_default() +=
                    (task.runq.unwrap_or_default().0 as f64 * share) as u64;
            }
        }
    }

    /// The processes that ended a unit's waits in these states, or own the lock; most waiting first.
    pub(crate) fn blockers(&self, unit: &Unit, states: &'static [State]) -> Vec<Blocker> {
        let mut by: HashMap<(usize, &'static str), Ended> = HashMap::new();
        let mut total = 0;
        for wait in self.waits(unit, states) {
            let owner = match wait.target {
                WaitTarget::Futex { owner: Some(owner), .. } if owner != wait.tid => Some(owner),
                _ => None,
            };
            let (tid, process, how) = match (owner, &wait.waker) {
                (Some(owner), _) if self.by_tid.contains_key(&owner) => {
                    (owner, self.by_tid[&owner], "owns the lock")
                }
                (_, Some(waker)) => match self.by_tgid.get(&waker.tgid) {
                    Some(process) => (waker.tid, *process, "ends the waits"),
                    None => continue,
                },
                (_, None) => match wait.peer.and_then(|peer| Some((peer, self.by_tgid.get(&peer)?))) {
                    Some((peer, process)) => (Tid(peer.0), *process, AT_THE_OTHER_END),
                    None => continue,
                },
            };
            total += wait.weight.0;
            let entry = by.entry((process, how)).or_default();
            entry.0 += wait.weight.0;
            *entry.1.entry(tid).or_default() += wait.weight.0;
        }
        for (holder, weight) in self.file_lock_holders(unit, states) {
            total += weight;
            let entry = by.entry((holder, "holds the lock")).or_default();
            entry.0 += weight;
            *entry.1.entry(Tid(self.processes[holder].tgid.0)).or_default() += weight;
        }
        let mut blockers: Vec<Blocker> = by
            .into_iter()
            .filter_map(|((process, how), (weight, tids))| {
                let (tid, _) = tids.into_iter().max_by_key(|(tid, weight)| (*weight, tid.0))?;
                Some(Blocker { process, tid, share: weight as f64 / total.max(1) as f64, how })
            })
            .collect();
        blockers.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.process.cmp(&b.process)));
        blockers
    }

    /// Holders of file locks that a unit's processes waited for at the end of a window, with the waiting time in it, ns.
    fn file_lock_holders(&self, unit: &Unit, states: &'static [State]) -> Vec<(usize, u64)> {
        if !states.contains(&State::FileLock) {
            return Vec::new();
        }
        let mut holders = Vec::new();
        for window in self.windows.iter().filter(|window| !window.file_locks.is_empty()) {
            for row in &window.file_locks {
                let (Some(waiter), Some(holder)) =
                    (self.by_tgid.get(&row.waiter), self.by_tgid.get(&row.holder))
                else {
                    continue;
                };
                if self.processes[*waiter].unit != unit.at || waiter == holder {
                    continue;
                }
                let times = window.times.iter().find(|times| times.tgid == row.waiter);
                let waited = times.and_then(|times| {
                    times.states.iter().find(|(state, _)| *state == State::FileLock).map(|(_, ns)| ns.0)
                });
                match waited {
                    Some(waited) if !row.tried => holders.push((*holder, waited)),
                    // A process that only tries is not in a lock wait: the whole window counts.
                    None if row.tried => holders.push((*holder, window.span().0)),
                    _ => {}
                }
            }
        }
        holders
    }

    /// True if two units work together: one program in one cgroup, parent and child, or client and server (one ends most of the
    /// other's waits, or each ends some of the other's).
    pub(crate) fn work_together(&self, one: &Unit, other: &Unit) -> bool {
        if one.at == other.at
            || (one.comm == other.comm && one.cgroup == other.cgroup && one.cpu_cgroup == other.cpu_cgroup)
        {
            return true;
        }
        let made = |parent: &Unit, child: &Unit| {
            self.members(parent).any(|process| process.tgid == child.parent && process.tgid != Tgid(1))
        };
        if made(one, other) || made(other, one) {
            return true;
        }
        let between = |a: &Unit, b: &Unit| self.wakes[a.at].get(&b.at).copied().unwrap_or(0);
        let of = |unit: &Unit| self.wakes[unit.at].values().sum::<u64>();
        let share = |a: &Unit, b: &Unit| between(a, b) as f64 / of(a).max(1) as f64;
        let depends = |a: &Unit, b: &Unit| {
            share(a, b) >= MIN_WAKE_SHARE && between(a, b) as f64 >= MIN_WAKE_SPAN_RATIO * self.span.0 as f64
        };
        share(one, other).min(share(other, one)) >= MIN_MUTUAL_WAKE_SHARE
            || depends(one, other)
            || depends(other, one)
    }
}

/// Data that distinguish a wait for an answer from a wait for work.
pub(super) struct Partners {
    /// Blocked time, ns, by (process that waited, process that woke it).
    wakes: Map<(Tgid, Tgid), u64>,
    /// On-CPU and non-idle time of each process in a typical window, ns, without ambiguous states.
    active: Map<Tgid, (u64, u64)>,
    /// Processes that are no kernel threads.
    programs: HashSet<Tgid>,
    /// Processes with block requests of their own for much of the time.
    block_io: HashSet<Tgid>,
    /// Number of calls that send, and of calls that receive.
    traffic: Map<Tgid, (u64, u64)>,
    /// Time in waits for many descriptors at once, ns, by (process that waited, thread that woke it).
    polls: Map<(Tgid, Tid), u64>,
    /// Time in which these threads did not wait for work, ns.
    active_threads: Map<Tid, u64>,
    /// First ephemeral port of this host.
    first_local_port: u16,
    /// Length of a window, and how many there are.
    span: u64,
    windows: u64,
}

/// Least on-CPU share of a process that works on a stream.
const MIN_ONCPU_SHARE: f64 = 0.1;
/// Least share of a wait in which the peer works or is held up.
const MIN_ACTIVE_SHARE: f64 = 0.5;
/// Least time in block requests (summed), as a share of the span, from which a process' asynchronous I/O is storage I/O.
const MIN_BLOCK_IO_SHARE: f64 = 0.1;
/// Least sends a receive of a process that sends requests; with fewer it only listens.
const MIN_SENDS_PER_RECEIVE: f64 = 0.3;
/// States in which a thread may wait for work. Not a sleep on a timer: it keeps clients waiting.
const MAY_WAIT_FOR_WORK: [State; 7] = [
    State::Poll,
    State::NetAccept,
    State::NetRecv,
    State::Ipc,
    State::FutexWait,
    State::FutexLock,
    State::KernelIdle,
];
/// First ephemeral port where the host's is not known: the default of `net.ipv4.ip_local_port_range` since 2.6.
const DEFAULT_FIRST_LOCAL_PORT: u16 = 32_768;

impl Partners {
    pub(super) fn new(
        windows: &[std::sync::Arc<Window>],
        processes: &[Process],
        by_tgid: &Map<Tgid, usize>,
        span: u64,
    ) -> Self {
        use crate::syscall_names::{name, receives, sends};
        let mut wakes: Map<(Tgid, Tgid), u64> = Map::default();
        let mut traffic: Map<Tgid, (u64, u64)> = Map::default();
        let mut polls: Map<(Tgid, Tid), u64> = Map::default();
        let mut active_threads: Map<Tid, u64> = Map::default();
        for window in windows {
            for wait in &window.waits {
                let Some(waker) = &wait.waker else { continue };
                *wakes.entry((wait.tgid, waker.tgid)).or_default() += wait.weight.0;
                if waits_for_many(wait) {
                    *polls.entry((wait.tgid, waker.tid)).or_default() += wait.weight.0;
                    active_threads.entry(waker.tid).or_insert_with(|| {
                        let process = by_tgid.get(&waker.tgid).map(|at| &processes[*at]);
                        let thread = process.and_then(|process| process.threads.get(&waker.tid));
                        thread.map_or(0, |(_, times)| times.all() - times.sum(&MAY_WAIT_FOR_WORK))
                    });
                }
            }
            for row in &window.syscalls {
                match name(row.abi, row.nr) {
                    Some(name) if sends(name) => traffic.entry(row.tgid).or_default().0 += row.count,
                    Some(name) if receives(name) => traffic.entry(row.tgid).or_default().1 += row.count,
                    _ => {}
                }
            }
        }
        let active =
            processes.iter().map(|process| (process.tgid, process.activity(windows.len()))).collect();
        let mut requests: Map<Tgid, u64> = Map::default();
        for row in windows.iter().flat_map(|window| &window.blockio) {
            *requests.entry(row.tgid).or_default() += row.queued.0 + row.served.0;
        }
        let much = |(tgid, ns): (Tgid, u64)| (ns as f64 >= MIN_BLOCK_IO_SHARE * span as f64).then_some(tgid);
        let block_io = requests.into_iter().filter_map(much).collect();
        let local_ports = windows.iter().rev().find_map(|window| window.host.local_ports);
        let first_local_port = local_ports.map_or(DEFAULT_FIRST_LOCAL_PORT, |(first, _)| first);
        let windows = windows.len().max(1) as u64;
        let programs =
            processes.iter().filter(|process| !process.kernel).map(|process| process.tgid).collect();
        Self {
            wakes,
            active,
            programs,
            block_io,
            traffic,
            polls,
            active_threads,
            first_local_port,
            span: span / windows,
            windows,
        }
    }

    /// Length of all windows, ns.
    pub(super) const fn whole(&self) -> u64 {
        self.span * self.windows
    }

    /// The state of a wait, refined: in ambiguous states, waits for work become idle ones.
    pub(super) fn real(&self, state: State, wait: &Wait) -> State {
        let call = wait.syscall.and_then(|(abi, nr)| crate::syscall_names::name(abi, nr));
        match state {
            State::NetRecv if wait.open && self.serves(wait) => State::Poll,
            _ if wait.open => state,
            // A request to a file system waits for its server's answer.
            State::Ipc if matches!(wait.target, WaitTarget::FileServer { .. }) => State::Ipc,
            // The other end does not read. (For a device, where the other end is a program: a terminal.)
            State::Ipc if call.is_some_and(crate::syscall_names::sends) => State::Ipc,
            State::Device if call.is_some_and(crate::syscall_names::sends) && self.by_program(wait) => {
                State::Ipc
            }
            // An io_uring serves sockets and storage alike.
            State::Poll if call == Some("io_uring_enter") && self.block_io.contains(&wait.tgid) => {
                State::AsyncIo
            }
            State::Poll if waits_for_many(wait) && self.is_held_up(wait) => match wait.target {
                WaitTarget::Unix { .. } => State::Ipc,
                _ => State::NetRecv,
            },
            State::Ipc => match &wait.waker {
                Some(waker) if waker.tgid != wait.tgid && self.is_lost(wait, waker.tgid) => State::Ipc,
                _ => State::Poll,
            },
            State::NetRecv => {
                // On this host the waker is known: a poll without one has timed out, and a closed end got no request.
                let answered = wait.waker.as_ref().is_some_and(|waker| !waker.closes);
                let unasked = polls(wait) && !answered && is_local(wait);
                if self.serves(wait) || unasked || !self.sends_requests(wait.tgid) {
                    State::Poll
                } else {
                    State::NetRecv
                }
            }
            state => state,
        }
    }

    /// True if a process (no kernel thread) ended the wait.
    fn by_program(&self, wait: &Wait) -> bool {
        wait.waker.as_ref().is_some_and(|waker| self.programs.contains(&waker.tgid))
    }

    /// True if a wait that `by` ended kept the waiting process from its work.
    fn is_lost(&self, wait: &Wait, by: Tgid) -> bool {
        let victim = wait.tgid;
        let (oncpu, _) = self.active.get(&victim).copied().unwrap_or_default();
        let (_, active) = self.active.get(&by).copied().unwrap_or_default();
        let forth = self.wakes.get(&(victim, by)).copied().unwrap_or_default();
        let back = self.wakes.get(&(by, victim));
        let works = active as f64 >= MIN_ACTIVE_SHARE * self.span.min(forth / self.windows) as f64;
        match wait.target {
            WaitTarget::Unix { serves: Some(true), .. } => return false,
            // A client that blocks in a read has sent a request: a server that sleeps before it answers costs as much as one that
            // works. A server that never waits for clients is at work.
            WaitTarget::Unix { serves: Some(false), .. } if !polls(wait) => {
                return self.sends_requests(victim) && (works || back.is_some());
            }
            _ => {}
        }
        // A peer that is idle itself got no request, or has nothing to send.
        if !works {
            return false;
        }
        if let Some(back) = back.filter(|_| self.sends_requests(victim)) {
            // Of client and server, the client waits longer for the other.
            return forth > *back;
        }
        oncpu as f64 >= MIN_ONCPU_SHARE * self.span as f64
            && active as f64 >= MIN_ACTIVE_SHARE * self.span as f64
    }

    /// True if an event loop's wait is for an answer: this process is the client, and the thread that ended the wait did not wait for
    /// work itself for most of it (it worked, was held up, or slept).
    fn is_held_up(&self, wait: &Wait) -> bool {
        let Some(waker) = &wait.waker else { return false };
        let waited = self.polls.get(&(wait.tgid, waker.tid)).copied().unwrap_or(0).min(self.whole());
        let active_threads = self.active_threads.get(&waker.tid).copied().unwrap_or(0);
        !self.serves(wait)
            && self.sends_requests(wait.tgid)
            && active_threads as f64 >= MIN_ACTIVE_SHARE * waited as f64
    }

    /// True for the server end of a connection, or if the end is not known: a wait there is for the next request.
    fn serves(&self, wait: &Wait) -> bool {
        match wait.target {
            WaitTarget::Socket { local_port, peer, .. } => {
                // Of two ephemeral ports, the lower one is more likely the server's.
                local_port < self.first_local_port || peer.is_none_or(|(_, port)| port >= local_port)
            }
            WaitTarget::Unix { serves, .. } => serves != Some(false),
            // Of another address family client and server are not known.
            _ => true,
        }
    }

    /// True if a process sends about as often as it receives, or works on what it receives.
    fn sends_requests(&self, tgid: Tgid) -> bool {
        let (sends, receives) = self.traffic.get(&tgid).copied().unwrap_or_default();
        let (oncpu, _) = self.active.get(&tgid).copied().unwrap_or_default();
        self.traffic.is_empty()
            || sends as f64 >= MIN_SENDS_PER_RECEIVE * receives as f64
            || oncpu as f64 >= MIN_ONCPU_SHARE * self.span as f64
    }
}

/// True if the other end is on this host.
fn is_local(wait: &Wait) -> bool {
    matches!(wait.target, WaitTarget::Socket { peer: Some((address, _)), .. } if address.is_loopback())
}

/// True for a wait for many descriptors at once, if the one that ended it is known.
fn waits_for_many(wait: &Wait) -> bool {
    wait.accounted == State::Poll
        && matches!(wait.target, WaitTarget::Socket { .. } | WaitTarget::Unix { .. })
}

/// True for a call that waits for events with a time-out.
fn polls(wait: &Wait) -> bool {
    let call = wait.syscall.and_then(|(abi, nr)| crate::syscall_names::name(abi, nr));
    call.is_some_and(crate::syscall_names::polls)
}
