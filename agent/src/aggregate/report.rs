//! `agent report`: who used what, and what was found.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::Tgid;
use agent_common::wire::finding::Finding;
use agent_common::wire::report::{Report, ReportProcess};
use diagnosis::groups::is_lost_when_refined;
use diagnosis::usage::usage_with;
use diagnosis::usage::{Bare, Usage, rank_with, span};
use diagnosis::window::Window;

use super::{coverage, detail};

/// What a report shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportOptions {
    /// Processes with a row of their own; the rest is in the row `other`.
    pub top_n: usize,
    /// One process alone: its row, its findings, and more about it.
    pub pid: Option<Tgid>,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self { top_n: 20, pid: None }
    }
}

/// Makes a report of the windows.
#[must_use]
pub fn report(host: &str, windows: &[Arc<Window>], options: &ReportOptions) -> Report {
    report_after(host, &[], windows, options)
}

/// The same; what processes did in the windows `before` is known to the rules, and not shown.
#[must_use]
pub fn report_after(
    host: &str,
    before: &[Arc<Window>],
    windows: &[Arc<Window>],
    options: &ReportOptions,
) -> Report {
    let diagnosis::Diagnosis { mut findings, refined, unknown } =
        diagnosis::diagnose_after(before, windows, options.pid);
    let mut rows = usage_with(windows, options.pid);
    for row in &mut rows {
        let Some(process) = refined.get(&row.tgid) else { continue };
        let seen = process.states.iter().zip(process.accounted);
        for (ns, (seen, accounted)) in row.states.iter_mut().zip(seen) {
            ns.0 = (ns.0 + seen).saturating_sub(accounted);
        }
        row.refined = true;
    }
    let processes = rows.iter().map(|row| row.processes).sum::<u64>();
    if let Some(pid) = options.pid {
        let is_it = |found: Option<u32>| found == Some(pid.0);
        findings.retain(|finding| {
            is_it(finding.subject.pid) || is_it(finding.culprit.as_ref().and_then(|culprit| culprit.pid))
        });
        rows.retain(|row| row.tgid == pid);
    }
    let named: Vec<Tgid> = findings.iter().flat_map(named).collect();
    let (mut top, other) = rank_with(rows, options.top_n, &named);
    let place = |row: &Usage| named.iter().position(|tgid| *tgid == row.tgid).unwrap_or(usize::MAX);
    top.sort_by_key(|row| (place(row), Reverse((row.lost(), row.cpu())), row.tgid));
    let mut coverage = coverage(windows);
    let accounted = windows.iter().any(|window| !window.times.is_empty());
    if !accounted && windows.iter().any(|window| !window.tasks.is_empty()) {
        coverage.missing.push(UNACCOUNTED.to_owned());
    }
    let window_s = span(windows).as_secs_f64();
    let mut verdict = verdict(host, window_s, processes, &findings, options.pid, top.first());
    if let Some(exit) = options.pid.and_then(|pid| exit_of(windows, pid)) {
        verdict.push(' ');
        verdict.push_str(&exit);
    }
    Report {
        verdict,
        window_s,
        until_unix_ns: windows.last().map_or(0, |window| window.end_unix.0),
        of_alert: false,
        host: host.to_owned(),
        coverage,
        self_cost: coverage::self_cost(windows),
        processes: top.iter().chain(&other).map(process).collect(),
        findings,
        process: options.pid.map(|pid| detail::detail(windows, pid, refined.get(&pid))),
        unknown,
        past: None,
    }
}

/// Least lost thread time of a process, seconds a second, that the verdict mentions when no rule has a finding.
const MIN_LOST_S_PER_S: f64 = 0.2;

const UNACCOUNTED: &str = "states: what threads waited for (no scheduler accounting: run-queue and blocked time are \
                           /proc's, without reasons)";

/// That a process is gone, and how it ended: what is said of it is of its last moments.
fn exit_of(windows: &[Arc<Window>], pid: Tgid) -> Option<String> {
    let exit = windows.iter().rev().flat_map(|window| &window.exits).find(|exit| exit.tgid == pid)?;
    let after = windows.first().map_or(0.0, |first| exit.at.since(first.start).0 as f64 / 1e9);
    Some(match exit.signal {
        0 => format!("It ended after {after:.1} s of this, with exit code {}.", exit.code),
        signal => format!("It was ended after {after:.1} s of this, by signal {signal}."),
    })
}

/// Processes that a finding names.
fn named(finding: &Finding) -> impl Iterator<Item = Tgid> {
    let culprit = finding.culprit.as_ref().and_then(|culprit| culprit.pid);
    finding.subject.pid.into_iter().chain(culprit).map(Tgid)
}

/// One sentence: the worst finding, or that there is none.
fn verdict(
    host: &str,
    window_s: f64,
    processes: u64,
    findings: &[Finding],
    pid: Option<Tgid>,
    first: Option<&Usage>,
) -> String {
    let who = |kind: &str, pid: Option<u32>, comm: Option<&String>| match (pid, comm) {
        (Some(pid), Some(comm)) if kind == "thread" => format!("thread {comm} ({pid})"),
        (Some(pid), None) if kind == "thread" => format!("thread {pid}"),
        (Some(pid), Some(comm)) => format!("{comm} ({pid})"),
        (Some(pid), None) => format!("process {pid}"),
        (None, Some(comm)) => comm.clone(),
        (None, None) => format!("the {kind}"),
    };
    let firm = findings.iter().filter(|finding| finding.confidence >= diagnosis::ALERT_CONFIDENCE).count();
    let Some(worst) = findings.first() else {
        if first.is_some()
            && let Some(why) = diagnosis::too_short(window_s)
        {
            return format!("Too short to judge: {why}.");
        }
        return match (pid, first) {
            (Some(pid), None) => format!("Process {pid} was not seen on {host} in {window_s:.0} s."),
            (Some(pid), Some(row)) if row.lost().0 as f64 >= MIN_LOST_S_PER_S * window_s * 1e9 => {
                let held = State::ALL.into_iter().filter(|state| is_lost_when_refined(*state));
                let most = held.max_by_key(|state| row.states[*state as usize]);
                format!(
                    "{} ({pid}) was held up {}, most of it in {}, and no rule can say by whom.",
                    row.comm,
                    time(row.lost().0 as f64 / window_s.max(1e-9)),
                    most.map_or("", State::name)
                )
            }
            (Some(pid), Some(row)) => {
                format!("No rule finds anything wrong with {} ({pid}) in {window_s:.0} s.", row.comm)
            }
            (None, _) => format!(
                "No rule finds anything that holds {host} back: {processes} processes over {window_s:.0} s."
            ),
        };
    };
    let subject = who(&worst.subject.kind, worst.subject.pid, worst.subject.comm.as_ref());
    if worst.confidence < diagnosis::ALERT_CONFIDENCE {
        return format!(
            "Nothing is clearly wrong; most time goes to {} in {subject}, which may be as it should be.",
            worst.class
        );
    }
    let mut text = format!("{subject} loses {} to {}", time(worst.lost_ns_per_s as f64), worst.class);
    if let Some(culprit) = &worst.culprit {
        let culprit = who(&culprit.kind, culprit.pid, culprit.comm.as_ref());
        if culprit != subject {
            text.push_str(", because of ");
            text.push_str(&culprit);
        }
    }
    if let Some(headline) = &worst.headline {
        text.push_str(": ");
        text.push_str(headline);
    }
    match firm - 1 {
        0 => text + ".",
        1 => text + "; 1 more finding.",
        more => format!("{text}; {more} more findings."),
    }
}

fn process(row: &Usage) -> ReportProcess {
    let states = states(row);
    ReportProcess {
        pid: row.tgid.0,
        comm: row.comm.as_ref().to_owned(),
        cgroup: row.cgroup.as_ref().to_owned(),
        place: row.place(),
        threads: row.threads,
        wall_ns: states.values().sum(),
        lost_ns: row.lost().0,
        states,
        syscalls: row.syscalls,
        syscall_errors: row.syscall_errors,
        rss_bytes: row.rss_bytes,
        io_bytes: row.io_bytes(),
        short_lived: row.short_lived,
    }
}

/// Thread time by state. Time on the CPU is split into user and kernel as `/proc` splits it.
pub(super) fn states(row: &Usage) -> BTreeMap<String, u64> {
    let mut states = BTreeMap::new();
    let oncpu = row.states[State::Oncpu as usize].0;
    let system = if row.cpu().0 == 0 {
        0
    } else {
        (u128::from(oncpu) * u128::from(row.system.0) / u128::from(row.cpu().0)) as u64
    };
    states.insert("oncpu_user_ns".to_owned(), row.bare.user.0 + oncpu - system);
    states.insert("oncpu_kernel_ns".to_owned(), row.bare.system.0 + system);
    for state in State::ALL.into_iter().skip(1) {
        let time = row.states[state as usize].0;
        if time > 0 {
            states.insert(format!("{}_ns", state.name()), time);
        }
    }
    if row.bare != Bare::default() {
        states.insert("runq_ns".to_owned(), row.bare.runq.0);
        states.insert("offcpu_ns".to_owned(), row.bare.offcpu.0);
    }
    states
}

/// Thread time lost in each second, for a sentence: of several threads it may be more than a second.
fn time(ns: f64) -> String {
    if ns < 1e9 {
        format!("{:.0} ms of each second", ns / 1e6)
    } else {
        format!("{:.1} s of thread time each second", ns / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use agent_common::units::MonoNs;

    use super::*;
    use diagnosis::testing::{MS, SECOND, calls, exit, shared, task, window};

    #[test]
    fn a_process_that_ended_is_reported_when_it_is_requested() {
        let mut windows = vec![window(0), window(1)];
        windows[0].tasks = vec![task(30, "make", 1, 1).into()];
        windows[0].exits = vec![exit(100, 30, "short", 40)];
        windows[0].exits[0].code = 3;
        windows[0].exits[0].at = MonoNs(windows[0].start.0 + 500 * MS);
        let asked = ReportOptions { pid: Some(Tgid(100)), ..ReportOptions::default() };
        let report = report("h", &shared(windows), &asked);
        assert!(
            report.verdict.ends_with("It ended after 0.5 s of this, with exit code 3."),
            "{}",
            report.verdict
        );
        let [only] = &report.processes[..] else { panic!("{:?}", report.processes) };
        assert_eq!((only.pid, only.states["oncpu_user_ns"]), (100, 30 * MS));
    }

    #[test]
    fn states_add_up_to_the_thread_time_and_rows_to_the_host() {
        let mut windows = vec![window(0), window(1)];
        for (index, window) in windows.iter_mut().enumerate() {
            window.tasks = (1..=30).map(|tgid| task(tgid, "t", u64::from(tgid), 2).into()).collect();
            window.syscalls = (1..=30).map(|tgid| calls(tgid, "t", 0, u64::from(tgid), 1, 10)).collect();
            window.exits = vec![exit(100 + index as u32, 30, "short", 40)];
        }
        let report = report("h", &shared(windows), &ReportOptions { top_n: 5, pid: None });
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
