//! Locks and idle waits among futex waits.
//!
//! The kernel sees one system call for both. A lock's word is waited for by several threads that also wake each other
//! there (who holds it long waits for it seldom: that it did is noted), or names its owner; a parked worker waits for a word
//! of its own, or is woken by somebody who never waits for that word (a dispatcher).

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

/// Of the threads that take a lock one has it, and the others wait at most: more of them than that, by so much for what samples
/// miss, wait for work, and nobody has what all wait for.
const ALL_BUT: f64 = 0.8;

#[derive(Default)]
struct Word {
    waiters: HashSet<Tid>,
    wakers: HashMap<Tid, u64>,
    owned: bool,
    weight: u64,
    /// The same of each wait within the span.
    within: u64,
    /// That of short waits that nobody ended.
    looked: u64,
}

/// The states of these waits of one process in `span` ns, futexes told apart.
pub(super) fn real_states(waits: &[(State, &Wait)], span: u64) -> Vec<State> {
    let mut words: HashMap<u64, Word> = HashMap::new();
    for (_, wait) in waits {
        let WaitTarget::Futex { addr, owner } = wait.target else { continue };
        let word = words.entry(addr).or_default();
        word.waiters.insert(wait.tid);
        word.owned |= owner.is_some_and(|owner| owner != wait.tid);
        word.weight += wait.weight.0;
        word.within += wait.weight.0.min(span);
        if wait.waker.is_none() && !wait.open && wait.waited.0 < LOOKS_AGAIN {
            word.looked += wait.weight.0;
        }
        if let Some(waker) = &wait.waker {
            if waker.takes_turns {
                word.waiters.insert(waker.tid);
            }
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
        let at_most = (word.waiters.len() as f64 - ALL_BUT) * span as f64;
        word.waiters.len() > 1
            && word.within as f64 <= at_most
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
