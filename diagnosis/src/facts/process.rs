//! One process' thread time, refined.
//!
//! The kernel side accounts each ns under the state that it knows at the switch. Recorded waits know more ([`Wait::state`]). The
//! time under one state is divided among refined states in proportion to the weights of its waits; open waits stay as they are.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{Tgid, Tid};

use super::Map;
use super::edges::Partners;
use super::futexes;
use super::times::Times;
use crate::usage::Usage;
use crate::window::{OpenWait, ProcessTimes, Wait, WaitTarget, Window};

/// States in which a thread may also wait for work: they count as lost only as far as ended waits show it.
pub(super) const AMBIGUOUS_STATES: [State; 7] = [
    State::FutexLock,
    State::FutexWait,
    State::Ipc,
    State::NetRecv,
    State::Child,
    State::Interruptible,
    State::Device,
];

/// A process over the span.
#[derive(Debug)]
pub(crate) struct Process<'a> {
    pub(crate) tgid: Tgid,
    pub(crate) comm: Arc<str>,
    pub(crate) parent: Tgid,
    pub(crate) cgroup: Arc<str>,
    /// The cgroup with its CPU quota: the nearest one above it with a quota, or its own.
    pub(crate) cpu_cgroup: Arc<str>,
    /// A kernel thread: never a subject.
    pub(crate) kernel: bool,
    pub(crate) nice: i32,
    pub(crate) real_time: u8,
    /// Times that its threads blocked.
    pub(crate) voluntary: u64,
    /// It was in a reading of `/proc`.
    pub(crate) sampled: bool,
    /// Place in [`super::Facts::usage`].
    pub(crate) usage: Option<usize>,
    /// Place in [`super::Facts::units`].
    pub(crate) unit: usize,
    /// Refined time by state; idle waits of [`AMBIGUOUS_STATES`] states are under an idle one.
    pub(crate) times: Times,
    /// Accounted time, ns, by window and state, without idle states.
    pub(super) series: Vec<(u32, State, u64)>,
    /// By accounted state: each refined state's share of its time.
    pub(super) mix: HashMap<State, Vec<(State, f64)>>,
    /// The same by thread, from its own waits.
    own_mix: Map<(Tid, State), Vec<(State, u64)>>,
    /// Accounted time of its threads; of threads that never woke only those with a known wait.
    pub(crate) threads: Map<Tid, (Arc<str>, Times)>,
    /// Recorded waits with their refined states.
    pub(crate) waits: Vec<(State, &'a Wait)>,
    /// Oldest wait open at the end.
    pub(crate) oldest: Option<OpenWait>,
    /// Waits open at the end.
    pub(crate) open: Vec<OpenWait>,
    /// Time of threads that stayed in one state for a whole window.
    resting: Times,
    pub(crate) accounted: Times,
}

impl Process<'_> {
    /// Lost or used time in these refined states by window, ns.
    pub(crate) fn by_window(&self, states: &[State], into: &mut [u64]) {
        for (window, accounted, ns) in &self.series {
            let share: f64 = match self.mix.get(accounted) {
                Some(mix) => mix.iter().filter(|(to, _)| states.contains(to)).map(|(_, share)| share).sum(),
                None if states.contains(accounted) && !AMBIGUOUS_STATES.contains(accounted) => 1.0,
                None => 0.0,
            };
            into[*window as usize] += (*ns as f64 * share) as u64;
        }
    }

    /// Accounted time of a thread, or of the whole process where that thread is not known.
    pub(crate) fn accounted_of(&self, tid: Tid) -> &Times {
        self.threads.get(&tid).map_or(&self.accounted, |(_, times)| times)
    }

    /// A thread's refined time.
    pub(crate) fn thread(&self, tid: Tid) -> Option<Times> {
        let (_, accounted) = self.threads.get(&tid)?;
        let mut times = Times::default();
        for state in State::ALL {
            let ns = accounted.of(state);
            if let Some(own) = self.own_mix.get(&(tid, state)) {
                let all = own.iter().map(|(_, weight)| weight).sum::<u64>().max(1) as f64;
                for (to, weight) in own {
                    times.add(*to, (ns as f64 * *weight as f64 / all) as u64);
                }
                continue;
            }
            match self.mix.get(&state) {
                Some(mix) => mix.iter().for_each(|(to, share)| times.add(*to, (ns as f64 * share) as u64)),
                None => times.add(idle_unless_known(state), ns),
            }
        }
        Some(times)
    }

    /// The thread with most CPU time: tid, name, ns.
    pub(crate) fn busiest_thread(&self) -> Option<(Tid, &Arc<str>, u64)> {
        let oncpu = self.threads.iter().map(|(tid, (comm, times))| (*tid, comm, times.of(State::Oncpu)));
        oncpu.max_by_key(|(tid, _, ns)| (*ns, std::cmp::Reverse(*tid)))
    }

    /// Thread time in waits for a timer or for work, ns; waits for a child are left out.
    pub(crate) fn resting(&self) -> u64 {
        let child = self.accounted.of(State::Child).saturating_sub(self.times.of(State::Child));
        (self.times.all() - self.times.non_idle()).saturating_sub(child)
    }

    /// On-CPU time, and all certainly non-idle time, ns: of the median window, so that a change in the last windows does not
    /// count.
    pub(super) fn activity(&self, windows: usize) -> (u64, u64) {
        let mut by_window = vec![(0, 0); windows];
        for (window, state, ns) in &self.series {
            let of = &mut by_window[*window as usize];
            of.0 += if *state == State::Oncpu { *ns } else { 0 };
            of.1 += if state.is_idle() || AMBIGUOUS_STATES.contains(state) { 0 } else { *ns };
        }
        let middle = |mut values: Vec<u64>| {
            values.sort_unstable();
            values.get(windows / 2).copied().unwrap_or(0)
        };
        (middle(by_window.iter().map(|of| of.0).collect()), middle(by_window.iter().map(|of| of.1).collect()))
    }

    fn refine(&mut self, partners: &Partners) {
        for (state, wait) in &mut self.waits {
            *state = partners.real(*state, wait);
        }
        let real = futexes::real_states(&self.waits, partners.whole());
        for ((state, _), real) in self.waits.iter_mut().zip(real) {
            *state = real;
        }
        let mut weights: HashMap<State, Vec<(State, u64)>> = HashMap::new();
        for (state, wait) in &self.waits {
            let of = weights.entry(wait.accounted).or_default();
            let own = self.own_mix.entry((wait.tid, wait.accounted)).or_default();
            for of in [of, own] {
                match of.iter_mut().find(|(known, _)| known == state) {
                    Some((_, weight)) => *weight += wait.weight.0,
                    None => of.push((*state, wait.weight.0)),
                }
            }
        }
        for accounted in State::ALL {
            let time = self.accounted.of(accounted);
            let Some(of) = weights.get(&accounted).filter(|_| accounted.is_blocked()) else {
                self.times.add(idle_unless_known(accounted), time);
                continue;
            };
            if time == 0 {
                continue;
            }
            let total: u64 = of.iter().map(|(_, weight)| weight).sum::<u64>().max(1);
            // A thread that stays in an ambiguous state for whole windows waits for work, unless its wait has ended
            // and shows otherwise.
            let resting = if AMBIGUOUS_STATES.contains(&accounted) || accounted.is_idle() {
                self.resting.of(accounted).min(time.saturating_sub(total))
            } else {
                0
            };
            let moving = time - resting;
            let idle = idle_unless_known(accounted);
            let mut mix: Vec<(State, f64)> = of
                .iter()
                .map(|(state, weight)| (*state, *weight as f64 / total as f64 * moving as f64 / time as f64))
                .collect();
            mix.push((idle, resting as f64 / time as f64));
            for (state, share) in &mix {
                self.times.add(*state, (time as f64 * share) as u64);
            }
            self.mix.insert(accounted, mix);
        }
    }
}

/// The refined state of time without recorded waits: ambiguous states count as idle.
const fn idle_unless_known(state: State) -> State {
    match state {
        State::FutexLock => State::FutexWait,
        State::Ipc | State::NetRecv | State::Interruptible | State::Device => State::Poll,
        State::Child => State::Sleep,
        state => state,
    }
}

/// The state of a wait by its stack and its target.
pub(super) fn state_of(wait: &Wait) -> State {
    match wait.target {
        WaitTarget::Socket { peer: Some((_, 53)), .. } if wait.state != State::NetConnect => State::Dns,
        _ => wait.state,
    }
}

/// The processes of some windows. Without thread states (an old kernel, no permission) `/proc` gives the time on and
/// for the CPU, and the rest counts as idle.
pub(super) fn processes<'a>(
    windows: &'a [Arc<Window>],
    usage: &[Usage],
    has_states: bool,
) -> (Vec<Process<'a>>, Map<Tgid, usize>) {
    let mut processes: Vec<Process<'a>> = Vec::with_capacity(usage.len());
    let mut by_tgid: Map<Tgid, usize> = Map::default();
    for (at, row) in usage.iter().enumerate() {
        if let Some(known) = by_tgid.get(&row.tgid) {
            let process = &mut processes[*known];
            if process.usage.is_none_or(|old| usage[old].cpu() < row.cpu()) {
                process.usage = Some(at);
            }
            continue;
        }
        by_tgid.insert(row.tgid, processes.len());
        let mut process = blank(row.tgid, &row.comm);
        process.parent = row.parent;
        process.cgroup = Arc::clone(&row.cgroup);
        process.usage = Some(at);
        processes.push(process);
    }
    for window in windows {
        for task in &window.tasks {
            if let Some(at) = by_tgid.get(&task.tgid) {
                let process = &mut processes[*at];
                process.kernel = task.kernel;
                process.nice = task.nice;
                process.real_time = task.real_time;
                process.cpu_cgroup = Arc::clone(task.cpu_cgroup.as_ref().unwrap_or(&task.cgroup));
                process.sampled = true;
            }
        }
    }
    for (number, window) in windows.iter().enumerate() {
        if has_states {
            for times in &window.times {
                let at = *by_tgid.entry(times.tgid).or_insert_with(|| {
                    processes.push(blank(times.tgid, &times.comm));
                    processes.len() - 1
                });
                add_times(&mut processes[at], number as u32, times, window.span().0);
            }
        } else {
            for task in &window.tasks {
                let Some(at) = by_tgid.get(&task.tgid) else { continue };
                let process = &mut processes[*at];
                for (state, ns) in [
                    (State::Oncpu, task.user.0 + task.system.0),
                    (State::RunqPreempted, task.runq.unwrap_or_default().0),
                ] {
                    if ns > 0 {
                        process.accounted.add(state, ns);
                        process.series.push((number as u32, state, ns));
                    }
                }
            }
        }
        for wait in &window.waits {
            if let Some(at) = by_tgid.get(&wait.tgid) {
                processes[*at].waits.push((state_of(wait), wait));
                if wait.open {
                    add_open(&mut processes[*at], wait, window);
                }
            }
        }
    }
    adopt(windows, &mut processes, &by_tgid);
    let partners = Partners::new(windows, &processes, &by_tgid, crate::usage::span(windows).0);
    for process in &mut processes {
        process.refine(&partners);
    }
    (processes, by_tgid)
}

/// The collector's name for a process of which it saw only that it ran.
const EXITED_COMM: &str = "<exited>";

/// Completes processes that no reading of `/proc` saw: the parent from their exit event, the cgroup from the nearest ancestor that
/// was read. They belong to the same batch as processes that lived a little longer.
fn adopt(windows: &[Arc<Window>], processes: &mut [Process], by_tgid: &Map<Tgid, usize>) {
    const MAX_GENERATIONS: usize = 4;
    let exits = windows.iter().flat_map(|window| &window.exits);
    let parents: HashMap<Tgid, Tgid> = exits.map(|exit| (exit.tgid, exit.parent)).collect();
    let exits = windows.iter().flat_map(|window| &window.exits);
    let names: HashMap<Tgid, &Arc<str>> = exits.map(|exit| (exit.tgid, &exit.comm)).collect();
    for at in 0..processes.len() {
        if processes[at].sampled {
            continue;
        }
        if let Some(name) = names.get(&processes[at].tgid) {
            processes[at].comm = Arc::clone(name);
        } else if &*processes[at].comm == EXITED_COMM {
            // It came and went between two readings without an exit event: not judged.
            processes[at].kernel = true;
        }
        if processes[at].parent == Tgid(0) {
            processes[at].parent = parents.get(&processes[at].tgid).copied().unwrap_or_default();
        }
        let mut above = processes[at].parent;
        for _ in 0..MAX_GENERATIONS {
            match by_tgid.get(&above).map(|place| &processes[*place]) {
                Some(forebear) if forebear.sampled => {
                    let groups = (Arc::clone(&forebear.cgroup), Arc::clone(&forebear.cpu_cgroup));
                    (processes[at].cgroup, processes[at].cpu_cgroup) = groups;
                    break;
                }
                known => {
                    above =
                        known.map_or_else(|| parents.get(&above).copied().unwrap_or_default(), |p| p.parent);
                }
            }
        }
    }
}

fn blank<'a>(tgid: Tgid, comm: &Arc<str>) -> Process<'a> {
    Process {
        tgid,
        comm: Arc::clone(comm),
        parent: Tgid(0),
        cgroup: "/".into(),
        cpu_cgroup: "/".into(),
        voluntary: 0,
        sampled: false,
        kernel: false,
        nice: 0,
        real_time: 0,
        usage: None,
        unit: 0,
        times: Times::default(),
        series: Vec::new(),
        mix: HashMap::new(),
        own_mix: Map::default(),
        threads: Map::default(),
        waits: Vec::new(),
        oldest: None,
        open: Vec::new(),
        resting: Times::default(),
        accounted: Times::default(),
    }
}

/// Adds a thread that did not wake: it has no row, but its open wait shows its state.
fn add_open(process: &mut Process, wait: &Wait, window: &Window) {
    let times = window.times.iter().find(|times| times.tgid == wait.tgid);
    if times.is_some_and(|times| times.threads.iter().any(|thread| thread.tid == wait.tid)) {
        return;
    }
    let known = process.threads.entry(wait.tid);
    let (_, times) = known.or_insert_with(|| (Arc::clone(&wait.comm), Times::default()));
    times.add(wait.accounted, wait.weight.0);
}

fn add_times(process: &mut Process, number: u32, times: &ProcessTimes, span: u64) {
    for (state, ns) in &times.states {
        process.accounted.add(*state, ns.0);
        if !state.is_idle() || *state == State::FutexWait || *state == State::Poll {
            process.series.push((number, *state, ns.0));
        }
    }
    for (state, threads) in &times.resting {
        process.resting.add(*state, u64::from(*threads) * span);
    }
    process.open.clear();
    for thread in &times.threads {
        let known =
            process.threads.entry(thread.tid).or_insert_with(|| (Arc::clone(&thread.comm), Times::default()));
        for (state, ns) in &thread.states {
            known.1.add(*state, ns.0);
        }
        process.open.extend(thread.now);
        process.voluntary += thread.voluntary;
    }
    process.oldest = times.oldest;
}

/// Index of each thread's process.
pub(super) fn owners(processes: &[Process]) -> Map<Tid, usize> {
    let mut owners = Map::default();
    for (at, process) in processes.iter().enumerate() {
        owners.insert(Tid(process.tgid.0), at);
        owners.extend(process.threads.keys().map(|tid| (*tid, at)));
    }
    owners
}
