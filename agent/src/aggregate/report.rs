//! `agent report`: who used what, and what was found.

use std::sync::Arc;

use agent_common::wire::report::{Report, ReportProcess};

use super::{Usage, coverage, rank, span, usage};
use crate::diagnose;
use crate::window::Window;

/// What a report shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportOptions {
    /// Processes with a row of their own; the rest is in the row `other`.
    pub top_n: usize,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self { top_n: 20 }
    }
}

/// Makes a report of the windows.
#[must_use]
pub fn report(host: &str, windows: &[Arc<Window>], options: &ReportOptions) -> Report {
    let (top, other) = rank(usage(windows), options.top_n);
    Report {
        window_s: span(windows).as_secs_f64(),
        host: host.to_owned(),
        coverage: coverage::coverage(windows),
        self_cost: coverage::self_cost(windows),
        processes: top.iter().chain(&other).map(process).collect(),
        findings: diagnose::findings(windows),
    }
}

fn process(row: &Usage) -> ReportProcess {
    let states = [
        ("oncpu_user_ns", row.user.0),
        ("oncpu_kernel_ns", row.system.0),
        ("runq_ns", row.runq.unwrap_or_default().0),
        ("offcpu_ns", row.offcpu().0),
    ];
    ReportProcess {
        pid: row.tgid.0,
        comm: row.comm.as_ref().to_owned(),
        cgroup: row.cgroup.as_ref().to_owned(),
        states: states.map(|(name, ns)| (name.to_owned(), ns)).into(),
        syscalls: row.syscalls,
        syscall_errors: row.syscall_errors,
        rss_bytes: row.rss_bytes,
        io_bytes: row.io_bytes(),
        short_lived: row.short_lived,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::testing::{MS, SECOND, calls, exit, shared, task, window};

    #[test]
    fn states_add_up_to_the_thread_time_and_rows_to_the_host() {
        let mut windows = vec![window(0), window(1)];
        for (index, window) in windows.iter_mut().enumerate() {
            window.tasks = (1..=30).map(|tgid| task(tgid, "t", u64::from(tgid), 2).into()).collect();
            window.syscalls = (1..=30).map(|tgid| calls(tgid, "t", 0, u64::from(tgid), 1, 10)).collect();
            window.exits = vec![exit(100 + index as u32, 30, "short", 40)];
        }
        let report = report("h", &shared(windows), &ReportOptions { top_n: 5 });
        assert_eq!(report.processes.len(), 6);
        let other = report.processes.last().unwrap();
        assert_eq!((other.pid, &*other.comm), (0, "other"));
        let first = &report.processes[0];
        assert_eq!((first.pid, first.short_lived), (30, 2));
        let sum = |name: &str| report.processes.iter().map(|process| process.states[name]).sum::<u64>();
        assert_eq!(sum("oncpu_user_ns"), 2 * (465 + 30) * MS);
        assert_eq!(sum("oncpu_kernel_ns"), 2 * (30 * 2 + 10) * MS);
        let all: u64 = report.processes.iter().flat_map(|process| process.states.values()).sum();
        assert_eq!(all, 2 * 30 * SECOND + 2 * 40 * MS, "threads × wall, and what the short-lived ones ran");
        assert_eq!(report.processes.iter().map(|process| process.syscalls).sum::<u64>(), 2 * 465);
        assert_eq!(report.processes.iter().map(|process| process.syscall_errors).sum::<u64>(), 2 * 30);
    }

    #[test]
    fn the_json_has_the_documented_shape() {
        let mut windows = vec![window(0)];
        windows[0].tasks = vec![task(7, "a", 10, 0).into()];
        let json = serde_json::to_value(report("h", &shared(windows), &ReportOptions::default())).unwrap();
        assert_eq!(json["host"], "h");
        assert_eq!(json["window_s"], 1.0);
        assert!(json["self"]["cpu_pct"].is_number() && json["coverage"]["lost"].is_object());
        assert_eq!(json["processes"][0]["pid"], 7);
        assert_eq!(json["processes"][0]["states"]["oncpu_user_ns"], 10 * MS);
        assert_eq!(json["processes"][0]["states"]["offcpu_ns"], 990 * MS);
        assert!(json["findings"].is_array());
    }
}
