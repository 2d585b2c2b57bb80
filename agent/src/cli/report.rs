//! `agent report`.

mod bars;
mod past;
mod stack;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent_common::units::{Tgid, UnixNs};
use agent_common::wire::report::Report;
use anyhow::bail;
use clap::Args;
use diagnosis::window::Window;

use super::ask::{self, Interrupt};
use super::html::Output;
use super::moment::moment;
use super::{Context, Outcome, duration, observe, record, term};
use crate::aggregate::ReportOptions;
use crate::collector::Options;
use crate::control::protocol::{Page, Reply, Request, Span};
use crate::control::{Answers, pid};
use crate::output::OutputMode;
pub(super) use bars::groups;
pub(super) use stack::lines;
pub(super) use text::{calm, foot, longest, number, render};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo agent report                     ten seconds of this host
  sudo agent report --last 5m           the past, from the daemon's memory
  sudo agent report --at '14:03'        a minute of the last days, from what the daemon has recorded
  sudo agent report --at 'yesterday 14:03' --duration 30s
  sudo agent report --pid 4242          one process: its threads, what they wait for, what runs instead
  sudo agent report --html out.html     a page with flame graphs, for a ticket or a colleague
  agent report --replay slow.s7rec      a recording, without root
  sudo agent report --json | jq .findings")]
pub(super) struct ReportArgs {
    /// How long [default: 10s; with --at 1m]
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,

    /// The past, from the daemon's memory
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with_all = ["duration", "at"])]
    last: Option<Duration>,

    /// A past time, from the windows that the daemon keeps on disk: 14:03, 'yesterday 14:03', 20m (ago)
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    at: Option<UnixNs>,

    /// One process alone
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,

    /// A recording of `agent record`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["duration", "last", "at"])]
    replay: Option<PathBuf>,

    /// Write a page in place of text: one file that needs nothing else; `-` for stdout
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    #[command(flatten)]
    output_mode: OutputMode,

    /// Processes to print, 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 15)]
    rows: usize,
}

impl ReportArgs {
    /// How long to observe.
    fn duration(&self) -> Duration {
        self.duration.unwrap_or(Duration::from_secs(10))
    }

    /// 0 asks for all.
    fn top_n(&self) -> usize {
        if self.rows == 0 { usize::MAX } else { self.rows }
    }
}

pub(super) async fn run(context: Context, args: ReportArgs) -> Outcome {
    if let Some(path) = &args.html {
        let output = Output::create(path, args.output_mode)?;
        let mut page = match answer(&context, &args, true).await? {
            Answer::Page(page) => page,
            Answer::Report(report) => {
                Box::new(Page { until_unix_ns: report.until_unix_ns, report: *report, graphs: Vec::new() })
            }
        };
        let report = page.report.clone();
        page.report = page.report.cleaned();
        output.write(&super::html::page(&page, args.rows))?;
        if context.global.json {
            term::print_json(&report)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Answer::Report(report) = answer(&context, &args, false).await? else { unexpected()? };
    if context.global.json {
        term::print_json(&report)?;
    } else {
        term::print(&render(&report.cleaned(), args.rows, context.paint))?;
    }
    Ok(ExitCode::SUCCESS)
}

enum Answer {
    Report(Box<Report>),
    Page(Box<Page>),
}

fn unexpected<T>() -> anyhow::Result<T> {
    bail!("the daemon answered something else")
}

async fn answer(context: &Context, args: &ReportArgs, page: bool) -> anyhow::Result<Answer> {
    let options = ReportOptions { top_n: args.top_n(), pid: args.pid.map(Tgid) };
    if let Some(path) = &args.replay {
        let recording = record::open(path)?;
        return of_windows(&record::answers(&recording), &recording.windows, &options, page);
    }
    if let Some(at) = args.at {
        let (context, duration) = (context.clone(), args.duration.unwrap_or(past::DURATION));
        return tokio::task::spawn_blocking(move || past::answer(&context, at, duration, &options, page))
            .await?;
    }
    let (span, client) = match args.last {
        Some(last) => {
            (Span::LastMs(last.as_millis() as u64), Some(ask::daemon_only(context, "--last").await?))
        }
        None => (Span::NextMs(args.duration().as_millis() as u64), ask::daemon(context).await?),
    };
    if let Some(mut client) = client {
        let wait = args.last.is_none().then(|| args.duration());
        let (top_n, pid) = (options.top_n, args.pid);
        let request =
            if page { Request::Page { span, top_n, pid } } else { Request::Report { span, top_n, pid } };
        return match ask::ask(&mut client, request, "observing", wait).await? {
            Reply::Report(report) => {
                let short = |last: &Duration| report.window_s < last.as_secs_f64() * 0.9;
                if args.last.as_ref().is_some_and(short) {
                    term::complain(&format!(
                        "the daemon remembers {} of it",
                        term::span(Duration::from_secs_f64(report.window_s))
                    ));
                }
                Ok(Answer::Report(report))
            }
            Reply::Page(page) => Ok(Answer::Page(page)),
            _ => unexpected(),
        };
    }
    if let Some(pid) = args.pid {
        pid::find(pid)?;
    }
    let mut interrupt = Interrupt::new()?;
    // The whole host even for one process: who holds it up is among the others.
    let probes = Options::of_host(&context.config.collector);
    let observing = observe::start(context, probes).await?;
    if let Some(pid) = args.pid {
        observing.answers.names.observe(pid);
    }
    observing.wait(&mut interrupt, "observing", Some(args.duration()), || false).await;
    let (history, answers) = observing.finish().await?;
    tokio::task::spawn_blocking(move || of_windows(&answers, &history.all(), &options, page)).await?
}

fn of_windows(
    answers: &Answers,
    windows: &[Arc<Window>],
    options: &ReportOptions,
    page: bool,
) -> anyhow::Result<Answer> {
    Ok(if page {
        Answer::Page(Box::new(answers.page(windows, options)?))
    } else {
        Answer::Report(Box::new(answers.report(windows, options)))
    })
}

#[cfg(test)]
mod tests {
    use agent_common::wire::report::{
        Coverage, ProcessDetail, RanRow, ReportProcess, SelfCost, ThreadRow, WaitRow,
    };

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
        use agent_common::wire::finding::{AlertState, Alternative, Culprit, Evidence, Side};
        use agent_common::wire::report::{SyscallsReport, SyscallsRow};

        let mut alert = agent_common::wire::finding::testing::alert("a", AlertState::Open);
        let evidence = Evidence {
            what: String::new(),
            value: 0.0,
            unit: String::new(),
            threshold: Some(0.0),
            side: Side::Below,
        };
        alert.finding.evidence.push(evidence);
        alert.finding.headline = Some(String::new());
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
            ..ReportProcess::default()
        };
        let wait = WaitRow {
            syscall: Some(String::new()),
            target: Some(String::new()),
            waker: Some(String::new()),
            open: true,
            ..WaitRow::default()
        };
        let detail = ProcessDetail {
            threads: vec![ThreadRow::default()],
            waits: vec![wait],
            ran_meanwhile: vec![RanRow::default()],
        };
        let report = Report {
            process: Some(detail),
            unknown: vec![String::new()],
            window_s: 0.0,
            host: String::new(),
            coverage: coverage.clone(),
            self_cost: SelfCost::default(),
            processes: vec![process],
            findings: vec![alert.finding.clone()],
            ..Report::default()
        };
        let row = SyscallsRow {
            pid: 0,
            comm: String::new(),
            syscall: String::new(),
            count: 0,
            errors: 0,
            errnos: Vec::new(),
            total_ns: None,
            max_ns: None,
            p50_ns: None,
            p95_ns: None,
            p99_ns: None,
            blocked_ns: None,
            in_flight: 0,
            in_flight_age_ns: None,
            in_flight_age_at_least: false,
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
}
