//! Locks and idle waits among futex waits.
//!
//! The kernel sees one system call for both. A lock's word is waited for by several threads that also wake each other
//! there, or names its owner; a parked worker waits for a word of its own, or is woken by somebody who never waits for
//! that word (a dispatcher).

use std::collections::{HashMap, HashSet};

use agent_common::abi::sched::State;
use agent_common::units::Tid;

use crate::window::{Wait, WaitTarget};

/// Share of the waiting for a word that those who also wait for it must have ended.
const BY_WAITERS: f64 = 0.5;
/// Longest time-out, ns, after which a thread only looks and waits on: of such waits nobody ends most. Who waits for work
/// looks less often.
const LOOKS_AGAIN: u64 = 20_000_000;
/// Share of all waiting for a word that somebody must have ended.
const ENDED: f64 = 0.05;

#[derive(Default)]
struct Word {
    waiters: HashSet<Tid>,
    wakers: HashMap<Tid, u64>,
    owned: bool,
    weight: u64,
    /// That of short waits that nobody ended.
    looked: u64,
}

/// The states of these waits of one process, futexes told apart.
pub(super) fn real_states(waits: &[(State, &Wait)]) -> Vec<State> {
    let mut words: HashMap<u64, Word> = HashMap::new();
    for (_, wait) in waits {
        let WaitTarget::Futex { addr, owner } = wait.target else { continue };
        let word = words.entry(addr).or_default();
        word.waiters.insert(wait.tid);
        word.owned |= owner.is_some_and(|owner| owner != wait.tid);
        word.weight += wait.weight.0;
        if wait.waker.is_none() && !wait.open && wait.waited.0 < LOOKS_AGAIN {
            word.looked += wait.weight.0;
        }
        if let Some(waker) = &wait.waker {
            *word.wakers.entry(waker.tid).or_default() += wait.weight.0;
        }
    }
    let is_lock = |word: &Word| {
        let by_waiters: u64 = word
            .wakers
            .iter()
            .filter(|(waker, _)| word.waiters.contains(waker))
            .map(|(_, weight)| weight)
            .sum();
        word.waiters.len() > 1
            && by_waiters as f64 >= BY_WAITERS * (word.weight - word.looked) as f64
            && by_waiters as f64 >= ENDED * word.weight as f64
    };
    let locks: HashMap<u64, bool> = words.iter().map(|(addr, word)| (*addr, is_lock(word))).collect();
    waits
        .iter()
        .map(|(state, wait)| match (state, wait.target) {
            (State::FutexLock, WaitTarget::Futex { addr, .. }) if !locks[&addr] && !words[&addr].owned => {
                State::FutexWait
            }
            (State::FutexWait, WaitTarget::Futex { addr, .. }) if locks[&addr] => State::FutexLock,
            (state, _) => *state,
        })
        .collect()
}
