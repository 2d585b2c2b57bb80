//! Points about thread states and what the kernel's subsystems did.

use std::collections::BTreeMap;

use agent_common::abi::sched::{STATES, State};
use agent_common::units::DurNs;
use agent_common::wire::line::Point;
use diagnosis::groups::is_lost;
use diagnosis::window::{BlockOp, Window};

use super::{PointsOptions, point};

/// Fields of thread time; those without time are left out. `None` where there is none at all.
pub(super) fn thread_time(mut at: Point, states: &[DurNs; STATES]) -> Option<Point> {
    if states.iter().all(|time| time.0 == 0) {
        return None;
    }
    let of = |state: &State| states[*state as usize].0;
    at = at.field("lost_ns", State::ALL.iter().filter(|state| is_lost(**state)).map(of).sum::<u64>());
    for (state, key) in State::ALL.iter().zip(KEYS).filter(|(state, _)| of(state) > 0) {
        at = at.field(key, of(state));
    }
    Some(at)
}

/// Keys of the states, in their order: [`State::name`] with `_ns`.
const KEYS: [&str; 30] = [
    "oncpu_ns",
    "runq_woken_ns",
    "runq_preempted_ns",
    "runq_throttled_ns",
    "disk_read_ns",
    "disk_write_ns",
    "fsync_ns",
    "writeback_ns",
    "fault_file_ns",
    "swap_ns",
    "reclaim_ns",
    "futex_lock_ns",
    "futex_wait_ns",
    "kernel_lock_ns",
    "file_lock_ns",
    "ipc_ns",
    "net_accept_ns",
    "net_connect_ns",
    "net_recv_ns",
    "net_send_ns",
    "dns_ns",
    "child_ns",
    "sleep_ns",
    "poll_ns",
    "stopped_ns",
    "async_io_ns",
    "device_ns",
    "interruptible_ns",
    "uninterruptible_ns",
    "kernel_idle_ns",
];

pub(super) fn points(window: &Window, options: &PointsOptions) -> Vec<Point> {
    let at = |measurement| point(measurement, window, options);
    let mut points = Vec::new();
    if !window.times.is_empty() {
        let mut host = [DurNs(0); STATES];
        for (state, time) in window.times.iter().flat_map(|process| &process.states) {
            host[*state as usize].0 += time.0;
        }
        points.extend(thread_time(at("s7mpa_host_time"), &host));
        let woken = window.waits.iter().filter(|wait| wait.waker.is_some()).count();
        points.push(
            at("s7mpa_waits")
                .field("waits", window.waits.len() as u64)
                .field("weight_ns", window.waits.iter().map(|wait| wait.weight.0).sum::<u64>())
                .field("woken", woken as u64)
                .field("blamed_ns", window.blame.iter().map(|blame| blame.waited.0).sum::<u64>()),
        );
    }
    points.extend(blockio(window, &at));
    if !window.memory.is_empty() || !window.oom_kills.is_empty() {
        let sum = |of: fn(&diagnosis::window::MemoryRow) -> u64| window.memory.iter().map(of).sum::<u64>();
        points.push(
            at("s7mpa_reclaim")
                .field("reclaims", sum(|row| row.reclaims))
                .field("reclaim_ns", sum(|row| row.reclaim.0))
                .field("reclaimed_pages", sum(|row| row.reclaimed_pages))
                .field("compactions", sum(|row| row.compactions))
                .field("compaction_ns", sum(|row| row.compaction.0))
                .field("throttles", sum(|row| row.throttles))
                .field("throttled_ns", sum(|row| row.throttled.0))
                .field("kills", window.oom_kills.len() as u64),
        );
    }
    if !window.net.is_empty() {
        let sum = |of: fn(&diagnosis::window::NetRow) -> u64| window.net.iter().map(of).sum::<u64>();
        points.push(
            at("s7mpa_sockets")
                .field("retransmits", sum(|row| row.retransmits))
                .field("resets", sum(|row| row.resets))
                .field("accept_overflows", sum(|row| row.accept_overflows))
                .field("receive_drops", sum(|row| row.receive_drops)),
        );
    }
    points.extend(interrupts(window, &at));
    let mut signals: BTreeMap<u8, u64> = BTreeMap::new();
    for row in &window.signals {
        *signals.entry(row.signal).or_default() += row.count;
    }
    points.extend(
        signals.into_iter().map(|(signal, count)| {
            at("s7mpa_signals").tag("signal", signal.to_string()).field("count", count)
        }),
    );
    let mut locks: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in &window.locks {
        let sum = locks.entry(row.kind).or_default();
        *sum = (sum.0 + row.count, sum.1 + row.waited.0);
    }
    points.extend(locks.into_iter().map(|(kind, (count, waited))| {
        at("s7mpa_locks").tag("lock", kind).field("count", count).field("waited_ns", waited)
    }));
    points
}

fn blockio(window: &Window, at: &dyn Fn(&'static str) -> Point) -> Vec<Point> {
    // count, sequential, bytes, queued, served, max, errors
    let mut sums: BTreeMap<(&str, BlockOp), [u64; 7]> = BTreeMap::new();
    for row in &window.blockio {
        let sum = sums.entry((&row.device, row.op)).or_default();
        let more = [row.count, row.sequential, row.bytes, row.queued.0, row.served.0, 0, row.errors];
        sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        sum[5] = sum[5].max(row.max.0);
    }
    sums.into_iter()
        .map(|((device, op), [count, sequential, bytes, queued, served, max, errors])| {
            let op = match op {
                BlockOp::Read => "read",
                BlockOp::Write => "write",
                BlockOp::Flush => "flush",
                BlockOp::Discard => "discard",
            };
            at("s7mpa_blockio")
                .tag("device", device)
                .tag("op", op)
                .field("count", count)
                .field("sequential", sequential)
                .field("io_bytes", bytes)
                .field("queued_ns", queued)
                .field("served_ns", served)
                .field("max_ns", max)
                .field("errors", errors)
        })
        .collect()
}

fn interrupts(window: &Window, at: &dyn Fn(&'static str) -> Point) -> Vec<Point> {
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut points = Vec::new();
    for row in &window.irqs {
        let mut softirq = 0;
        for (kind, count, time) in &row.softirq {
            let sum = kinds.entry(kind).or_default();
            *sum = (sum.0 + count, sum.1 + time.0);
            softirq += time.0;
        }
        points.push(
            at("s7mpa_irq")
                .tag("cpu", row.cpu.to_string())
                .field("hardirq_ns", row.hardirq.0)
                .field("softirq_ns", softirq),
        );
    }
    points.extend(kinds.into_iter().map(|(kind, (count, time))| {
        at("s7mpa_softirq").tag("softirq", kind).field("count", count).field("time_ns", time)
    }));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_states() {
        assert!(State::ALL.iter().map(|state| format!("{}_ns", state.name())).eq(KEYS));
    }
}
