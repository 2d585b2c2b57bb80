//! A report as text: the verdict, what was found, where the time of each process went, what all that rests on.

use std::fmt::Write as _;
use std::time::Duration;

use agent_common::wire::finding::Finding;
use agent_common::wire::report::{ProcessDetail, Report, ReportProcess};
use diagnosis::ALERT_CONFIDENCE;
use diagnosis::groups::Group;

use super::bars::{bar, legend, letters, with_bars};
use super::stack;
use crate::cli::alerts;
use crate::cli::term::{self, Paint, Side, Table};

/// Frames of a stack that are printed, from the leaf: the rest is in `--json` and in the flame graph.
const MAX_FRAMES: usize = 6;

/// Text of a report, the verdict first: a reader at three in the morning reads no further than needed.
pub(in crate::cli) fn render(report: &Report, rows: usize, paint: Paint) -> String {
    let time = term::span(Duration::from_secs_f64(report.window_s));
    let verdict = term::clean(&report.verdict);
    let verdict = if calm(report) { paint.green(verdict) } else { paint.red(verdict) };
    let when = report.past.as_ref().map_or_else(String::new, |past| {
        format!(", {} to {}", term::utc(past.from_unix_ns), term::utc(past.until_unix_ns))
    });
    let place = format!("{}{when}, {time}", term::clean(&report.host));
    let mut text = format!("{verdict}\n{}\n\n", paint.dim(place));
    text.push_str(&render_alerts(report, paint));
    for (at, finding) in report.findings.iter().enumerate() {
        text.push_str(&render_finding(at + 1, finding, paint));
        text.push('\n');
    }
    text.push_str(&render_processes(report, rows, paint));
    text.push('\n');
    if let Some(detail) = &report.process {
        text.push_str(&render_detail(detail, report.window_s, paint));
    }
    for unknown in &report.unknown {
        let _ = writeln!(text, "{}", paint.dim(format!("not known here: {}", term::clean(unknown))));
    }
    text.push_str(&paint.dim(foot(report)));
    text.push('\n');
    text
}

/// Alerts of a past time.
fn render_alerts(report: &Report, paint: Paint) -> String {
    let alerts = report.past.iter().flat_map(|past| &past.alerts);
    let mut text: String = alerts.map(|alert| alerts::line(alert, paint) + "\n").collect();
    if !text.is_empty() {
        text = format!("Alerts in this time:\n{text}\n");
    }
    text
}

/// Nothing is clearly wrong.
pub(in crate::cli) fn calm(report: &Report) -> bool {
    report.findings.iter().all(|finding| finding.confidence < ALERT_CONFIDENCE)
}

/// Percent of one CPU's or one thread's time; nothing for zero.
fn pct(ns: u64, window_s: f64) -> String {
    if window_s <= 0.0 || ns == 0 { String::new() } else { format!("{:.1}", ns as f64 / (window_s * 1e7)) }
}

/// The state that is not running and took most, as `fsync 87%` of wall.
pub(in crate::cli) fn longest(process: &ReportProcess) -> String {
    let waits = process.states.iter().filter(|(key, ns)| !key.starts_with("oncpu_") && **ns > 0);
    let busy = waits.clone().filter(|(key, _)| !matches!(Group::of_key(key), Group::Idle));
    let Some((key, ns)) = busy.max_by_key(|(_, ns)| **ns).or_else(|| waits.max_by_key(|(_, ns)| **ns)) else {
        return String::new();
    };
    let share = *ns as f64 * 100.0 / process.wall_ns.max(1) as f64;
    format!("{} {share:.0}%", key.strip_suffix("_ns").unwrap_or(key))
}

fn render_processes(report: &Report, rows: usize, paint: Paint) -> String {
    use Side::{Left, Right};
    let contained = report.processes.iter().any(|process| process.place.container.is_some());
    let mut columns = vec![
        ("PID", Right),
        ("COMM", Left),
        ("LOST%", Right),
        ("WHERE ITS TIME WENT", Left),
        ("MOST WAITED", Left),
        ("USER%", Right),
        ("KERNEL%", Right),
        ("SYSCALLS", Right),
        ("ERRORS", Right),
        ("RSS", Right),
        ("IO", Right),
        ("SHORT", Right),
    ];
    if contained {
        columns.push(("IN", Left));
    }
    let mut table = Table::new(&columns);
    let limit = if rows == 0 { usize::MAX } else { rows };
    let some = |n: u64, text: fn(u64) -> String| if n == 0 { String::new() } else { text(n) };
    let mut bars = Vec::new();
    for process in report.processes.iter().take(limit) {
        let state = |name: &str| pct(process.states.get(name).copied().unwrap_or(0), report.window_s);
        let bar = bar(&process.states);
        let mut cells = vec![
            if process.pid == 0 { String::new() } else { process.pid.to_string() },
            process.comm.clone(),
            pct(process.lost_ns, report.window_s),
            letters(&bar),
            longest(process),
            state("oncpu_user_ns"),
            state("oncpu_kernel_ns"),
            some(process.syscalls, term::count),
            some(process.syscall_errors, term::count),
            some(process.rss_bytes, term::bytes),
            some(process.io_bytes, term::bytes),
            some(process.short_lived, |n| n.to_string()),
        ];
        if contained {
            cells.push(process.place.short());
        }
        table.row(&cells);
        bars.push(bar);
    }
    table.narrow(term::room(), &["SHORT", "RSS", "ERRORS", "IO", "SYSCALLS", "KERNEL%", "USER%"]);
    let mut text = with_bars(&table, &bars, paint);
    if report.processes.len() > limit {
        let _ = writeln!(
            text,
            "{}",
            paint.dim(format!("{} more (-n 0 for all)", report.processes.len() - limit))
        );
    }
    text.push_str(&legend(bars.iter().flatten(), paint));
    text
}

fn render_detail(detail: &ProcessDetail, window_s: f64, paint: Paint) -> String {
    use Side::{Left, Right};
    let mut text = String::new();
    if !detail.threads.is_empty() {
        let mut table = Table::new(&[
            ("TID", Right),
            ("THREAD", Left),
            ("LOST%", Right),
            ("CPU%", Right),
            ("WHERE ITS TIME WENT", Left),
        ]);
        let mut bars = Vec::new();
        for thread in &detail.threads {
            let bar = bar(&thread.states);
            let ran = thread.states.get("oncpu_ns").copied().unwrap_or(0);
            table.row(&[
                if thread.tid == 0 { String::new() } else { thread.tid.to_string() },
                thread.comm.clone(),
                pct(thread.lost_ns, window_s),
                pct(ran, window_s),
                letters(&bar),
            ]);
            bars.push(bar);
        }
        text.push_str(&with_bars(&table, &bars, paint));
        text.push_str(&legend(bars.iter().flatten(), paint));
        text.push('\n');
    }
    if !detail.waits.is_empty() {
        let mut table = Table::new(&[
            ("WAITED", Right),
            ("FOR", Left),
            ("IN", Left),
            ("LONGEST", Right),
            ("ENDED BY", Left),
            ("WHAT", Left),
        ]);
        for wait in &detail.waits {
            table.row(&[
                term::nanos(wait.waited_ns),
                wait.state.clone(),
                wait.syscall.clone().unwrap_or_default(),
                term::nanos(wait.max_ns),
                match (&wait.waker, wait.open) {
                    (Some(waker), false) => waker.clone(),
                    (Some(peer), true) => format!("not ended: {peer}"),
                    (None, true) => "not ended".to_owned(),
                    (None, false) => String::new(),
                },
                wait.target.clone().unwrap_or_default(),
            ]);
        }
        table.narrow(term::room(), &["LONGEST", "ENDED BY"]);
        text.push_str(&table.render(paint));
        text.push('\n');
    }
    if !detail.ran_meanwhile.is_empty() {
        let mut table = Table::new(&[("WAITED FOR A CPU", Right), ("WHILE THIS RAN", Left), ("PID", Right)]);
        for ran in &detail.ran_meanwhile {
            table.row(&[term::nanos(ran.waited_ns), ran.comm.clone(), ran.pid.to_string()]);
        }
        text.push_str(&table.render(paint));
        text.push('\n');
    }
    text
}

fn render_finding(at: usize, finding: &Finding, paint: Paint) -> String {
    let who = |kind: &str, pid: Option<u32>, comm: Option<&String>| {
        let name = comm.map_or(kind, String::as_str);
        pid.map_or_else(|| term::clean(name), |pid| format!("{} ({pid})", term::clean(name)))
    };
    let subject = who(&finding.subject.kind, finding.subject.pid, finding.subject.comm.as_ref());
    let within = |pid: Option<u32>| {
        finding.place(pid).map_or_else(String::new, |place| format!(" in {}", term::clean(&place)))
    };
    let mut text = format!(
        "{}. {} {}{}: {} lost per second, {:.0} % of its time (confidence {:.0} %)\n",
        at,
        paint.yellow(&finding.class),
        paint.bold(&subject),
        within(finding.subject.pid),
        term::nanos(finding.lost_ns_per_s),
        finding.share_pct,
        finding.confidence * 100.0,
    );
    if let Some(headline) = &finding.headline {
        let _ = writeln!(text, "   {}", paint.bold(term::clean(headline)));
    }
    if let Some(culprit) = &finding.culprit {
        let of = match &*culprit.kind {
            "lock" if culprit.pid.is_some() => "a lock that is held by ",
            "thread" => "thread ",
            "cgroup" => "cgroup ",
            _ => "",
        };
        let who = who(&culprit.kind, culprit.pid, culprit.comm.as_ref());
        let other = culprit.pid.filter(|pid| Some(*pid) != finding.subject.pid);
        let _ = writeln!(text, "   caused by {of}{who}{}", within(other));
    }
    for evidence in &finding.evidence {
        let threshold =
            evidence.threshold.map(|limit| format!(" (alert {} {})", evidence.side.name(), number(limit)));
        let line = format!(
            "   - {}: {} {}",
            term::clean(&evidence.what),
            number(evidence.value),
            term::clean(evidence.shown_unit())
        );
        let _ = writeln!(text, "{}{}", line.trim_end(), threshold.unwrap_or_default());
    }
    for (part, line) in stack::lines(&finding.stacks, MAX_FRAMES) {
        let part = format!("stack {part:>3.0}%");
        let _ = writeln!(text, "   {} {}", paint.dim(part), term::clean(&line));
    }
    for caused in &finding.caused {
        let _ = writeln!(text, "   ↳ explains {}", term::clean(caused));
    }
    for other in &finding.alternatives {
        let not = format!("not {}: {}", term::clean(&other.class), term::clean(&other.why_not));
        let _ = writeln!(text, "   {}", paint.dim(not));
    }
    let _ = writeln!(text, "   → {}", term::clean(&finding.advice));
    text
}

/// At most two decimals, none where they are zero.
pub(in crate::cli) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What it covers and what it cost.
pub(in crate::cli) fn foot(report: &Report) -> String {
    let coverage = &report.coverage;
    let mut text = format!("covers: {} of {} samples", coverage.captured, coverage.expected);
    for loss in coverage.losses() {
        let _ = write!(text, ", {loss}");
    }
    if let Some(named) = coverage.symbolized_pct {
        let _ = write!(text, ", {named:.1} % of frames named");
    }
    if let Some(stacks) = coverage.stacks_text() {
        let _ = write!(text, ", {stacks}");
    }
    if !coverage.syscall_tier.is_empty() {
        let _ = write!(text, ", syscalls: {}", coverage.syscall_tier);
    }
    for missing in &coverage.missing {
        let _ = write!(text, "\nmissing: {missing}");
    }
    let cost = &report.self_cost;
    let _ = write!(
        text,
        "\nthe agent itself: {:.2} % of a core, {} resident, {} of kernel maps",
        cost.cpu_pct,
        term::bytes(cost.rss_bytes),
        term::bytes(cost.map_bytes)
    );
    text
}

#[cfg(test)]
mod tests {
    use agent_common::wire::finding::{Evidence, Side};
    use agent_common::wire::report::{Coverage, SelfCost, ThreadRow, WaitRow};

    use super::*;

    #[test]
    fn one_process_shows_its_threads_and_waits() {
        let detail = ProcessDetail {
            threads: vec![ThreadRow {
                tid: 43,
                comm: "io\x1b".to_owned(),
                states: [("fsync_ns".to_owned(), 1_000_000_000)].into(),
                lost_ns: 1_000_000_000,
            }],
            waits: vec![WaitRow {
                state: "fsync".to_owned(),
                syscall: Some("fsync".to_owned()),
                waited_ns: 900_000_000,
                ..WaitRow::default()
            }],
            ran_meanwhile: Vec::new(),
        };
        let text = render_detail(&detail, 1.0, Paint::plain());
        assert!(text.contains("io\\u{1b}  100.0        DDDDDDDDDDDDDDDDDDDDDDDD\n"), "{text}");
        assert!(text.contains(" 900ms  fsync  fsync      0ns"), "{text}");
    }

    #[test]
    fn the_report_ranks_and_shows_coverage_and_cost() {
        let mut finding =
            agent_common::wire::finding::testing::alert("a", agent_common::wire::finding::AlertState::Open)
                .finding;
        finding.evidence.push(Evidence {
            what: "CPU".to_owned(),
            value: 97.25,
            unit: "% of a core".to_owned(),
            threshold: Some(80.0),
            side: Side::Above,
        });
        let report = Report {
            window_s: 10.0,
            host: "here".to_owned(),
            coverage: Coverage {
                expected: 1940,
                captured: 1940,
                symbolized_pct: Some(99.5),
                ..Coverage::default()
            },
            self_cost: SelfCost {
                cpu_pct: 0.5,
                rss_bytes: 20 << 20,
                map_bytes: 3 << 20,
                ..SelfCost::default()
            },
            processes: vec![ReportProcess {
                pid: 42,
                comm: "worker".to_owned(),
                cgroup: "/".to_owned(),
                states: [("oncpu_user_ns".to_owned(), 9_000_000_000)].into(),
                syscalls: 12_345,
                syscall_errors: 0,
                rss_bytes: 1 << 20,
                io_bytes: 0,
                short_lived: 0,
                ..ReportProcess::default()
            }],
            findings: vec![finding],
            ..Report::default()
        };
        let report = Report { verdict: "worker is slow".to_owned(), ..report };
        let text = render(&report, 0, Paint::plain());
        assert!(text.starts_with("worker is slow\nhere, 10s\n"), "{text}");
        assert!(text.contains("1. cpu-user worker (42): 900ms lost per second"), "{text}");
        assert!(text.contains("   - CPU: 97.25 % of a core (alert above 80)"), "{text}");
        assert!(
            text.lines()
                .any(|line| line.contains("worker") && line.contains("90.0") && line.contains("12.3k")),
            "{text}"
        );
        assert!(text.contains("covers: 1940 of 1940 samples, 99.5 % of frames named"), "{text}");
        assert!(text.contains("0.50 % of a core, 20.0 MiB resident"), "{text}");
    }
}
