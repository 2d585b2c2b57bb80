//! Time by state.

use agent_common::abi::sched::{STATES, State};

/// Time by state, ns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Times(pub(crate) [u64; STATES]);

impl Default for Times {
    fn default() -> Self {
        Self([0; STATES])
    }
}

impl Times {
    pub(crate) const fn of(&self, state: State) -> u64 {
        self.0[state as usize]
    }

    pub(crate) fn sum(&self, states: &[State]) -> u64 {
        states.iter().map(|state| self.of(*state)).sum()
    }

    pub(crate) fn all(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) const fn add(&mut self, state: State, ns: u64) {
        self.0[state as usize] += ns;
    }

    /// Time in all states but the idle ones, ns.
    pub(crate) fn non_idle(&self) -> u64 {
        State::ALL.into_iter().filter(|state| !state.is_idle()).map(|state| self.of(state)).sum()
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, ns)| *sum += ns);
    }
}
