//! `agent syscalls`.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use agent_common::units::Tgid;
use agent_common::wire::report::{Coverage, SyscallsReport, SyscallsRow};
use anyhow::bail;
use clap::Args;

use super::ask::{self, Interrupt};
use super::term::{Paint, Side, Table};
use super::{Context, Outcome, duration, observe, term};
use crate::collector::{Filter, Options};
use crate::config::SyscallTier;
use crate::control::pid::{self, PidError};
use crate::control::protocol::{Reply, Request, Span};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo agent syscalls                          the whole host for 5 s
  sudo agent syscalls --pid 4242 --duration 30s
  sudo agent syscalls --json | jq '.rows[] | select(.errors > 0)'

Calls that have not returned are in the table too, with their age: a hung process shows where it hangs.
Times are within 12.5 %; a `-` means that only counts were taken. BLOCKED is how long the calls kept their threads off the
CPUs, from waits sampled every 10 ms of blocked time.")]
pub(super) struct SyscallsArgs {
    /// One process
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,

    /// How long
    #[arg(short, long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    duration: Duration,

    /// The past, from the daemon's memory
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "duration")]
    last: Option<Duration>,

    /// Rows to print, 0 for all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 40)]
    rows: usize,
}

pub(super) async fn run(context: Context, args: SyscallsArgs) -> Outcome {
    let report = syscalls(&context, &args).await?;
    if context.global.json {
        term::print_json(&report)?;
    } else {
        term::print(&render(&report.cleaned(), args.rows, context.paint))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn syscalls(context: &Context, args: &SyscallsArgs) -> anyhow::Result<SyscallsReport> {
    let pid = args.pid;
    let span = match args.last {
        Some(last) => Span::LastMs(last.as_millis() as u64),
        None => Span::NextMs(args.duration.as_millis() as u64),
    };
    let found = match (pid, args.last) {
        (Some(pid), None) => Some((pid, pid::find(pid)?)),
        _ => None,
    };
    let client = match args.last {
        Some(_) => Some(ask::daemon_only(context, "--last").await?),
        None => ask::daemon(context).await?,
    };
    if let Some(mut client) = client {
        let wait = args.last.is_none().then_some(args.duration);
        return match ask::ask(&mut client, Request::Syscalls { pid, span }, "counting syscalls", wait).await?
        {
            Reply::Syscalls(report) => Ok(report),
            _ => bail!("the daemon answered something else"),
        };
    }

    let mut interrupt = Interrupt::new()?;
    let filter = match pid {
        Some(pid) => Filter::Tgids { tgids: vec![Tgid(pid)], follow: false },
        None => Filter::All,
    };
    let syscalls = match context.config.collector.syscalls {
        SyscallTier::Off => SyscallTier::Auto,
        tier => tier,
    };
    let options =
        Options { rate_hz: 0, filter, syscalls, sched: true, resources: false, endings: false, proc: false };
    let observing = observe::start(context, options).await?;
    if let Some((pid, found)) = &found
        && !pid::is_alive(*pid, found)
    {
        bail!(PidError::ExitedSince { pid: *pid, comm: found.comm.clone() });
    }
    let gone = || found.as_ref().is_some_and(|(pid, found)| !pid::is_alive(*pid, found));
    observing.wait(&mut interrupt, "counting syscalls", Some(args.duration), gone).await;
    let (history, answers) = observing.finish().await?;
    Ok(answers.syscalls(&history.all(), pid.map(Tgid)))
}

/// The table, longest total first as in the report, and what it covers.
fn render(report: &SyscallsReport, rows: usize, paint: Paint) -> String {
    use Side::{Left, Right};
    let mut table = Table::new(&[
        ("PID", Right),
        ("COMM", Left),
        ("SYSCALL", Left),
        ("COUNT", Right),
        ("ERRORS", Right),
        ("ERRNO", Left),
        ("TOTAL", Right),
        ("P50", Right),
        ("P95", Right),
        ("P99", Right),
        ("MAX", Right),
        ("BLOCKED", Right),
        ("OPEN", Right),
        ("AGE", Right),
    ]);
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), term::nanos);
    let limit = if rows == 0 { usize::MAX } else { rows };
    for row in report.rows.iter().take(limit) {
        table.row(&[
            row.pid.to_string(),
            row.comm.clone(),
            row.syscall.clone(),
            row.count.to_string(),
            if row.errors == 0 { String::new() } else { row.errors.to_string() },
            errno(row),
            time(row.total_ns),
            time(row.p50_ns),
            time(row.p95_ns),
            time(row.p99_ns),
            time(row.max_ns),
            row.blocked_ns.filter(|ns| *ns > 0).map(term::nanos).unwrap_or_default(),
            if row.in_flight == 0 { String::new() } else { row.in_flight.to_string() },
            age(row),
        ]);
    }
    table.narrow(term::room(), &["P50", "P95", "BLOCKED", "P99", "ERRNO", "ERRORS"]);
    let mut text = table.render(paint);
    if report.rows.is_empty() {
        text.push_str("no system call returned, and none is open\n");
    }
    let total: u64 = report.rows.iter().map(|row| row.count).sum();
    let mut foot = format!("{} calls in {}", total, term::span(Duration::from_secs_f64(report.window_s)));
    if report.rows.len() > limit {
        let _ = write!(foot, "; {} of {} rows shown (-n 0 for all)", limit, report.rows.len());
    }
    let _ = write!(foot, "; {}", coverage(&report.coverage));
    text.push_str(&paint.dim(foot));
    text.push('\n');
    text
}

/// The commonest, and how many other ones there are.
fn errno(row: &SyscallsRow) -> String {
    match row.errnos.as_slice() {
        [] => String::new(),
        [one] => one.errno.clone(),
        [most, others @ ..] => format!("{} +{}", most.errno, others.len()),
    }
}

fn age(row: &SyscallsRow) -> String {
    let bound = if row.in_flight_age_at_least { "≥" } else { "" };
    row.in_flight_age_ns.map(|ns| format!("{bound}{}", term::nanos(ns))).unwrap_or_default()
}

/// How the calls were seen and what was lost.
fn coverage(coverage: &Coverage) -> String {
    let mut text = match coverage.syscall_tier.as_str() {
        "counts" => "counted at exit only, not timed".to_owned(),
        "times" => "counted and timed".to_owned(),
        other => format!("accounting: {other}"),
    };
    if coverage.lost.is_empty() {
        text.push_str(", nothing lost");
    }
    for loss in coverage.losses() {
        let _ = write!(text, ", {loss}");
    }
    for missing in &coverage.missing {
        let _ = write!(text, "; {missing}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::wire::report::ErrnoCount;

    #[test]
    fn the_table_shows_open_calls_and_what_was_not_timed() {
        let row = |syscall: &str, total_ns| SyscallsRow {
            pid: 42,
            comm: "worker".to_owned(),
            syscall: syscall.to_owned(),
            count: 3,
            errors: 1,
            errnos: vec![ErrnoCount { errno: "EAGAIN".to_owned(), count: 1 }],
            total_ns,
            max_ns: total_ns,
            p50_ns: total_ns,
            p95_ns: total_ns,
            p99_ns: total_ns,
            blocked_ns: Some(0),
            in_flight: 1,
            in_flight_age_ns: Some(5_000_000_000),
            in_flight_age_at_least: true,
        };
        let report = SyscallsReport {
            window_s: 5.0,
            coverage: Coverage { syscall_tier: "times".to_owned(), ..Coverage::default() },
            rows: vec![row("read", Some(1500)), row("futex", None)],
        };
        let text = render(&report, 0, Paint::plain());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].split_whitespace().count(), 14);
        assert!(lines[1].contains("1.50µs") && lines[1].ends_with("≥5.00s"), "{text}");
        assert!(lines[2].contains("  -  "), "{text}");
        assert_eq!(lines[3], "6 calls in 5s; counted and timed, nothing lost");
    }
}
