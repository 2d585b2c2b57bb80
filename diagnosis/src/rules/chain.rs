//! The wait cascade: what did the one that is waited for do meanwhile?
//!
//! A unit's wait for a lock or a peer is charged to what the holder's threads did in their own non-idle time: if most of
//! that was a wait as well (or waiting for a CPU), and long enough to explain the waiting, the cause is there. At most [`HOPS`] steps, no unit twice.

use agent_common::abi::sched::State;
use agent_common::units::Tid;
use agent_common::wire::finding::Evidence;

use super::{Class, Link, evidence, io, runq};
use crate::facts::{Blocker, Facts, Times, Unit};

/// Steps that are followed.
const HOPS: usize = 4;
/// Share of the holder's non-idle time that names what it does.
const MOST: f64 = 0.5;
/// What the holder does so must last for at least this share of the time that the one who waits longest waits.
const EXPLAINS: f64 = 0.3;
/// Share of the holder's time from which another wait of it is named first, and from which it is named at all.
const ALSO: f64 = 1.0 / 3.0;
const NAMED: f64 = 0.1;
/// Share of the waiting that must be known.
const KNOWN: f64 = 0.3;

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
const GROUPS: [(Loss, &[State]); 15] = [
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

/// Who holds a unit up, and where that leads.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// The first one waited for.
    pub(super) blocker: Option<Blocker>,
    /// Where it leads; empty when the one waited for is at work itself.
    pub(super) links: Vec<Link>,
    /// The chain in words.
    pub(super) evidence: Vec<Evidence>,
    /// Why the first one waited for does nothing.
    pub(super) rests: Option<Rests>,
    /// Of the first one's time: a wait that is as much to blame as what else it does.
    pub(super) also: Option<(&'static str, f64)>,
}

/// How one that others wait for does nothing itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rests {
    /// A signal stopped it.
    Stopped,
    /// A cgroup keeps it frozen.
    Frozen,
    /// It sleeps on a timer.
    Sleeps,
}

impl Followed {
    /// The first step, where the one waited for does not get to run though those who wait have more claim to a CPU.
    pub(super) fn inversion(&self) -> Option<&Link> {
        self.links.first().filter(|link| link.class == Class::PriorityInversion)
    }

    /// That the one waited for is in another wait for much of its time, if it is.
    pub(super) fn headline(&self, facts: &Facts) -> Option<String> {
        let by = &facts.processes[self.blocker.as_ref()?.process];
        let (class, share) = self.also?;
        Some(format!(
            "{} ({}), which holds it, is in {class} for {:.0} % of its time",
            by.comm,
            by.tgid,
            share * 100.0
        ))
    }

    /// What to do where the one waited for does nothing, if it does.
    pub(super) fn advice(&self, facts: &Facts, unit: &Unit) -> Option<String> {
        let by = &facts.processes[self.blocker.as_ref()?.process];
        Some(match self.rests? {
            Rests::Stopped => format!(
                "{} ({}), for which {} waits, was stopped by a signal: `kill -CONT {}` lets it go on; see who stopped it",
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
            Rests::Sleeps => format!(
                "{} ({}) sleeps on a timer while {} waits for it: it must not sleep there",
                by.comm, by.tgid, unit.comm
            ),
        })
    }
}

/// Follows the waits of a unit in these states, which are the class `class`.
pub(super) fn follow(
    facts: &Facts,
    unit: &Unit,
    class: &'static Class,
    states: &'static [State],
) -> Followed {
    let mut followed = Followed::default();
    let mut seen = vec![(unit.at, Loss::To(class))];
    let (mut at, mut waits, mut via) = (unit, states, Loss::To(class));
    for hop in 0..HOPS {
        let blockers = facts.blockers(at, waits);
        let Some(first) = blockers.first().filter(|first| first.share >= KNOWN) else { break };
        let process = &facts.processes[first.process];
        let holder = &facts.units[process.unit];
        let what = format!("{} (thread {}) {}, of this waiting", process.comm, first.tid, first.how);
        followed.evidence.push(evidence(what, first.share * 100.0, "%", Some(KNOWN * 100.0)));
        if hop == 0 {
            followed.blocker = Some(first.clone());
        }
        let times = meanwhile(facts, first, waits);
        let busy = times.non_idle();
        let rest = [
            (Rests::Stopped, "is stopped by a signal", State::Stopped),
            (Rests::Sleeps, "sleeps on a timer", State::Sleep),
        ];
        let wall = times.all().max(1) as f64;
        let rests = rest.into_iter().find(|(.., state)| times.of(*state) as f64 >= MOST * wall);
        let rests = if facts.frozen.contains_key(&process.tgid) {
            Some((Rests::Frozen, "is frozen by its cgroup", State::Poll))
        } else {
            rests
        };
        if busy == 0 && rests.is_none() {
            break;
        }
        let say = |followed: &mut Followed, what: &str, ns: u64| {
            let what = format!("{} {what} meanwhile, of its time", process.comm);
            followed.evidence.push(evidence(what, ns as f64 / wall * 100.0, "%", None));
        };
        let top = GROUPS
            .iter()
            .map(|(loss, states)| (*loss, *states, times.sum(states) as f64 / busy.max(1) as f64))
            .max_by(|a, b| a.2.total_cmp(&b.2));
        // A holder that sleeps does little else, and that little explains nothing.
        let enough = (longest(facts, at, waits) as f64 * EXPLAINS) as u64;
        let explains = |top: &(Loss, &[State], f64)| top.2 >= MOST && times.sum(top.1) >= enough;
        let Some((loss, states, share)) = top.filter(explains) else {
            if let Some((Rests::Frozen, what, _)) = rests {
                say(&mut followed, what, times.all());
                followed.rests = Some(Rests::Frozen).filter(|_| hop == 0);
                break;
            }
            if let Some((how, what, state)) = rests {
                say(&mut followed, what, times.of(state));
                followed.rests = Some(how).filter(|_| hop == 0);
            } else {
                say(&mut followed, "is on a CPU", times.of(State::Oncpu));
                let idle = times.all() - busy;
                if idle as f64 >= NAMED * wall {
                    say(&mut followed, "waits for work or a timer", idle);
                }
            }
            let mut other: Vec<_> = GROUPS
                .iter()
                .map(|(loss, states)| (loss.name(), times.sum(states)))
                .filter(|(_, ns)| *ns as f64 >= NAMED * wall)
                .collect();
            other.sort_by_key(|(loss, ns)| (std::cmp::Reverse(*ns), *loss));
            for (loss, ns) in &other {
                say(&mut followed, &format!("is in {loss}"), *ns);
            }
            let most = other.first().map(|(loss, ns)| (*loss, *ns as f64 / wall));
            followed.also = most.filter(|(_, share)| hop == 0 && *share >= ALSO);
            break;
        };
        followed.evidence.push(evidence(
            format!("{} is in {} meanwhile, of its non-idle time", process.comm, loss.name()),
            share * 100.0,
            "%",
            Some(MOST * 100.0),
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

/// Time in which some thread of a unit is in these states, as far as it can be told: that of the thread which has most of
/// it, or, of threads that come and go, all of it over the threads that there are at a time.
fn longest(facts: &Facts, unit: &Unit, states: &[State]) -> u64 {
    let threads = facts.members(unit).flat_map(|process| {
        let tids = process.threads.keys().filter_map(|tid| process.thread(*tid));
        tids.map(|times| times.sum(states)).collect::<Vec<_>>()
    });
    let at_a_time = (unit.times.all() as f64 / facts.span.0.max(1) as f64).max(1.0);
    threads.max().unwrap_or(0).max((unit.times.sum(states) as f64 / at_a_time) as u64)
}

/// What the threads that are waited for did in their own time, the same waits left out.
fn meanwhile(facts: &Facts, blocker: &Blocker, waits: &[State]) -> Times {
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
            "it waits for a CPU that another thread of its own has".to_owned()
        }
        Class::PriorityInversion | Class::RunqNeighbour => {
            "it waits for a CPU that another program has".to_owned()
        }
        Class::RunqSelf => "it waits for a CPU that its own threads have".to_owned(),
        Class::CpuQuota => "the CPU quota of its cgroup is used up".to_owned(),
        class => format!("what it waits for itself ({class}) is the place to begin"),
    };
    let advice = format!(
        "{} ({}) holds the others up: {what}; `agent report --pid {}` shows it",
        holder.comm, holder.tgid, holder.tgid
    );
    Link { unit: holder.at, class, culprit, culprit_unit, advice }
}
