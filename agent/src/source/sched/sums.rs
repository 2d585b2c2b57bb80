//! Sums over the threads of a process.

use std::sync::Arc;

use agent_common::abi::sched::{STATES, State};
use agent_common::units::{DurNs, Tgid};
use diagnosis::window::{OpenWait, ProcessTimes, ThreadTimes};

/// One process' part of the running window.
#[derive(Debug, Default)]
pub(super) struct Sums {
    states: [i64; STATES],
    pub(super) threads: Vec<ThreadTimes>,
    resting: [u32; STATES],
    oldest: Option<OpenWait>,
}

impl Sums {
    pub(super) fn add(&mut self, delta: &[i64; STATES]) {
        for (sum, delta) in self.states.iter_mut().zip(delta) {
            *sum += delta;
        }
    }

    pub(super) fn add_one(&mut self, state: State, time: DurNs) {
        self.states[state as usize] += time.0.cast_signed();
    }

    pub(super) fn rest(&mut self, state: State) {
        self.resting[state as usize] += 1;
    }

    /// A thread is in this at the end of the window.
    pub(super) fn open(&mut self, wait: OpenWait) {
        let counts = wait.state.is_blocked() && !wait.state.is_idle();
        if counts && self.oldest.is_none_or(|oldest| wait.age > oldest.age) {
            self.oldest = Some(wait);
        }
    }

    pub(super) fn row(self, tgid: Tgid, comm: Arc<str>) -> ProcessTimes {
        let resting = State::ALL.into_iter().zip(self.resting).filter(|(_, threads)| *threads != 0);
        ProcessTimes {
            tgid,
            comm,
            states: listed(&self.states),
            threads: self.threads,
            resting: resting.collect(),
            oldest: self.oldest,
        }
    }
}

/// States with time in them, ascending.
pub(super) fn listed(ns: &[i64; STATES]) -> Vec<(State, DurNs)> {
    let states = State::ALL.into_iter().zip(ns);
    states.filter(|(_, ns)| **ns > 0).map(|(state, ns)| (state, DurNs(ns.cast_unsigned()))).collect()
}

/// Makes every difference positive and keeps their sum: a state that was open at the last reading and turned out to be
/// another, or one that began after the window's end, is taken from the largest.
pub(super) fn settle(delta: &mut [i64; STATES]) {
    let mut short = 0;
    for ns in delta.iter_mut().filter(|ns| **ns < 0) {
        short += std::mem::take(ns);
    }
    while short < 0 {
        let Some(largest) = delta.iter_mut().max().filter(|ns| **ns > 0) else { return };
        let taken = (-short).min(*largest);
        *largest -= taken;
        short += taken;
    }
}
