//! What judging costs.

use std::time::Instant;

use agent_common::abi::sched::State::{FutexLock, FutexWait, Ipc, Oncpu, Poll, RunqPreempted};

use super::scene::*;
use crate::testing::calls;
use crate::window::WaitTarget;
use crate::{Trend, recent, suspicions};

/// A busy host: 500 processes of four threads, 20 calls each, 2,000 waits and 3,000 pairs of who waited for whom, a second.
fn crowd(window: &mut crate::window::Window) {
    busy(window);
    for n in 0..500u32 {
        let tgid = 1_000 + 10 * n;
        let thread: &[_] = &[(Oncpu, 3), (RunqPreempted, 40), (Ipc, 100), (FutexLock, 200), (Poll, 657)];
        process(window, tgid, &format!("p{}", n % 100), &[thread, thread, thread, &[(FutexWait, 1000)]]);
        for nr in 0..20 {
            window.syscalls.push(calls(tgid, "p", nr, 1_000, 1, 900));
        }
        for k in 0..4 {
            let target = WaitTarget::Futex { addr: 0x1000, owner: None };
            let by = Some((1_000 + 10 * ((n + k) % 500), 1_000 + 10 * ((n + k) % 500)));
            wait(window, &W { target, ..simple(tgid, tgid + k, FutexLock, FUTEX, 50, by) });
        }
        for k in 1..7 {
            blame(window, tgid, 1_000 + 10 * ((n + 37 * k) % 500), 6);
        }
    }
}

/// The bar is 20 ms on one CPU of its own in a release build. Here the CPU is shared, and a debug build checks each
/// pointer: it takes 10 times as long.
#[test]
fn five_windows_of_500_processes_are_judged_in_milliseconds() {
    let windows = scene(crowd);
    let trend = Trend::of(&windows);
    let mut least = std::time::Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        std::hint::black_box(suspicions(recent(&windows), &trend));
        least = least.min(start.elapsed());
    }
    println!("rules on 5 windows of 500 processes: {least:?}, the best of 10");
    let most = if cfg!(debug_assertions) { 1_000 } else { 40 };
    assert!(least.as_millis() < most, "{least:?}");
}
