//! `agent report`.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use agent_common::wire::finding::Finding;
use agent_common::wire::report::Report;
use anyhow::bail;
use clap::Args;

use super::ask::{self, Interrupt};
use super::term::{Paint, Side, Table};
use super::{Context, Outcome, duration, observe, term};
use crate::collector::Options;
use crate::control::protocol::{Reply, Request, Span};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo agent report                     ten seconds of this host
  sudo agent report --last 5m           the past, from the daemon's memory
  sudo agent report --json | jq .findings")]
pub(super) struct ReportArgs {
    /// How long
    #[arg(short, long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    duration: Duration,

    /// The past, from the daemon's memory
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "duration")]
    last: Option<Duration>,

    /// Processes to print, 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 15)]
    rows: usize,
}

impl ReportArgs {
    /// 0 asks for all.
    fn top_n(&self) -> usize {
        if self.rows == 0 { usize::MAX } else { self.rows }
    }
}

pub(super) async fn run(context: Context, args: ReportArgs) -> Outcome {
    let report = report(&context, &args).await?;
    if context.global.json {
        term::print_json(&report)?;
    } else {
        term::print(&render(&report, args.rows, context.paint))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn report(context: &Context, args: &ReportArgs) -> anyhow::Result<Report> {
    let (span, client) = match args.last {
        Some(last) => {
            (Span::LastMs(last.as_millis() as u64), Some(ask::daemon_only(context, "--last").await?))
        }
        None => (Span::NextMs(args.duration.as_millis() as u64), ask::daemon(context).await?),
    };
    if let Some(mut client) = client {
        let wait = args.last.is_none().then_some(args.duration);
        return match ask::ask(&mut client, Request::Report { span, top_n: args.top_n() }, "observing", wait)
            .await?
        {
            Reply::Report(report) => Ok(*report),
            _ => bail!("the daemon answered something else"),
        };
    }
    let mut interrupt = Interrupt::new()?;
    let options = Options::of_host(&context.config.collector);
    let observing = observe::start(context, options).await?;
    observing.wait(&mut interrupt, "observing", Some(args.duration), || false).await;
    let (history, answers) = observing.finish().await?;
    let top_n = args.top_n();
    Ok(tokio::task::spawn_blocking(move || answers.report(&history.all(), top_n)).await?)
}

/// Findings first, then who uses what, then what the report covers and what it cost.
pub(super) fn render(report: &Report, rows: usize, paint: Paint) -> String {
    let time = term::span(Duration::from_secs_f64(report.window_s));
    let mut text = format!("{}\n\n", paint.bold(format!("{}, {time}", term::clean(&report.host))));
    if report.findings.is_empty() {
        let _ = writeln!(text, "{}\n", paint.green("No finding: nothing here crosses a rule's threshold."));
    }
    for (at, finding) in report.findings.iter().enumerate() {
        text.push_str(&render_finding(at + 1, finding, paint));
        text.push('\n');
    }
    text.push_str(&render_processes(report, rows, paint));
    text.push('\n');
    text.push_str(&paint.dim(foot(report)));
    text.push('\n');
    text
}

/// `12.3% of a CPU` of a state's time.
fn pct(ns: u64, window_s: f64) -> String {
    if window_s <= 0.0 || ns == 0 { String::new() } else { format!("{:.1}", ns as f64 / (window_s * 1e7)) }
}

fn render_processes(report: &Report, rows: usize, paint: Paint) -> String {
    use Side::{Left, Right};
    let mut table = Table::new(&[
        ("PID", Right),
        ("COMM", Left),
        ("USER%", Right),
        ("KERNEL%", Right),
        ("WAIT%", Right),
        ("SYSCALLS", Right),
        ("ERRORS", Right),
        ("RSS", Right),
        ("IO", Right),
        ("SHORT", Right),
    ]);
    let limit = if rows == 0 { usize::MAX } else { rows };
    let some = |n: u64, text: fn(u64) -> String| if n == 0 { String::new() } else { text(n) };
    for process in report.processes.iter().take(limit) {
        let state = |name: &str| pct(process.states.get(name).copied().unwrap_or(0), report.window_s);
        table.row(&[
            if process.pid == 0 { String::new() } else { process.pid.to_string() },
            process.comm.clone(),
            state("oncpu_user_ns"),
            state("oncpu_kernel_ns"),
            state("runq_ns"),
            some(process.syscalls, term::count),
            some(process.syscall_errors, term::count),
            some(process.rss_bytes, term::bytes),
            some(process.io_bytes, term::bytes),
            some(process.short_lived, |n| n.to_string()),
        ]);
    }
    let mut text = table.render(paint);
    if report.processes.len() > limit {
        let _ = writeln!(
            text,
            "{}",
            paint.dim(format!("{} more (-n 0 for all)", report.processes.len() - limit))
        );
    }
    text
}

fn render_finding(at: usize, finding: &Finding, paint: Paint) -> String {
    let who = |kind: &str, pid: Option<u32>, comm: Option<&String>| {
        let name = comm.map_or(kind, String::as_str);
        pid.map_or_else(|| term::clean(name), |pid| format!("{} ({pid})", term::clean(name)))
    };
    let subject = who(&finding.subject.kind, finding.subject.pid, finding.subject.comm.as_ref());
    let mut text = format!(
        "{}. {} {}: {} lost a second, {:.0} % of its time (confidence {:.0} %)\n",
        at,
        paint.yellow(&finding.class),
        paint.bold(&subject),
        term::nanos(finding.lost_ns_per_s),
        finding.share_pct,
        finding.confidence * 100.0,
    );
    if let Some(culprit) = &finding.culprit {
        let _ = writeln!(text, "   caused by {}", who(&culprit.kind, culprit.pid, culprit.comm.as_ref()));
    }
    for evidence in &finding.evidence {
        let threshold =
            evidence.threshold.map(|limit| format!(" (threshold {})", number(limit))).unwrap_or_default();
        let _ =
            writeln!(text, "   - {}: {} {}{threshold}", evidence.what, number(evidence.value), evidence.unit);
    }
    for stack in finding.stacks.iter().take(3) {
        let _ = writeln!(text, "   {} {}", paint.dim("stack"), term::clean(stack));
    }
    for other in &finding.alternatives {
        let _ = writeln!(text, "   {}", paint.dim(format!("not {}: {}", other.class, other.why_not)));
    }
    let _ = writeln!(text, "   → {}", finding.advice);
    text
}

/// At most two decimals, none where they are zero.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn foot(report: &Report) -> String {
    let coverage = &report.coverage;
    let mut text = format!("covers: {} of {} samples", coverage.captured, coverage.expected);
    for (reason, lost) in &coverage.lost {
        let _ = write!(text, ", {lost} {reason}");
    }
    if let Some(named) = coverage.symbolized_pct {
        let _ = write!(text, ", {named:.1} % of frames named");
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
    use agent_common::wire::finding::Evidence;
    use agent_common::wire::report::{Coverage, ReportProcess, SelfCost};

    use super::*;

    /// All keys of a JSON value, however deep; maps whose keys are data are left out.
    fn keys(value: &serde_json::Value, into: &mut std::collections::BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (key, inner) in map {
                    into.insert(key.clone());
                    if !["lost", "states", "unnamed"].contains(&key.as_str()) {
                        keys(inner, into);
                    }
                }
            }
            serde_json::Value::Array(all) => all.iter().for_each(|inner| keys(inner, into)),
            _ => {}
        }
    }

    #[test]
    fn every_field_is_on_the_reference_page() {
        use agent_common::wire::finding::{AlertState, Alternative, Culprit, Evidence};
        use agent_common::wire::report::{SyscallsReport, SyscallsRow};

        let mut alert = crate::control::board::tests::alert("a", AlertState::Open);
        let evidence =
            Evidence { what: String::new(), value: 0.0, unit: String::new(), threshold: Some(0.0) };
        alert.finding.evidence.push(evidence);
        alert.finding.alternatives.push(Alternative { class: String::new(), why_not: String::new() });
        alert.finding.culprit =
            Some(Culprit { kind: String::new(), pid: Some(1), comm: Some(String::new()) });
        let coverage = Coverage { missing: vec![String::new()], ..Coverage::default() };
        let process = ReportProcess {
            pid: 0,
            comm: String::new(),
            cgroup: String::new(),
            states: std::collections::BTreeMap::new(),
            syscalls: 0,
            syscall_errors: 0,
            rss_bytes: 0,
            io_bytes: 0,
            short_lived: 0,
        };
        let report = Report {
            window_s: 0.0,
            host: String::new(),
            coverage: coverage.clone(),
            self_cost: SelfCost::default(),
            processes: vec![process],
            findings: vec![alert.finding.clone()],
        };
        let row = SyscallsRow {
            pid: 0,
            comm: String::new(),
            syscall: String::new(),
            count: 0,
            errors: 0,
            total_ns: None,
            max_ns: None,
            p50_ns: None,
            p95_ns: None,
            p99_ns: None,
            in_flight: 0,
            in_flight_age_ns: None,
        };
        let syscalls = SyscallsReport { window_s: 0.0, coverage, rows: vec![row] };
        let mut all = std::collections::BTreeSet::new();
        for value in
            [serde_json::to_value(&report), serde_json::to_value(&syscalls), serde_json::to_value(&alert)]
        {
            keys(&value.unwrap(), &mut all);
        }
        let page = include_str!("../../JSON.md");
        for key in all {
            let named = page.contains(&format!("`{key}`")) || page.contains(&format!("\"{key}\""));
            assert!(named, "{key} is not on agent/JSON.md");
        }
    }

    #[test]
    fn the_report_ranks_covers_and_tells_its_cost() {
        let mut finding =
            crate::control::board::tests::alert("a", agent_common::wire::finding::AlertState::Open).finding;
        finding.evidence.push(Evidence {
            what: "CPU".to_owned(),
            value: 97.25,
            unit: "% of a core".to_owned(),
            threshold: Some(80.0),
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
            self_cost: SelfCost { cpu_pct: 0.5, rss_bytes: 20 << 20, map_bytes: 3 << 20 },
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
            }],
            findings: vec![finding],
        };
        let text = render(&report, 0, Paint::plain());
        assert!(text.contains("1. cpu-user worker (42): 900ms lost a second"), "{text}");
        assert!(text.contains("   - CPU: 97.25 % of a core (threshold 80)"), "{text}");
        assert!(
            text.lines()
                .any(|line| line.contains("worker") && line.contains("90.0") && line.contains("12.3k")),
            "{text}"
        );
        assert!(text.contains("covers: 1940 of 1940 samples, 99.5 % of frames named"), "{text}");
        assert!(text.contains("0.50 % of a core, 20.0 MiB resident"), "{text}");
    }
}
