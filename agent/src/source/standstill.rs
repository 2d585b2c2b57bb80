//! Processes that stand still: every thread waits, without a time-out, for another one of the same process, so that none
//! goes on again but by a signal.
//!
//! The kernel accounts each wait as a futex's, be it a lock's or a parked worker's; that a whole process is in such waits is
//! seen when nothing of it has changed in a window. That none has a time-out and all are private to the process is in the
//! arguments, once, from `/proc/PID/task/TID/syscall`.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{MonoNs, Tgid};

use super::sched::call;
use super::task::TaskSample;
use crate::syscall_names;
use crate::window::{ProcessTimes, Standstill, SyscallAbi};

/// Threads looked at in a window (each costs 10 µs); who is left out is looked at in the next.
const LOOKS: usize = 256;
/// `FUTEX_PRIVATE_FLAG`, in the second argument.
const PRIVATE: u64 = 128;

/// What is known of a process of which nothing moves.
#[derive(Debug)]
struct Still {
    /// Start of the first window in which nothing moved.
    since: MonoNs,
    /// It has moved while it was observed.
    moved: bool,
    /// Whether no thread has a time-out; `None`: not looked at yet.
    forever: Option<bool>,
    /// Number of the last window in which nothing moved.
    turn: u64,
}

/// Remembers who stands still.
#[derive(Debug, Default)]
pub struct StandstillSource {
    still: HashMap<Tgid, Still>,
    turn: u64,
}

impl StandstillSource {
    /// Who stands still in this window.
    pub fn close(
        &mut self,
        times: &[ProcessTimes],
        tasks: &[Arc<TaskSample>],
        (start, end): (MonoNs, MonoNs),
    ) -> Vec<Standstill> {
        self.turn += 1;
        let (turn, mut looks) = (self.turn, 0);
        let mut found = Vec::new();
        for (tgid, threads) in times.iter().filter_map(|row| Some((row.tgid, all_wait(row)?))) {
            let sample = tasks.binary_search_by_key(&tgid, |task| task.tgid).map(|at| &tasks[at]);
            if sample.is_ok_and(|sample| sample.threads != threads) {
                continue;
            }
            let fresh = Still { since: start, moved: turn > 1, forever: None, turn };
            let still = self.still.entry(tgid).or_insert(fresh);
            if still.forever.is_none() && looks < LOOKS {
                looks += threads as usize;
                still.forever = Some(none_times_out(tgid));
            }
            still.turn = turn;
            if still.forever == Some(true) {
                found.push(Standstill { tgid, threads, age: end.since(still.since), moved: still.moved });
            }
        }
        self.still.retain(|_, still| still.turn == turn);
        found
    }
}

/// Threads of a process of which each was in one wait for a futex throughout.
fn all_wait(row: &ProcessTimes) -> Option<u32> {
    let waits = |state: State| matches!(state, State::FutexWait | State::FutexLock);
    let threads: u32 = row.resting.iter().map(|(_, threads)| threads).sum();
    (threads > 1 && row.threads.is_empty() && row.resting.iter().all(|(state, _)| waits(*state)))
        .then_some(threads)
}

/// Each thread is in a wait for a private futex that has no time-out.
fn none_times_out(tgid: Tgid) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{tgid}/task")) else { return false };
    let mut any = false;
    let all = threads.flatten().all(|thread| {
        any = true;
        fs::read_to_string(thread.path().join("syscall")).is_ok_and(|text| waits_forever(&text))
    });
    any && all
}

/// `202 0x7f… 0x189 0x0 0x0 …`: `futex(word, operation, value, time-out)`; `futex_wait` has its flags and time-out elsewhere.
fn waits_forever(text: &str) -> bool {
    let Some((nr, args)) = call(text) else { return false };
    match syscall_names::name(SyscallAbi::Native, nr) {
        Some("futex") => args[1] & PRIVATE != 0 && args[3] == 0,
        Some("futex_wait") => args[3] & PRIVATE != 0 && args[4] == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::units::DurNs;

    #[test]
    fn a_wait_without_a_time_out_for_a_word_of_its_own_is_told_by_the_arguments() {
        let line =
            |op: &str, time: &str| format!("202 0x7f00 {op} 0x0 {time} 0x0 0xffffffff 0x7ffc 0x7f11\n");
        assert!(waits_forever(&line("0x189", "0x0")), "a semaphore");
        assert!(waits_forever(&line("0x80", "0x0")), "a lock");
        assert!(!waits_forever(&line("0x189", "0x7ffc00")), "with a time-out");
        assert!(!waits_forever(&line("0x109", "0x0")), "shared with other processes");
        assert!(!waits_forever("0 0x0 0x0 0x0 0x0 0x0 0x0 0x7ffc 0x7f11\n"), "a read");
        assert!(!waits_forever("running\n"));
    }

    #[test]
    fn one_thread_that_waits_elsewhere_or_moved_is_enough_to_go_on() {
        let row = |resting: Vec<(State, u32)>| ProcessTimes { resting, ..ProcessTimes::default() };
        assert_eq!(all_wait(&row(vec![(State::FutexWait, 2), (State::FutexLock, 1)])), Some(3));
        assert_eq!(all_wait(&row(vec![(State::FutexWait, 2), (State::Poll, 1)])), None);
        assert_eq!(all_wait(&row(vec![(State::FutexWait, 1)])), None, "one alone waits for a signal");
    }

    #[test]
    fn the_age_is_that_of_the_first_window_and_ends_when_something_moves() {
        let mut source = StandstillSource::default();
        let me = std::process::id();
        let row =
            ProcessTimes { tgid: Tgid(me), resting: vec![(State::FutexWait, 2)], ..ProcessTimes::default() };
        let at = |second: u64| (MonoNs(second * 1_000_000_000), MonoNs((second + 1) * 1_000_000_000));
        source.close(&[], &[], at(0));
        let mut close = |rows: &[ProcessTimes], second| {
            for still in source.still.values_mut() {
                still.forever = Some(true);
            }
            source.close(rows, &[], at(second))
        };
        close(std::slice::from_ref(&row), 1);
        let found = close(std::slice::from_ref(&row), 2);
        assert_eq!(
            found,
            [Standstill { tgid: Tgid(me), threads: 2, age: DurNs(2_000_000_000), moved: true }]
        );
        assert_eq!(close(&[], 3), []);
        close(std::slice::from_ref(&row), 4);
        assert_eq!(close(&[row], 5)[0].age, DurNs(2_000_000_000));
    }
}
