//! Points about processes and their syscalls.

use std::collections::HashMap;

use agent_common::units::DurNs;
use agent_common::wire::finding::Place;
use agent_common::wire::line::Point;
use diagnosis::syscall_names;
use diagnosis::usage::{Key, Owners, Usage, owned, rank_active};
use diagnosis::window::{SyscallAbi, Window};

use super::super::syscalls::Sum;
use super::resources::thread_time;
use super::{Optional, PointsOptions, point};

pub(super) fn points(window: &Window, options: &PointsOptions) -> Vec<Point> {
    let (rows, owners) = owned(&[window], None);
    let (top, other) = rank_active(rows.into_values().collect(), options.few, options.top_n);
    let mut calls = calls(window, &owners);
    let timed = window.coverage.syscall_tier == "times";
    let mut points = Vec::with_capacity(top.len() * 4);
    for (number, row) in top.iter().enumerate() {
        let top_syscalls = if number < options.few { options.top_syscalls } else { 0 };
        let at = |measurement| tagged(point(measurement, window, options), row);
        let process = at("s7mpa_process").tag("cgroup", row.cgroup.as_ref());
        points.push(fields(placed(process, row), row, timed));
        points.extend(thread_time(placed(at("s7mpa_thread_time"), row), &row.states));
        let own = calls.remove(&(row.tgid, row.start_boot_ns)).unwrap_or_default();
        points.extend(syscalls(own, top_syscalls, &|| at("s7mpa_syscall")));
    }
    if let Some(other) = &other {
        let at = |measurement| tagged(point(measurement, window, options), other);
        points.push(fields(at("s7mpa_process"), other, timed));
        points.extend(thread_time(at("s7mpa_thread_time"), &other.states));
        let mut all = HashMap::new();
        for ((abi, nr), sum) in calls.into_values().flatten() {
            merge(all.entry((abi, nr)).or_default(), &sum);
        }
        points.extend(syscalls(all, 0, &|| at("s7mpa_syscall")));
    }
    points
}

/// The tags that name a process.
fn tagged(point: Point, row: &Usage) -> Point {
    point
        .tag("pid", row.tgid.0.to_string())
        .tag("start", (row.start_boot_ns.0 / 1_000_000).to_string())
        .tag("comm", row.comm.as_ref())
}

/// The tags that say what a process belongs to. They follow from `pid` and `start`, so they make no further series.
fn placed(point: Point, row: &Usage) -> Point {
    let Place { container, pod, namespace, image, unit } = row.place();
    let tags =
        [("container", container), ("pod", pod), ("namespace", namespace), ("image", image), ("unit", unit)];
    tags.into_iter().fold(point, |point, (name, value)| match value {
        Some(value) => point.tag(name, value),
        None => point,
    })
}

fn fields(point: Point, row: &Usage, timed: bool) -> Point {
    let state = row.state.map(|state| state.letter().to_string());
    point
        .field("processes", row.processes)
        .field("threads", row.threads)
        .maybe("state", state)
        .field("user_ns", row.user.0)
        .field("system_ns", row.system.0)
        .maybe("runq_ns", row.runq.map(|runq| runq.0))
        .field("offcpu_ns", row.offcpu().0)
        .maybe("context_switches", row.context_switches)
        .field("min_flt", row.min_flt)
        .field("maj_flt", row.maj_flt)
        .maybe("read_bytes", row.read_bytes)
        .maybe("write_bytes", row.write_bytes)
        .field("syscalls", row.syscalls)
        .field("syscall_errors", row.syscall_errors)
        .maybe("syscall_ns", timed.then_some(row.syscall_time.0))
        .maybe("in_flight_age_ns", row.in_flight_age.map(|age| age.0))
        .field("rss_bytes", row.rss_bytes)
        .maybe("swap_bytes", row.swap_bytes)
        .maybe("fds", row.fds)
        .maybe("fd_limit", row.fd_limit)
        .field("short_lived", row.short_lived)
}

type Calls = HashMap<(SyscallAbi, u16), Sum>;

/// The calls of each row, those of short-lived processes with the row they were folded into.
fn calls(window: &Window, owners: &Owners) -> HashMap<Key, Calls> {
    let mut calls: HashMap<Key, Calls> = HashMap::new();
    for row in &window.syscalls {
        calls.entry(owners.of(row)).or_default().entry((row.abi, row.nr)).or_default().add(row);
    }
    calls
}

fn merge(into: &mut Sum, from: &Sum) {
    into.count += from.count;
    into.errors += from.errors;
    into.timed += from.timed;
    into.total = DurNs(into.total.0 + from.total.0);
    into.max = into.max.max(from.max);
    for (bucket, calls) in &from.histogram {
        *into.histogram.entry(*bucket).or_default() += calls;
    }
}

/// The first few calls by time, then count, and the rest as `other`.
fn syscalls(calls: Calls, top: usize, at: &dyn Fn() -> Point) -> Vec<Point> {
    let mut calls: Vec<_> = calls.into_iter().collect();
    calls.sort_by_key(|(id, sum)| (std::cmp::Reverse((sum.total, sum.count)), *id));
    let rest = calls.split_off(top.min(calls.len()));
    let mut points: Vec<Point> = calls
        .iter()
        .map(|((abi, nr), sum)| syscall(at().tag("syscall", syscall_names::display(*abi, *nr)), sum))
        .collect();
    if !rest.is_empty() {
        let mut other = Sum::default();
        for (_, sum) in &rest {
            merge(&mut other, sum);
        }
        points.push(syscall(at().tag("syscall", "other"), &other));
    }
    points
}

fn syscall(point: Point, sum: &Sum) -> Point {
    let timed = sum.timed > 0;
    point
        .field("count", sum.count)
        .field("errors", sum.errors)
        .maybe("total_ns", timed.then_some(sum.total.0))
        .maybe("max_ns", timed.then_some(sum.max.0))
        .maybe("p50_ns", sum.percentile(0.5))
        .maybe("p99_ns", sum.percentile(0.99))
}
