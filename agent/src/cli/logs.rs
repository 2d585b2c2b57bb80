//! `agent logs`: searches and follows the log lines in the store.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agent_common::text::clean_json;
use agent_common::units::UnixNs;
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use logs::Severity;
use logs::query::{Expr, Hit, Pattern, Query, Stop, Test};
use serde_json::json;
use server::store::logs::{Asked, FILE, Reader};

use super::moment::moment;
use super::{Context, Outcome, key_value, query, term};

/// Lines shown, unless `-n` says otherwise; with `--since` all of that time, at most this many.
const LINES: usize = 100;
const MAX_LINES: usize = 100_000;
/// A search that takes longer says how far it came.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked for new lines.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo agent logs                                       the last 100 lines of all sources
  sudo agent logs --follow --severity warning           warnings and worse, as they come
  sudo agent logs timeout 'connection refused'          lines with the word, and with the phrase
  sudo agent logs --unit nginx.service --since 1h --grep 'upstream .* failed'
  sudo agent logs --since 'yesterday 14:00' --until 'yesterday 14:10' --pid 4711
  sudo agent logs 'status>=500 OR level=error' --field method=POST --json

A query has words (in any case), \"phrases\", -word, name=value, name~regex, severity>=warning, AND, OR, NOT and brackets; several are
all to match. Labels: host source file unit container pod namespace comm stream. Times without a zone are UTC.")]
pub(super) struct LogsArgs {
    /// What lines match; none: all
    query: Vec<String>,

    /// Only of this process
    #[arg(long)]
    pid: Option<u32>,

    /// Only of this systemd unit; `.service` may be left out
    #[arg(short, long)]
    unit: Option<String>,

    /// Only of this container
    #[arg(long)]
    container: Option<String>,

    /// Only of this host
    #[arg(long)]
    host: Option<String>,

    /// Only from: journal, kmsg, file, container, stdio; event, postmortem: what this program found
    #[arg(long, value_enum)]
    source: Option<Source>,

    /// From this moment on: 1h (ago), 14:03, 'yesterday 14:03'
    #[arg(short = 'S', long, value_name = "MOMENT", value_parser = moment)]
    since: Option<UnixNs>,

    /// Until this moment
    #[arg(short = 'U', long, value_name = "MOMENT", value_parser = moment)]
    until: Option<UnixNs>,

    /// Regular expression that the line, or a field of it, matches
    #[arg(short, long, value_name = "REGEX")]
    grep: Vec<String>,

    /// At least so grave: emergency, alert, critical, error, warning, notice, info, debug
    #[arg(short = 'p', long, value_enum, value_name = "SEVERITY")]
    severity: Option<Grave>,

    /// Has this field; may be repeated
    #[arg(long = "field", value_name = "NAME=VALUE", value_parser = key_value)]
    fields: Vec<(String, String)>,

    /// Go on with what comes
    #[arg(short, long, conflicts_with = "until")]
    follow: bool,

    /// Lines at most: the newest
    #[arg(short = 'n', long, value_name = "LINES")]
    lines: Option<usize>,

    /// Newest first
    #[arg(short, long, conflicts_with = "follow")]
    reverse: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Source {
    Journal,
    Kmsg,
    File,
    Container,
    Stdio,
    Event,
    Postmortem,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Grave {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

pub(super) async fn run(context: Context, args: LogsArgs) -> Outcome {
    let asked = asked(&args)?;
    let path = context.config.server_dir().join(FILE);
    query::become_owner(&context, &path)?;
    tokio::task::spawn_blocking(move || {
        let reader = Reader::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        show(&context, &args, &asked, &reader)
    })
    .await??;
    Ok(ExitCode::SUCCESS)
}

fn asked(args: &LogsArgs) -> anyhow::Result<Asked> {
    let mut query = Query::default();
    for text in &args.query {
        let part = Query::parse(text).with_context(|| format!("`{text}`"))?;
        query = query.within(part.from, part.to).and(part.expr);
    }
    let label =
        |name: &str, value: &str| Expr::Label { name: name.to_owned(), test: Test::Is(value.to_owned()) };
    if let Some(unit) = &args.unit {
        let unit = if unit.contains('.') { unit.clone() } else { format!("{unit}.service") };
        query = query.and(label("unit", &unit));
    }
    if let Some(container) = &args.container {
        query = query.and(label("container", container));
    }
    if let Some(source) = args.source {
        let value = source.to_possible_value();
        query = query.and(label("source", value.as_ref().map_or("", |value| value.get_name())));
    }
    if let Some(pid) = args.pid {
        query = query.and(Expr::Pid(pid));
    }
    if let Some(severity) = args.severity {
        query = query.and(Expr::at_least(Severity::of_number(severity as u64)));
    }
    for (name, value) in &args.fields {
        query = query.and(Expr::Field { name: name.clone(), test: Test::Is(value.clone()) });
    }
    for regex in &args.grep {
        query = query.and(Expr::Matches(Pattern::new(regex).with_context(|| format!("--grep `{regex}`"))?));
    }
    let query = query.within(args.since.unwrap_or(UnixNs(0)), args.until.unwrap_or(UnixNs(u64::MAX)));
    Ok(Asked::new(query, args.host.clone()))
}

fn show(context: &Context, args: &LogsArgs, asked: &Asked, reader: &Reader) -> anyhow::Result<()> {
    // Before the search: what comes meanwhile is in the search or after this, or both, and then known by its place.
    let mut newest = reader.newest()?;
    let lines = args.lines.unwrap_or(if args.since.is_some() { MAX_LINES } else { LINES });
    let begun = Instant::now();
    let mut hits = Vec::new();
    let answer = reader.search(asked, lines.min(MAX_LINES), &|| begun.elapsed() > PATIENCE, &mut |hit| {
        hits.push(hit);
        ControlFlow::Continue(())
    })?;
    if !args.reverse {
        hits.reverse();
    }
    print(context, &hits)?;
    if answer.stop == Stop::Deadline {
        let since = term::utc(answer.back_to.0);
        term::complain(&format!(
            "the search took too long: all lines since {since} are here; --since makes it shorter"
        ));
    }
    if answer.effort.damaged > 0 {
        term::complain(&format!("{} blocks of lines are damaged and were left out", answer.effort.damaged));
    }
    if !args.follow {
        if hits.is_empty() {
            term::complain("no line matches");
        } else if args.lines.is_none() && answer.stop == Stop::Lines {
            term::complain(&format!("the last {} lines; -n or --since shows more", hits.len()));
        }
        return Ok(());
    }
    let seen: std::collections::HashSet<_> = hits.iter().rev().take(LINES * 10).map(place).collect();
    loop {
        std::thread::sleep(FOLLOW_EVERY);
        let (mut hits, last) = reader.since(asked, newest)?;
        newest = last;
        hits.retain(|hit| !seen.contains(&place(hit)));
        if !hits.is_empty() {
            print(context, &hits)?;
        }
    }
}

/// What tells a line from others.
fn place(hit: &Hit) -> (UnixNs, u64, String) {
    (hit.record.at, hit.record.position, hit.record.message.chars().take(64).collect())
}

fn print(context: &Context, hits: &[Hit]) -> anyhow::Result<()> {
    let text: String = hits
        .iter()
        .map(|hit| if context.global.json { json_line(hit) } else { line(hit, context) })
        .map(|line| line + "\n")
        .collect();
    Ok(term::print(&text)?)
}

/// `2026-11-30 14:03:05.123 warning web-1 nginx.service[4711] upstream timed out`
fn line(hit: &Hit, context: &Context) -> String {
    let (record, paint) = (&hit.record, context.paint);
    let stream = &hit.stream;
    let who = ["unit", "container", "comm", "file"].into_iter().find_map(|name| stream.get(name));
    let who = who.or(stream.get("source")).unwrap_or("-");
    let who = who.rsplit_once('/').filter(|_| stream.get("file") == Some(who)).map_or(who, |(_, name)| name);
    let pid = if record.pid > 0 { format!("[{}]", record.pid) } else { String::new() };
    let severity = match record.severity {
        Severity::Unknown => String::new(),
        severity => format!("{severity:<9}"),
    };
    let severity = match record.severity {
        Severity::Emergency | Severity::Alert | Severity::Critical | Severity::Error => paint.red(severity),
        Severity::Warning => paint.yellow(severity),
        Severity::Notice | Severity::Info => severity,
        Severity::Debug | Severity::Unknown => paint.dim(severity),
    };
    let at = term::utc(record.at.0);
    let at = format!("{}.{:03}", at.trim_end_matches('Z').replace('T', " "), record.at.0 / 1_000_000 % 1_000);
    // Further lines of a trace stand below the first.
    let message = record.message.lines().map(term::clean).collect::<Vec<_>>().join("\n    ");
    let host = stream.get("host").unwrap_or_default();
    format!(
        "{} {severity} {} {}{pid}: {message}",
        paint.dim(at),
        term::clean(host),
        paint.bold(term::clean(who))
    )
}

fn json_line(hit: &Hit) -> String {
    let record = &hit.record;
    let labels: serde_json::Map<_, _> =
        hit.stream.labels().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let fields: serde_json::Map<_, _> =
        record.fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let line = json!({
        "at": term::utc(record.at.0),
        "at_ns": record.at.0,
        "severity": record.severity.name(),
        "pid": (record.pid > 0).then_some(record.pid),
        "start_ns": (record.start_ns > 0).then_some(record.start_ns),
        "message": record.message,
        "labels": labels,
        "fields": fields,
        "position": record.position,
    });
    clean_json(&line.to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use agent_common::text;
    use logs::{Record, Stream};

    use super::*;

    #[test]
    fn json_stays_json_whatever_a_line_holds() {
        let message = "a\u{fe0f}\u{202e}\u{1b}[31m\"\\ \u{e0001}\n";
        let hit = Hit {
            stream: Stream::new([("host", "h\u{200b}")]),
            record: Record {
                at: UnixNs(1),
                severity: Severity::Emergency,
                pid: 0,
                start_ns: 0,
                position: 0,
                message: message.to_owned(),
                fields: Vec::new(),
            },
        };
        let line = json_line(&hit);
        assert_eq!(line, text::clean_output(&line), "nothing is left to be written out");
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&read["message"], &read["labels"]["host"]), (&json!(message), &json!("h\u{200b}")));
    }
}
