//! `agent syscalls`: one row a (process, call), percentiles from the sparse histogram.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use agent_common::abi::process::generation;
use agent_common::abi::syscalls::{UNTIMED, bucket_middle};
use agent_common::units::{DurNs, Tgid};
use agent_common::wire::report::{ErrnoCount, SyscallsReport, SyscallsRow};
use diagnosis::syscall_names;
use diagnosis::usage::span;
use diagnosis::window::{SyscallAbi, SyscallRow, Window};

use super::coverage;

/// What several windows saw of one (process, call).
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) comm: Arc<str>,
    pub(super) count: u64,
    pub(super) errors: u64,
    errnos: BTreeMap<u16, u64>,
    pub(super) timed: u64,
    pub(super) total: DurNs,
    pub(super) max: DurNs,
    pub(super) histogram: BTreeMap<u8, u64>,
    blocked: DurNs,
    in_flight: u32,
    age: Option<DurNs>,
    at_least: bool,
}

impl Sum {
    pub(super) fn add(&mut self, row: &SyscallRow) {
        self.count += row.count;
        self.errors += row.errors;
        for (errno, calls) in &row.errnos {
            *self.errnos.entry(*errno).or_default() += calls;
        }
        self.timed += row.timed;
        self.total.0 += row.total.0;
        self.max = self.max.max(row.max);
        for (bucket, calls) in row.histogram.iter().filter(|(bucket, _)| *bucket != UNTIMED) {
            *self.histogram.entry(*bucket).or_default() += calls;
        }
    }

    /// The value below which a share of the timed calls lies, within 12.5 %.
    pub(super) fn percentile(&self, share: f64) -> Option<u64> {
        percentile(&self.histogram, share).map(|ns| ns.min(self.max.0))
    }
}

/// Number and generation: processes that had one number in turn are different ones.
type Process = (Tgid, u16);

/// The processes that ended in a window.
fn ended(window: &Window) -> impl Iterator<Item = Process> {
    window.exits.iter().map(|exit| (exit.tgid, generation(exit.start_boot_ns.0)))
}

/// The process that had a number last.
fn process(latest: &HashMap<Tgid, u16>, tgid: Tgid) -> Process {
    (tgid, latest.get(&tgid).copied().unwrap_or_default())
}

/// Adds the windows up. Sums are exact; percentiles are those of the timed calls, within 12.5 %; what is in flight is
/// as of the last window. A process that lived for a moment has its own rows.
#[must_use]
pub fn syscalls(windows: &[Arc<Window>], only: Option<Tgid>) -> SyscallsReport {
    let mut sums: HashMap<(Process, SyscallAbi, u16), Sum> = HashMap::new();
    // What else is known of a number belongs to the process that had it last.
    let mut latest: HashMap<Tgid, u16> = HashMap::new();
    let ended: HashSet<Process> = windows.iter().flat_map(|window| ended(window)).collect();
    let wanted = |tgid: Tgid| only.is_none_or(|only| only == tgid);
    for window in windows {
        for row in window.syscalls.iter().filter(|row| wanted(row.tgid)) {
            let process = (row.tgid, row.generation);
            let last = latest.entry(row.tgid).or_insert(row.generation);
            if !ended.contains(&process) || ended.contains(&(row.tgid, *last)) {
                *last = row.generation;
            }
            let sum = sums.entry((process, row.abi, row.nr)).or_default();
            sum.comm = Arc::clone(&row.comm);
            sum.add(row);
        }
        for wait in window.waits.iter().filter(|wait| wanted(wait.tgid)) {
            let Some((abi, nr)) = wait.syscall else { continue };
            let sum = sums.entry((process(&latest, wait.tgid), abi, nr)).or_default();
            if sum.comm.is_empty() {
                sum.comm = Arc::clone(&wait.comm);
            }
            sum.blocked.0 += wait.weight.0;
        }
    }
    for open in windows.last().iter().flat_map(|window| &window.in_flight).filter(|open| wanted(open.tgid)) {
        let sum = sums.entry((process(&latest, open.tgid), open.abi, open.nr)).or_default();
        sum.comm = Arc::clone(&open.comm);
        sum.in_flight += 1;
        if sum.age < Some(open.age) {
            (sum.age, sum.at_least) = (Some(open.age), open.at_least);
        }
    }
    let coverage = coverage(windows);
    let counts_only = coverage.syscall_tier == "counts";
    let accounted = windows.iter().any(|window| !window.times.is_empty());
    let rows = sums.into_iter();
    let mut rows: Vec<_> =
        rows.map(|(((tgid, _), abi, nr), sum)| row(tgid, abi, nr, &sum, counts_only, accounted)).collect();
    let key = |row: &SyscallsRow| (row.total_ns.or(row.blocked_ns), row.count, row.in_flight_age_ns);
    rows.sort_by(|a, b| key(b).cmp(&key(a)).then_with(|| (a.pid, &a.syscall).cmp(&(b.pid, &b.syscall))));
    SyscallsReport { window_s: span(windows).as_secs_f64(), coverage, rows }
}

fn row(tgid: Tgid, abi: SyscallAbi, nr: u16, sum: &Sum, counts_only: bool, accounted: bool) -> SyscallsRow {
    // Nothing timed is "unknown" where calls returned without a time, and 0 where none returned.
    let timed = sum.timed > 0 || (sum.count == 0 && !counts_only);
    SyscallsRow {
        pid: tgid.0,
        comm: sum.comm.as_ref().to_owned(),
        syscall: syscall_names::display(abi, nr).into_owned(),
        count: sum.count,
        errors: sum.errors,
        errnos: errnos(&sum.errnos),
        total_ns: timed.then_some(sum.total.0),
        max_ns: timed.then_some(sum.max.0),
        p50_ns: sum.percentile(0.50),
        p95_ns: sum.percentile(0.95),
        p99_ns: sum.percentile(0.99),
        blocked_ns: accounted.then_some(sum.blocked.0),
        in_flight: sum.in_flight,
        in_flight_age_ns: sum.age.map(|age| age.0),
        in_flight_age_at_least: sum.at_least,
    }
}

/// By name, the commonest first.
fn errnos(sum: &BTreeMap<u16, u64>) -> Vec<ErrnoCount> {
    let named = |(errno, count): (&u16, &u64)| ErrnoCount {
        errno: syscall_names::errno(*errno).into_owned(),
        count: *count,
    };
    let mut rows: Vec<_> = sum.iter().map(named).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    rows
}

/// The bucket in which the `share`-th of all calls lies (nearest rank), by its middle.
fn percentile(histogram: &BTreeMap<u8, u64>, share: f64) -> Option<u64> {
    let calls: u64 = histogram.values().sum();
    let rank = ((calls as f64 * share).ceil() as u64).max(1);
    let mut seen = 0;
    histogram.iter().find_map(|(bucket, calls)| {
        seen += calls;
        (seen >= rank).then(|| bucket_middle(*bucket))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::abi::syscalls::bucket_of;
    use agent_common::units::Tid;
    use diagnosis::testing::{calls, exit, shared, wait, window};
    use diagnosis::window::{InFlight, ProcessTimes};

    const GETPPID: u16 = 110;
    const READ: u16 = 0;

    fn open(tgid: u32, thread: u32, nr: u16, age: u64) -> InFlight {
        InFlight {
            tgid: Tgid(tgid),
            tid: Tid(thread),
            comm: "cat".into(),
            abi: SyscallAbi::Native,
            nr,
            age: DurNs(age),
            at_least: false,
        }
    }

    #[test]
    fn sums_over_windows_are_exact() {
        let mut windows: Vec<_> = (0..3).map(window).collect();
        windows[0].syscalls = vec![calls(7, "old", GETPPID, 300_000, 0, 100), calls(8, "b", READ, 2, 1, 50)];
        windows[2].syscalls = vec![calls(7, "new", GETPPID, 700_000, 3, 200)];
        let report = syscalls(&shared(windows), None);
        assert!((report.window_s - 3.0).abs() < 1e-9);
        let row = &report.rows[0];
        assert_eq!((row.pid, &*row.comm, &*row.syscall), (7, "new", "getppid"));
        assert_eq!((row.count, row.errors), (1_000_000, 3));
        assert_eq!(row.total_ns, Some(300_000 * 100 + 700_000 * 200));
        assert_eq!(row.max_ns, Some(200));
        assert_eq!(report.rows.len(), 2);
        assert_eq!(report.rows[1].count, 2);
    }

    #[test]
    fn percentiles_are_within_an_eighth() {
        let mut windows = vec![window(0)];
        let mut row = calls(7, "a", READ, 100, 0, 1_000);
        row.histogram = vec![(bucket_of(1_000), 94), (bucket_of(50_000), 4), (bucket_of(9_000_000), 2)];
        row.max = DurNs(9_000_000);
        windows[0].syscalls = vec![row];
        let report = syscalls(&shared(windows), None);
        let near = |value: Option<u64>, ns: f64| (value.unwrap() as f64 - ns).abs() <= ns * 0.125;
        let row = &report.rows[0];
        assert!(
            near(row.p50_ns, 1_000.0) && near(row.p95_ns, 50_000.0) && near(row.p99_ns, 9_000_000.0),
            "{row:?}"
        );
        assert!(row.p99_ns <= row.max_ns, "never above the maximum");
    }

    #[test]
    fn a_thread_asleep_through_the_whole_window_is_there_with_its_age() {
        let mut windows = vec![window(0), window(1)];
        windows[0].in_flight = vec![open(9, 9, READ, 1)];
        windows[1].in_flight = vec![open(9, 9, READ, 60_000_000_000), open(9, 10, READ, 5)];
        let report = syscalls(&shared(windows), None);
        assert_eq!(report.rows.len(), 1);
        let row = &report.rows[0];
        assert_eq!((row.count, row.in_flight, row.in_flight_age_ns), (0, 2, Some(60_000_000_000)));
        assert_eq!((row.total_ns, row.p50_ns), (Some(0), None));
    }

    #[test]
    fn the_counts_tier_has_no_times() {
        let mut windows = vec![window(0)];
        let mut row = calls(7, "a", READ, 10, 0, 0);
        (row.timed, row.histogram) = (0, vec![(UNTIMED, 10)]);
        windows[0].syscalls = vec![row];
        windows[0].coverage.syscall_tier = "counts".into();
        let report = syscalls(&shared(windows), None);
        let row = &report.rows[0];
        assert_eq!(row.count, 10);
        assert_eq!(
            (row.total_ns, row.max_ns, row.p50_ns, row.p95_ns, row.p99_ns),
            (None, None, None, None, None)
        );
    }

    #[test]
    fn blocked_time_of_a_call_is_the_weight_of_its_waits_in_either_tier() {
        let mut windows = vec![window(0)];
        windows[0].syscalls = vec![calls(7, "a", READ, 10, 0, 0)];
        windows[0].waits = [3, 4].map(|ms| wait(7, READ, ms)).into();
        assert_eq!(syscalls(&shared(windows.clone()), None).rows[0].blocked_ns, None, "no times");
        windows[0].times = vec![ProcessTimes { tgid: Tgid(7), ..ProcessTimes::default() }];
        windows[0].waits.push(wait(8, READ, 9));
        let report = syscalls(&shared(windows), None);
        let blocked: Vec<_> = report.rows.iter().map(|row| (row.pid, row.blocked_ns)).collect();
        assert_eq!(blocked, [(7, Some(7_000_000)), (8, Some(9_000_000))]);
    }

    #[test]
    fn one_process_can_be_requested_and_a_short_lived_one_has_its_own_row() {
        let mut windows = vec![window(0)];
        windows[0].syscalls = vec![calls(7, "sh", READ, 1, 0, 9), calls(70, "true", READ, 4, 0, 9)];
        windows[0].exits = vec![exit(70, 7, "true", 3)];
        windows[0].in_flight = vec![open(7, 7, 61, 3)];
        let windows = shared(windows);
        let pids: Vec<_> = syscalls(&windows, None).rows.iter().map(|row| row.pid).collect();
        assert_eq!(pids, [70, 7, 7]);
        let report = syscalls(&windows, Some(Tgid(70)));
        assert_eq!(report.rows.len(), 1);
        assert_eq!((report.rows[0].pid, report.rows[0].count), (70, 4));
    }

    #[test]
    fn the_two_tables_do_not_mix() {
        let mut windows = vec![window(0)];
        let mut compat = calls(7, "a", 3, 1, 0, 9);
        compat.abi = SyscallAbi::Compat;
        windows[0].syscalls = vec![calls(7, "a", 3, 2, 0, 9), compat];
        let report = syscalls(&shared(windows), None);
        let names: Vec<_> = report.rows.iter().map(|row| &*row.syscall).collect();
        assert_eq!(names, ["close", "i386:read"]);
    }
}
