//! Windows → stacks with weights, for flame graphs of time on the CPU, of waits, of both, and of who ended the waits.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{DurNs, MonoNs, Tgid};
use diagnosis::window::{Wait, Waker, Window};
use profile::{Mode, Sample, Stacked, reason};

/// Which stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackOptions {
    /// What of.
    pub mode: Mode,
    /// One process, or all.
    pub pid: Option<Tgid>,
    /// Leave out waits for work ([`State::is_idle`]).
    pub no_idle: bool,
    /// On-CPU samples a second and CPU: one of them stands for the time between two.
    pub rate_hz: u32,
}

/// Stacks and what stands behind them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stacks {
    /// The stacks.
    pub stacks: Vec<Stacked>,
    /// On-CPU samples among them, by weight.
    pub samples: u64,
    /// Waits among them.
    pub waits: u64,
    /// Time that the waits stand for.
    pub waited: DurNs,
    /// Time blocked according to the accounting, of the same processes and states; `None` without accounting.
    pub blocked: Option<DurNs>,
}

/// Picks the stacks out of the windows.
#[must_use]
pub fn stacks(windows: &[Arc<Window>], options: &StackOptions) -> Stacks {
    let mut picked = Stacks::default();
    let passes = |tgid: u32| options.pid.is_none_or(|pid| pid.0 == tgid);
    let wanted = |state: State| state.is_blocked() && !(options.no_idle && state.is_idle());
    let tick_ns = 1_000_000_000 / u64::from(options.rate_hz.max(1));
    let reasons = State::ALL.map(reason);
    let names = Processes::of(windows);
    for window in windows {
        if options.mode.has_samples() {
            for sample in window.samples.iter().filter(|sample| passes(sample.tgid)) {
                picked.samples += sample.weight;
                let mut one = Stacked::from(sample.clone());
                one.process = names.at(sample);
                if options.mode == Mode::Wall {
                    one.sample.weight = sample.weight.saturating_mul(tick_ns);
                    one.reason = Some(Arc::clone(&reasons[State::Oncpu as usize]));
                }
                picked.stacks.push(one);
            }
        }
        if !options.mode.has_waits() {
            continue;
        }
        for wait in window.waits.iter().filter(|wait| !wait.open && passes(wait.tgid.0) && wanted(wait.state))
        {
            picked.waits += 1;
            picked.waited.0 += wait.weight.0;
            let waker = (options.mode == Mode::Wakers)
                .then(|| wait.waker.as_ref().map_or_else(unknown_waker, Waker::sample));
            let waker = waker.map(|waker| Sample { at: wait.at, ..waker });
            let sample = wait.sample();
            picked.stacks.push(Stacked {
                process: names.at(&sample),
                waker_process: waker.as_ref().and_then(|waker| names.at(waker)),
                reason: Some(Arc::clone(&reasons[wait.state as usize])),
                waker,
                ..Stacked::from(sample)
            });
        }
        for process in window.times.iter().filter(|process| passes(process.tgid.0)) {
            let states = process.states.iter().filter(|(state, _)| wanted(*state));
            picked.blocked.get_or_insert_default().0 += states.map(|(_, time)| time.0).sum::<u64>();
        }
    }
    picked
}

/// What processes were called, and since when.
struct Processes(HashMap<u32, Vec<(MonoNs, Arc<str>)>>);

impl Processes {
    fn of(windows: &[Arc<Window>]) -> Self {
        let mut names: HashMap<u32, Vec<(MonoNs, Arc<str>)>> = HashMap::new();
        for row in windows.iter().flat_map(|window| &window.names) {
            let known = names.entry(row.tgid.0).or_default();
            match known.binary_search_by_key(&row.since, |(since, _)| *since) {
                Ok(place) => known[place].1 = Arc::clone(&row.comm),
                Err(place) => known.insert(place, (row.since, Arc::clone(&row.comm))),
            }
        }
        Self(names)
    }

    /// What the process of a sample was called then.
    fn at(&self, sample: &Sample) -> Option<Arc<str>> {
        let known = self.0.get(&sample.tgid)?;
        let next = known.partition_point(|(since, _)| *since <= sample.at);
        known.get(next.saturating_sub(1)).map(|(_, comm)| Arc::clone(comm))
    }
}

/// Stacks of waits and of those who ended them, as samples: what the symbolizer is asked about.
#[must_use]
pub fn stacks_of_waits(waits: &[Wait]) -> Vec<Sample> {
    let ended = waits.iter().filter(|wait| !wait.open);
    let both = |wait: &Wait| {
        let waker = wait.waker.as_ref().map(|waker| Sample { at: wait.at, ..waker.sample() });
        [Some(wait.sample()), waker]
    };
    ended.flat_map(both).flatten().collect()
}

/// Stands for the waker of a wait that an interrupt ended (a timer, a device), or whose waker is unknown.
fn unknown_waker() -> Sample {
    Sample {
        at: MonoNs(0),
        tgid: 0,
        tid: 0,
        comm: "[interrupt]".into(),
        kernel: Box::default(),
        user: Box::default(),
        weight: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diagnosis::testing::full;

    fn pick(mode: Mode, pid: Option<Tgid>, no_idle: bool) -> Stacks {
        let windows: Vec<Arc<Window>> = (0..3).map(|n| Arc::new(full(n))).collect();
        stacks(&windows, &StackOptions { mode, pid, no_idle, rate_hz: 100 })
    }

    fn weight(stacks: &Stacks) -> u64 {
        stacks.stacks.iter().map(|one| one.sample.weight).sum()
    }

    #[test]
    fn each_mode_weighs_what_it_is_of() {
        let oncpu = pick(Mode::OnCpu, None, false);
        assert_eq!((weight(&oncpu), oncpu.samples, oncpu.waits), (9, 9, 0));
        let waits = pick(Mode::OffCpu, None, false);
        assert_eq!((waits.samples, waits.waits, waits.waited), (0, 12, DurNs(3_000_000_000)));
        assert_eq!(weight(&waits), waits.waited.0);
        assert_eq!(waits.blocked, Some(DurNs(3 * 1_080_000_000)), "fsync and poll");
        assert!(
            waits.stacks.iter().all(|one| one.reason.as_deref() == Some("[fsync]") && one.waker.is_none())
        );
        let wall = pick(Mode::Wall, None, false);
        assert_eq!(weight(&wall), waits.waited.0 + 9 * 10_000_000, "a sample at 100 Hz is 10 ms");
        let wakers = pick(Mode::Wakers, None, false);
        assert_eq!(weight(&wakers), waits.waited.0);
        let by: Vec<&str> = wakers.stacks[..4].iter().map(|one| &*one.waker.as_ref().unwrap().comm).collect();
        assert_eq!(by, ["jbd2", "[interrupt]", "[interrupt]", "[interrupt]"]);
    }

    #[test]
    fn a_process_and_waits_for_work_can_be_chosen() {
        assert!(pick(Mode::Wall, Some(Tgid(7)), false).stacks.is_empty());
        let busy = pick(Mode::OffCpu, Some(Tgid(42)), true);
        assert_eq!((busy.waits, busy.blocked), (12, Some(DurNs(3_000_000_000))), "without poll");
        assert_eq!(stacks_of_waits(&full(0).waits).len(), 5);
    }
}
