//! The wait chain: what the holder of a lock, or a peer, does while others wait for it.
//!
//! A unit's wait for a lock or a peer is charged to what the holder's threads did in their own non-idle time. If most of that was
//! another wait (or waiting for a CPU), and long enough to explain the unit's waiting, then that other wait is the cause. At most
//! [`MAX_HOPS`] steps, no unit twice.

use agent_common::abi::sched::State;
use agent_common::units::Tid;
use agent_common::wire::finding::Evidence;

use super::{Class, Link, evidence, io, runq};
use crate::facts::{Blocker, Facts, Process, Times, Unit};

/// Most steps of a chain that are followed.
const MAX_HOPS: usize = 4;
/// Least share of the holder's non-idle time in one class of wait, from which the chain goes on to that wait. (Also of its wall
/// time asleep or stopped.)
const MIN_HOLDER_SHARE: f64 = 0.5;
/// The holder's own wait must last at least this share of the longest waiter's time: else it does not explain it.
const MIN_EXPLAINED_RATIO: f64 = 0.3;
/// Share of the holder's wall time in another wait, from which the finding's headline names that wait.
const MIN_HEADLINE_SHARE: f64 = 1.0 / 3.0;
/// The same share, from which the evidence names it.
const MIN_SHOWN_SHARE: f64 = 0.1;
/// Least share of the waiting that one process must have ended, or hold, to be followed.
const MIN_KNOWN_SHARE: f64 = 0.3;

/// What one that others wait for loses its time to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// Something that is one class of loss.
    To(&'static Class),
    /// Waiting for a CPU, of which there are several classes: [`runq::of_holder`] tells them apart.
    ForCpu,
}

impl Loss {
    /// As it is called in text.
    fn name(self) -> &'static str {
        match self {
            Self::To(class) => class.name(),
            Self::ForCpu => "the run queue",
        }
    }

    /// A lock, or a process that answers: it is held up by somebody itself.
    const fn leads_on(self) -> bool {
        matches!(self, Self::To(Class::Futex | Class::KernelLock | Class::FileLock | Class::IpcPeer))
    }
}

/// The states of each loss.
const CLASS_STATES: [(Loss, &[State]); 15] = [
    (Loss::To(&Class::DiskRead), &[State::DiskRead]),
    (Loss::To(&Class::DiskWrite), &[State::DiskWrite]),
    (Loss::To(&Class::Fsync), &[State::Fsync]),
    (Loss::To(&Class::Writeback), &[State::Writeback]),
    (Loss::To(&Class::FaultMajorFile), &[State::FaultFile]),
    (Loss::To(&Class::Swap), &[State::Swap]),
    (Loss::To(&Class::Reclaim), &[State::Reclaim]),
    (Loss::To(&Class::Futex), &[State::FutexLock]),
    (Loss::To(&Class::KernelLock), &[State::KernelLock]),
    (Loss::To(&Class::FileLock), &[State::FileLock]),
    (Loss::To(&Class::IpcPeer), &[State::Ipc]),
    (Loss::To(&Class::NetConnect), &[State::NetConnect]),
    (Loss::To(&Class::NetPeer), &[State::NetRecv, State::NetSend]),
    (Loss::To(&Class::Dns), &[State::Dns]),
    (Loss::ForCpu, &[State::RunqWoken, State::RunqPreempted, State::RunqThrottled]),
];

/// Which process a unit waits for, and what that process waits for in turn.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// The process that the unit itself waits for.
    pub(super) blocker: Option<Blocker>,
    /// The steps from there; empty when that process is at work itself.
    pub(super) links: Vec<Link>,
    /// One line of evidence a step.
    pub(super) evidence: Vec<Evidence>,
    /// Why that process does nothing, if it does nothing.
    pub(super) rests: Option<Rests>,
    /// Share of its time in which that process waits for work.
    pub(super) idle: f64,
    /// Another wait of that process which takes at least [`MIN_HEADLINE_SHARE`] of its time: class and share.
    pub(super) also: Option<(&'static str, f64)>,
}

/// Why a process that others wait for does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rests {
    /// A signal stopped it.
    Stopped,
    /// A cgroup keeps it frozen.
    Frozen,
    /// It waits for a process that it has started.
    ForChild,
    /// It sleeps on a timer.
    Sleeps,
}

impl Followed {
    /// The first step, where the one waited for does not get to run though those who wait have more claim to a CPU.
    pub(super) fn inversion(&self) -> Option<&Link> {
        self.links.first().filter(|link| link.class == Class::PriorityInversion)
    }

    /// The headline that names the holder's own other wait; `None` without such a wait.
    pub(super) fn headline(&self, facts: &Facts) -> Option<String> {
        let by = &facts.processes[self.blocker.as_ref()?.process];
        let (class, share) = self.also?;
        Some(format!(
            "the holder, {} ({}), is itself in {class} for {:.0} % of its time",
            by.comm,
            by.tgid,
            share * 100.0
        ))
    }

    /// The cure where the holder does nothing; `None` where it works.
    pub(super) fn advice(&self, facts: &Facts, unit: &Unit) -> Option<String> {
        let by = &facts.processes[self.blocker.as_ref()?.process];
        Some(match self.rests? {
            Rests::Stopped => format!(
                "{} ({}), for which {} waits, is stopped by a signal: `kill -CONT {}` resumes it; find out what stopped it",
                by.comm, by.tgid, unit.comm, by.tgid
            ),
            Rests::Frozen => {
                let row = facts.frozen.get(&by.tgid)?;
                format!(
                    "{} ({}), for which {} waits, is frozen by cgroup {}: {}",
                    by.comm,
                    by.tgid,
                    unit.comm,
                    row.cgroup,
                    super::frozen::thaw(row)
                )
            }
            Rests::ForChild => {
                let child = child(facts, by);
                let child = child.map_or_else(
                    || "a process that it has started".to_owned(),
                    |child| format!("{} ({}), which it has started", child.comm, child.tgid),
                );
                format!(
                    "{} ({}), for which {} waits, waits for {child}: find out what that does (`agent report --pid`), or do less under \
                     the lock or request",
                    by.comm, by.tgid, unit.comm
                )
            }
            Rests::Sleeps => format!(
                "{} ({}) sleeps on a timer while {} waits for it: remove that sleep, or do it before the lock or request is taken",
                by.comm, by.tgid, unit.comm
            ),
        })
    }
}

/// Follows the waits of a unit in these states, which are of class `class`.
pub(super) fn follow(
    facts: &Facts,
    unit: &Unit,
    class: &'static Class,
    states: &'static [State],
) -> Followed {
    let mut followed = Followed::default();
    let mut seen = vec![(unit.at, Loss::To(class))];
    let (mut at, mut waits, mut via) = (unit, states, Loss::To(class));
    for hop in 0..MAX_HOPS {
        let blockers = facts.blockers(at, waits);
        let Some(first) = blockers.first().filter(|first| first.share >= MIN_KNOWN_SHARE) else { break };
        let process = &facts.processes[first.process];
        let holder = &facts.units[process.unit];
        let what = format!("{} (thread {}) {}, share of this waiting", process.comm, first.tid, first.how);
        followed.evidence.push(evidence(what, first.share * 100.0, "%", Some(MIN_KNOWN_SHARE * 100.0)));
        if hop == 0 {
            followed.blocker = Some(first.clone());
        }
        let times = holder_times(facts, first, waits);
        let busy = times.non_idle();
        // A wait for a child counts as sleep elsewhere: a shell has nothing else to do.
        let for_child = process.accounted_of(first.tid).of(State::Child);
        let rest = [
            (Rests::Stopped, "is stopped by a signal", times.of(State::Stopped)),
            (Rests::ForChild, "waits for a process that it has started", for_child),
            (Rests::Sleeps, "sleeps on a timer", times.of(State::Sleep)),
        ];
        let wall = times.all().max(1) as f64;
        let rests = rest.into_iter().find(|(.., ns)| *ns as f64 >= MIN_HOLDER_SHARE * wall);
        let rests = if facts.frozen.contains_key(&process.tgid) {
            Some((Rests::Frozen, "is frozen by its cgroup", times.all()))
        } else {
            rests
        };
        if busy == 0 && rests.is_none() {
            break;
        }
        let say = |followed: &mut Followed, what: &str, ns: u64| {
            let what = format!("{} {what}, share of its time", process.comm);
            followed.evidence.push(evidence(what, ns as f64 / wall * 100.0, "%", None));
        };
        let top = CLASS_STATES
            .iter()
            .map(|(loss, states)| (*loss, *states, times.sum(states) as f64 / busy.max(1) as f64))
            .max_by(|a, b| a.2.total_cmp(&b.2));
        // A holder that sleeps does little else, and that little does not explain the waiting.
        let enough = (longest(facts, at, waits) as f64 * MIN_EXPLAINED_RATIO) as u64;
        let explains = |top: &(Loss, &[State], f64)| top.2 >= MIN_HOLDER_SHARE && times.sum(top.1) >= enough;
        let Some((loss, states, share)) = top.filter(explains) else {
            if let Some((Rests::Frozen, what, _)) = rests {
                say(&mut followed, what, times.all());
                followed.rests = Some(Rests::Frozen).filter(|_| hop == 0);
                break;
            }
            if let Some((how, what, ns)) = rests {
                say(&mut followed, what, ns);
                followed.rests = Some(how).filter(|_| hop == 0);
            } else {
                say(&mut followed, "is on a CPU", times.of(State::Oncpu));
                let idle = times.all() - busy;
                if hop == 0 {
                    followed.idle = idle as f64 / wall;
                }
                if idle as f64 >= MIN_SHOWN_SHARE * wall {
                    say(&mut followed, "waits for work or a timer", idle);
                }
            }
            let mut other: Vec<_> = CLASS_STATES
                .iter()
                .map(|(loss, states)| (loss.name(), times.sum(states)))
                .filter(|(_, ns)| *ns as f64 >= MIN_SHOWN_SHARE * wall)
                .collect();
            other.sort_by_key(|(loss, ns)| (std::cmp::Reverse(*ns), *loss));
            for (loss, ns) in &other {
                say(&mut followed, &format!("is in {loss}"), *ns);
            }
            let most = other.first().map(|(loss, ns)| (*loss, *ns as f64 / wall));
            followed.also = most.filter(|(_, share)| hop == 0 && *share >= MIN_HEADLINE_SHARE);
            break;
        };
        followed.evidence.push(evidence(
            format!("{} is in {}, share of its non-idle time", process.comm, loss.name()),
            share * 100.0,
            "%",
            Some(MIN_HOLDER_SHARE * 100.0),
        ));
        if seen.contains(&(holder.at, loss)) {
            break;
        }
        seen.push((holder.at, loss));
        let is_lock = matches!(via, Loss::To(Class::Futex | Class::KernelLock | Class::FileLock));
        let waiting = is_lock.then_some((at, waits, first.tid));
        followed.links.push(link(facts, holder, loss, waiting));
        via = loss;
        (at, waits) = (holder, states);
        if !loss.leads_on() {
            break;
        }
    }
    followed
}

/// The child of a process that does most.
fn child<'a>(facts: &'a Facts<'a>, of: &Process<'_>) -> Option<&'a Process<'a>> {
    let children = facts.processes.iter().filter(|process| process.parent == of.tgid);
    children.max_by_key(|process| (process.times.non_idle(), process.tgid))
}

/// Wall time, ns, in which some thread of a unit is in these states, estimated: the time of the thread with most of it, or, for
/// threads that come and go, the sum divided by the mean number of threads.
fn longest(facts: &Facts, unit: &Unit, states: &[State]) -> u64 {
    let threads = facts.members(unit).flat_map(|process| {
        let tids = process.threads.keys().filter_map(|tid| process.thread(*tid));
        tids.map(|times| times.sum(states)).collect::<Vec<_>>()
    });
    let at_a_time = (unit.times.all() as f64 / facts.span.0.max(1) as f64).max(1.0);
    threads.max().unwrap_or(0).max((unit.times.sum(states) as f64 / at_a_time) as u64)
}

/// The holder's own thread time, without the waits that are being explained.
fn holder_times(facts: &Facts, blocker: &Blocker, waits: &[State]) -> Times {
    let process = &facts.processes[blocker.process];
    let mut times = process.thread(blocker.tid).unwrap_or_else(|| process.times.clone());
    for state in waits {
        times.0[*state as usize] = 0;
    }
    times
}

fn link(facts: &Facts, holder: &Unit, loss: Loss, waiting: Option<(&Unit, &'static [State], Tid)>) -> Link {
    let (class, culprit, culprit_unit) = match loss {
        Loss::ForCpu => runq::of_holder(facts, holder, waiting),
        Loss::To(
            class @ (Class::DiskRead
            | Class::DiskWrite
            | Class::Fsync
            | Class::Writeback
            | Class::FaultMajorFile),
        ) => {
            let blame = io::blame(facts, holder);
            (class.clone(), blame.culprit, blame.unit)
        }
        Loss::To(class) => (class.clone(), Some(super::lost::process_culprit(holder)), Some(holder.at)),
    };
    let what = match &class {
        Class::PriorityInversion if culprit.as_ref().is_some_and(|by| by.kind == "thread") => {
            "it waits for a CPU that another of its own threads uses".to_owned()
        }
        Class::PriorityInversion | Class::RunqNeighbour => {
            "it waits for a CPU that another program uses".to_owned()
        }
        Class::RunqSelf => "it waits for a CPU that its own threads use".to_owned(),
        Class::CpuQuota => "the CPU quota of its cgroup is used up".to_owned(),
        class => format!("it is itself held up by {class}, begin there"),
    };
    let advice = format!(
        "{} ({}) keeps the others waiting: {what}; `agent report --pid {}` shows it",
        holder.comm, holder.tgid, holder.tgid
    );
    Link { unit: holder.at, class, culprit, culprit_unit, advice }
}
