//! Priorities of threads, to find priority inversion: the owner of a lock has a lower priority than the threads that wait for
//! the lock.

use std::collections::{HashMap, HashSet};
use std::fs;

use agent_common::abi::sched::State;
use agent_common::units::{DurNs, MonoNs, Tgid, Tid};
use diagnosis::window::{ProcessTimes, ThreadPriority, Wait};

/// Most threads whose priority is read in a window, 10 µs each.
const MAX_THREADS: usize = 64;
/// How long it is believed: programs change it when they begin.
const MAX_AGE_NS: u64 = 10_000_000_000;
/// Least share of the window that a thread spends in [`COMPETING_STATES`], to be read.
const MIN_STATE_SHARE: f64 = 0.05;
/// States in which a thread's priority matters: running, runnable, waiting for a lock.
const COMPETING_STATES: [State; 6] = [
    State::Oncpu,
    State::RunqWoken,
    State::RunqPreempted,
    State::FutexLock,
    State::FutexWait,
    State::KernelLock,
];

/// Remembers what was read.
#[derive(Debug, Default)]
pub struct PrioritySource {
    known: HashMap<Tid, (MonoNs, Option<i32>)>,
}

impl PrioritySource {
    /// Priorities of threads, in processes in which one thread waits for a lock while another is runnable but does not run.
    pub fn close(
        &mut self,
        times: &[ProcessTimes],
        waits: &[Wait],
        now: MonoNs,
        span: u64,
    ) -> Vec<ThreadPriority> {
        self.known.retain(|_, (at, _)| now.since(*at).0 < MAX_AGE_NS);
        let locks = |wait: &&Wait| matches!(wait.state, State::FutexLock | State::KernelLock);
        let waiting: HashSet<Tgid> = waits.iter().filter(locks).map(|wait| wait.tgid).collect();
        let least = (MIN_STATE_SHARE * span as f64) as u64;
        let mut looks = MAX_THREADS;
        let mut rows = Vec::new();
        for row in times.iter().filter(|row| waiting.contains(&row.tgid)) {
            let of = |states: &[(State, DurNs)], wanted: &[State]| -> u64 {
                states.iter().filter(|(state, _)| wanted.contains(state)).map(|(_, ns)| ns.0).sum()
            };
            if of(&row.states, &COMPETING_STATES[1..3]) < least {
                continue;
            }
            for thread in row.threads.iter().filter(|thread| of(&thread.states, &COMPETING_STATES) >= least) {
                let known = self.known.get(&thread.tid).map(|(_, priority)| *priority);
                let priority = known.or_else(|| {
                    looks = looks.checked_sub(1)?;
                    let priority = read(row.tgid, thread.tid);
                    self.known.insert(thread.tid, (now, priority));
                    Some(priority)
                });
                if let Some(Some(priority)) = priority {
                    rows.push(ThreadPriority { tgid: row.tgid, tid: thread.tid, priority });
                }
            }
        }
        rows
    }
}

fn read(tgid: Tgid, tid: Tid) -> Option<i32> {
    parse(&fs::read_to_string(format!("/proc/{tgid}/task/{tid}/stat")).ok()?)
}

/// Field 18 of `stat`: the kernel's own measure less 100, the one that a boost by priority inheritance changes as well.
fn parse(stat: &str) -> Option<i32> {
    stat.rsplit(") ").next()?.split(' ').nth(15)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_this_process_has_its_nice_value() {
        assert_eq!(parse("7 (a) b) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 39 19 1 0 5"), Some(39));
        assert_eq!(parse("7 (rt) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 -51 0 1 0 5"), Some(-51));
        let own = std::process::id();
        // SAFETY: no memory is touched; 0 is the calling thread, on Linux.
        let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, own) };
        assert_eq!(read(Tgid(own), Tid(own)), Some(20 + nice));
    }
}
