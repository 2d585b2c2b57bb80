//! Processes that stand still: every thread waits, without a time-out, for another thread of the same process. Only a signal
//! can end that.
//!
//! The kernel side accounts each of these waits as a futex wait, whether for a lock or of an idle worker. The collector
//! examines a process when all of its threads were in such waits for a whole window. It reads
//! `/proc/PID/task/TID/syscall` once: the arguments show that no wait has a time-out, and that no other process can reach
//! the futex words. A process with handlers for signals of its own use may wait for such a signal.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{MonoNs, Tgid, Tid};
use diagnosis::syscall_names;
use diagnosis::window::{ProcessTimes, Standstill, SyscallAbi, TaskSample};

use super::in_flight::threads;
use super::sched::call;

/// Most threads inspected in a window, 10 µs each. A process with more threads is not judged; a process that is left out is
/// inspected in the next window.
const MAX_THREADS: usize = 256;
/// `FUTEX_PRIVATE_FLAG`, in the second argument.
const FUTEX_PRIVATE_FLAG: u64 = 128;
/// Least windows in which a process ran, before its standstill counts as one.
const MIN_RUN_WINDOWS: u32 = 4;
/// Signals with a use of a program's own: `HUP`, `USR1`, `USR2`, `ALRM`, `CHLD`, `VTALRM`, `PROF`, `IO`, and those from 34 on
/// (32 and 33 are the C library's). A handler of any other ends the program, or reports a crash.
const OWN_SIGNALS: u64 = {
    let mut mask = !0 << 33;
    let mut own: &[u64] = &[1, 10, 12, 14, 17, 26, 27, 29];
    while let [signal, rest @ ..] = own {
        mask |= 1 << (*signal - 1);
        own = rest;
    }
    mask
};

/// What is known of a process.
#[derive(Debug, Default)]
struct Known {
    /// Windows in which it ran.
    ran: u32,
    /// Start of the first window of those in which nothing of it moved.
    since: Option<MonoNs>,
    /// How its threads wait, once it was looked at.
    waits: Option<Waits>,
    /// Number of the last window with it.
    turn: u64,
}

/// How the threads of a process wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// One has a time-out, or waits for something else.
    More,
    /// All for one another, but a signal may be what they wait for.
    Signals,
    /// All for one another.
    EachOther,
}

/// Remembers who stands still.
#[derive(Debug, Default)]
pub struct StandstillSource {
    known: HashMap<Tgid, Known>,
    turn: u64,
}

impl StandstillSource {
    /// Who stands still in this window.
    pub fn close(
        &mut self,
        times: &[ProcessTimes],
        tasks: &[Arc<TaskSample>],
        window: (MonoNs, MonoNs),
    ) -> Vec<Standstill> {
        self.close_with(times, tasks, window, look)
    }

    fn close_with(
        &mut self,
        times: &[ProcessTimes],
        tasks: &[Arc<TaskSample>],
        (start, end): (MonoNs, MonoNs),
        look: impl Fn(Tgid) -> Waits,
    ) -> Vec<Standstill> {
        self.turn += 1;
        let (turn, mut looks) = (self.turn, MAX_THREADS);
        let mut found = Vec::new();
        for row in times {
            let known = self.known.entry(row.tgid).or_default();
            known.turn = turn;
            let Some(threads) = all_wait(row) else {
                known.ran = known.ran.saturating_add(u32::from(!row.threads.is_empty()));
                (known.since, known.waits) = (None, None);
                continue;
            };
            let sample = tasks.binary_search_by_key(&row.tgid, |task| task.tgid).map(|at| &tasks[at]);
            if sample.is_ok_and(|sample| sample.threads != threads) {
                continue;
            }
            let since = *known.since.get_or_insert(start);
            if known.waits.is_none() && threads as usize <= looks {
                looks -= threads as usize;
                known.waits = Some(look(row.tgid));
            }
            let Some(waits @ (Waits::EachOther | Waits::Signals)) = known.waits else { continue };
            let stopped = waits == Waits::EachOther && known.ran >= MIN_RUN_WINDOWS;
            found.push(Standstill { tgid: row.tgid, threads, age: end.since(since), stopped });
        }
        self.known.retain(|_, known| known.turn == turn);
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

/// Looks at all threads of a process.
fn look(tgid: Tgid) -> Waits {
    let tids: Vec<Tid> = threads(tgid).collect();
    let read = |tid: &Tid, file: &str| {
        fs::read_to_string(format!("/proc/{tgid}/task/{tid}/{file}")).unwrap_or_default()
    };
    // A join waits for a word with the number of the thread, as the process knows it.
    let is_thread = |number: u64| tids.iter().any(|tid| own_number(&read(tid, "status")) == Some(number));
    match tids.first() {
        Some(first) if tids.iter().all(|tid| waits_forever(&read(tid, "syscall"), is_thread)) => {
            let own = handles(&read(first, "status")) & OWN_SIGNALS;
            if own != 0 { Waits::Signals } else { Waits::EachOther }
        }
        _ => Waits::More,
    }
}

/// `NSpid: 4242 17`: its number in its own namespace is the last.
fn own_number(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()?.parse().ok()
}

/// `SigCgt: 0000000180014a07`: signals with a handler. All where it cannot be read.
fn handles(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(!0)
}

/// `202 0x7f… 0x189 0x0 0x0 …`: `futex(word, operation, value, time-out)`; `futex_wait` has its flags and time-out elsewhere.
/// Who joins a thread waits for a word with its number, which the kernel clears as if other processes saw it.
fn waits_forever(text: &str, is_thread: impl Fn(u64) -> bool) -> bool {
    let Some((nr, args)) = call(text) else { return false };
    match syscall_names::name(SyscallAbi::Native, nr) {
        Some("futex") => args[3] == 0 && (args[1] & FUTEX_PRIVATE_FLAG != 0 || is_thread(args[2])),
        Some("futex_wait") => args[4] == 0 && args[3] & FUTEX_PRIVATE_FLAG != 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::units::DurNs;

    #[test]
    fn the_arguments_show_a_wait_without_a_time_out_for_a_private_futex() {
        let line =
            |op: &str, time: &str| format!("202 0x7f00 {op} 0x0 {time} 0x0 0xffffffff 0x7ffc 0x7f11\n");
        let waits_forever = |text: &str| waits_forever(text, |number| [700, 701].contains(&number));
        assert!(waits_forever(&line("0x189", "0x0")), "a semaphore");
        assert!(waits_forever(&line("0x80", "0x0")), "a lock");
        assert!(!waits_forever(&line("0x189", "0x7ffc00")), "with a time-out");
        assert!(!waits_forever(&line("0x109", "0x0")), "shared with other processes");
        let join = "202 0x7f00 0x109 0x2bd 0x0 0x0 0xffffffff 0x7ffc 0x7f11\n";
        assert!(waits_forever(join), "for the end of thread 701");
        assert!(!waits_forever("0 0x0 0x0 0x0 0x0 0x0 0x0 0x7ffc 0x7f11\n"), "a read");
        assert!(!waits_forever("running\n"));
    }

    #[test]
    fn handlers_of_signals_for_own_use_are_distinguished_from_handlers_of_fatal_ones() {
        let handles = |mask: u64| handles(&format!("SigIgn:\t0\nSigCgt:\t{mask:016x}\n")) & OWN_SIGNALS != 0;
        assert!(!handles(1 << 1 | 1 << 14 | 1 << 10 | 1 << 31 | 1 << 32), "INT TERM SEGV, the C library's");
        assert!(handles(1 << 13) && handles(1 << 16) && handles(1 << 33), "ALRM, CHLD, a real-time one");
        assert_eq!(own_number("Tgid:\t7\nNSpid:\t4242\t17\n"), Some(17));
    }

    #[test]
    fn one_thread_that_waits_elsewhere_or_moved_is_enough_to_go_on() {
        let row = |resting: Vec<(State, u32)>| ProcessTimes { resting, ..ProcessTimes::default() };
        assert_eq!(all_wait(&row(vec![(State::FutexWait, 2), (State::FutexLock, 1)])), Some(3));
        assert_eq!(all_wait(&row(vec![(State::FutexWait, 2), (State::Poll, 1)])), None);
        assert_eq!(all_wait(&row(vec![(State::FutexWait, 1)])), None, "one alone waits for a signal");
    }

    #[test]
    fn the_threads_of_this_test_wait_for_more_and_two_that_lock_each_other_out_do_not() {
        assert_eq!(look(Tgid(std::process::id())), Waits::More);
        let deadlock = "import threading as t\na,b=t.Lock(),t.Lock()\ng=t.Barrier(2)\n\
                        def f(x,y):\n x.acquire();g.wait();y.acquire()\n\
                        [t.Thread(target=f,args=p).start() for p in ((a,b),(b,a))]\n";
        let mut python = std::process::Command::new("python3").args(["-c", deadlock]).spawn().unwrap();
        let tgid = Tgid(python.id());
        let stands = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            look(tgid) == Waits::EachOther
        });
        python.kill().unwrap();
        python.wait().unwrap();
        assert!(stands);
    }

    #[test]
    fn the_age_is_that_of_the_first_window_and_ends_when_something_moves() {
        let mut source = StandstillSource::default();
        let rests =
            ProcessTimes { tgid: Tgid(7), resting: vec![(State::FutexWait, 2)], ..ProcessTimes::default() };
        let thread = diagnosis::window::ThreadTimes {
            tid: Tid(7),
            comm: "t".into(),
            states: Vec::new(),
            voluntary: 1,
            preempted: 0,
            now: None,
        };
        let runs = ProcessTimes { threads: vec![thread], ..rests.clone() };
        let mut second = 0;
        let mut close = |row: &ProcessTimes, waits| {
            second += 1;
            let window = (MonoNs(second * 1_000_000_000), MonoNs((second + 1) * 1_000_000_000));
            source.close_with(std::slice::from_ref(row), &[], window, |_| waits)
        };
        let still = |seconds: u64, stopped| {
            [Standstill { tgid: Tgid(7), threads: 2, age: DurNs(seconds * 1_000_000_000), stopped }]
        };
        assert_eq!(close(&rests, Waits::EachOther), still(1, false), "it was not seen to run");
        assert_eq!(close(&rests, Waits::EachOther), still(2, false));
        for _ in 0..MIN_RUN_WINDOWS {
            assert_eq!(close(&runs, Waits::EachOther), []);
        }
        assert_eq!(close(&rests, Waits::EachOther), still(1, true));
        assert_eq!(close(&runs, Waits::EachOther), []);
        assert_eq!(close(&rests, Waits::Signals), still(1, false));
        assert_eq!(close(&runs, Waits::More), []);
        assert_eq!(close(&rests, Waits::More), []);
    }
}
