//! The kernel's clocks, as its own programs read them (a time namespace has others). Each exists on every Linux; 0 would only close an empty window.

use std::time::Duration;

use agent_common::clocks::{kernel_boottime, kernel_monotonic};
use agent_common::units::{BootNs, MonoNs, UnixNs};
use nix::time::ClockId;

/// `CLOCK_MONOTONIC`, the clock of windows and samples.
pub(crate) fn mono() -> MonoNs {
    MonoNs(kernel_monotonic(ns(ClockId::CLOCK_MONOTONIC)))
}

/// `CLOCK_REALTIME`.
pub(crate) fn unix() -> UnixNs {
    UnixNs(ns(ClockId::CLOCK_REALTIME))
}

/// `CLOCK_BOOTTIME`, the clock of processes' starts.
pub(crate) fn boot() -> BootNs {
    BootNs(kernel_boottime(ns(ClockId::CLOCK_BOOTTIME)))
}

/// CPU time of this process, ns.
pub(crate) fn process_cpu_ns() -> u64 {
    ns(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time of this thread.
pub(crate) fn thread_cpu() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn ns(clock: ClockId) -> u64 {
    read(clock).as_nanos() as u64
}

fn read(clock: ClockId) -> Duration {
    clock.now().map_or(Duration::ZERO, Duration::from)
}
