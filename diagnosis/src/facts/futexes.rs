//! Locks and idle waits among futex waits.
//!
//! The kernel sees one system call for both. Several threads wait for a lock's word and also wake each other there, or the word
//! names its owner. (A long holder seldom waits itself; the kernel side notes that it has.) A parked worker waits for a word of its
//! own, or a thread that never waits for that word wakes it (a dispatcher).

use std::collections::{HashMap, HashSet};

use agent_common::abi::sched::State;
use agent_common::units::Tid;

use crate::window::{Wait, WaitTarget};

/// Least share of the waiting for a lock's word that threads ended which also wait for it.
const MIN_ENDED_BY_WAITERS_SHARE: f64 = 0.5;
/// Longest time-out, ns, of a thread that only checks the lock and waits on: most such waits time out. Threads that wait for work
/// check less often.
const MAX_RECHECK_WAIT_NS: u64 = 20_000_000;
/// Least share of all waiting for a lock's word that another thread ended.
const MIN_ENDED_SHARE: f64 = 0.05;

/// Least mean number of a word's threads that do not wait for it, if it is a lock: one owns it. (Below 1, for waits that sampling
/// misses.) If all wait, they wait for work.
const MIN_MEAN_OWNERS: f64 = 0.8;

#[derive(Default)]
struct Word {
    waiters: HashSet<Tid>,
    wakers: HashMap<Tid, u64>,
    owned: bool,
    weight: u64,
    /// The same, each wait cut to the span.
    within: u64,
    /// The same of short waits that timed out.
    looked: u64,
}

/// The states of one process' waits in `span` ns; locks and idle waits are distinguished.
pub(super) fn real_states(waits: &[(State, &Wait)], span: u64) -> Vec<State> {
    let mut words: HashMap<u64, Word> = HashMap::new();
    for (_, wait) in waits {
        let WaitTarget::Futex { addr, owner } = wait.target else { continue };
        let word = words.entry(addr).or_default();
        word.waiters.insert(wait.tid);
        word.owned |= owner.is_some_and(|owner| owner != wait.tid);
        word.weight += wait.weight.0;
        word.within += wait.weight.0.min(span);
        if wait.waker.is_none() && !wait.open && wait.waited.0 < MAX_RECHECK_WAIT_NS {
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
        let at_most = (word.waiters.len() as f64 - MIN_MEAN_OWNERS) * span as f64;
        word.waiters.len() > 1
            && word.within as f64 <= at_most
            && by_waiters as f64 >= MIN_ENDED_BY_WAITERS_SHARE * (word.weight - word.looked) as f64
            && by_waiters as f64 >= MIN_ENDED_SHARE * word.weight as f64
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
