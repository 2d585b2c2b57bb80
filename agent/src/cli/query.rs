//! `agent query`: reads the history in the embedded store.

mod spans;

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::line::FieldValue;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use server::store::embedded::{FILE, Reader, Selection, Series, Step, StoredReport, Tags};

use self::spans::{HOST, Spans};
use super::moment::moment;
use super::term::{Side, Table};
use super::{Context, Outcome, duration, key_value, term};

/// Most alert messages shown: the latest.
const MAX_ALERTS: usize = 1_000;
/// Most reports shown: a day of one host has 1,440.
const MAX_REPORTS: usize = 2_000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo agent query                                      which measurements there are
  sudo agent query s7mpa_cpu                            its fields and series
  sudo agent query s7mpa_cpu user_ns --last 5m          values, one a window
  sudo agent query alerts --last 1d                     alerts from open to resolved, of all hosts
  sudo agent query alerts --from 'yesterday 14:00' --to 'yesterday 15:00' --host web-1 --json
  sudo agent query reports                              the latest report of each host
  sudo agent query reports --from 14:00 --to 15:00      one a minute, and those made for alerts
  sudo agent query reports --at 'yesterday 14:03' --json
  sudo agent query s7mpa_process rss_bytes --tag comm=nginx --last 1d --step 1h --json

agent/METRICS.md names every measurement and field with its unit.")]
pub(super) struct QueryArgs {
    /// Measurement, or `alerts`, or `reports`; none lists the measurements
    measurement: Option<String>,

    /// Field; none lists the series
    field: Option<String>,

    /// Only series with this tag; may be repeated
    #[arg(short, long = "tag", value_name = "NAME=VALUE", value_parser = key_value)]
    tags: Vec<(String, String)>,

    /// How far back
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    last: Duration,

    /// From this moment on, in place of --last: 14:03, 'yesterday 14:03', 20m (ago)
    #[arg(long, value_name = "MOMENT", value_parser = moment, conflicts_with = "last")]
    from: Option<UnixNs>,

    /// Until this moment
    #[arg(long, value_name = "MOMENT", value_parser = moment, requires = "from")]
    to: Option<UnixNs>,

    /// Of reports: of each host the one nearest to this moment
    #[arg(long, value_name = "MOMENT", value_parser = moment, conflicts_with_all = ["from", "last"])]
    at: Option<UnixNs>,

    /// Only of this host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,

    /// Put together over steps of this length: mean, least and greatest
    #[arg(long, value_name = "TIME", value_parser = duration)]
    step: Option<Duration>,
}

pub(super) async fn run(context: Context, mut args: QueryArgs) -> Outcome {
    args.tags.extend(args.host.take().map(|host| (HOST.to_owned(), host)));
    let path = context.config.server_dir().join(FILE);
    become_owner(&context, &path)?;
    tokio::task::spawn_blocking(move || query(&context, &args, &path)).await??;
    Ok(ExitCode::SUCCESS)
}

/// Becomes the user whom the store belongs to. SQLite writes beside the file that it reads: its owner alone can.
pub(super) fn become_owner(context: &Context, path: &Path) -> anyhow::Result<()> {
    let root = nix::unistd::geteuid().is_root();
    // The file is another user's: root's SQLite does not read it.
    super::root::drop(&context.config, "the store")?;
    let us = nix::unistd::geteuid();
    let owner = std::fs::metadata(path).map(|found| found.uid());
    if owner.as_ref().ok() == Some(&us.as_raw()) {
        return Ok(());
    }
    let path = path.display();
    match owner {
        Ok(owner) => bail!(
            "cannot read the store {path}: it belongs to user {owner}, and this command reads it as user {us}, whom \
             `server.user` names; change that setting, or the owner of its directory (chown -R)"
        ),
        Err(_) if root => bail!("there is no store at {path}: has `agent run` been run here?"),
        Err(_) => bail!("there is no store at {path} that this user may read; run this with sudo"),
    }
}

fn query(context: &Context, args: &QueryArgs, path: &Path) -> anyhow::Result<()> {
    let reader = Reader::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    if args.field.is_none() {
        match args.measurement.as_deref() {
            Some("alerts") => return print_alerts(context, args, &reader),
            Some("reports") => return print_reports(context, args, &reader),
            _ => {}
        }
    }
    if args.at.is_some() {
        bail!("--at is for `query reports`; of metrics a time has --from and --to");
    }
    let measurements = reader.measurements()?;
    let Some(measurement) = &args.measurement else {
        return list(context, "measurements", &measurements);
    };
    if !measurements.contains(measurement) {
        bail!("no measurement {measurement} in the store{}", nearest(measurement, &measurements));
    }
    let Some(field) = &args.field else {
        return describe(context, &reader, measurement);
    };
    let fields = reader.fields()?;
    if !fields.contains(field) {
        bail!("no field {field} in the store{}", nearest(field, &fields));
    }
    let spans = Spans::of(args, &reader)?;
    let selections = spans.0.iter().map(|span| {
        let mut tags = args.tags.clone();
        tags.extend(span.host.clone().map(|host| (HOST.to_owned(), host)));
        let (measurement, field) = (measurement.clone(), field.clone());
        Selection { measurement, field, tags, from: span.from, to: span.to }
    });
    let selections: Vec<Selection> = selections.collect();
    if let Some(step) = args.step {
        let read = |selection: &Selection| reader.query_steps(selection, DurNs(step.as_nanos() as u64));
        print_steps(context, &selections[0], step, &spans.read(&selections, read, |(tags, _)| tags)?)
    } else {
        let series = spans.read(&selections, |selection| reader.query(selection), |one| &one.tags)?;
        print_samples(context, &selections[0], &series)
    }
}

/// The life of the alerts in this time, one line a message as `agent alerts` prints them.
fn print_alerts(context: &Context, args: &QueryArgs, reader: &Reader) -> anyhow::Result<()> {
    if args.at.is_some() {
        bail!("--at is for `query reports`; alerts of a time have --from and --to");
    }
    let host = host_of(args, "alerts")?;
    let mut alerts = Vec::new();
    let spans = Spans::of(args, reader)?;
    for span in &spans.0 {
        let found = reader.alerts(span.host.as_deref().or(host), span.from, span.to, MAX_ALERTS)?;
        alerts.extend(found.into_iter().filter(|alert| spans.is_of(span, Some(&alert.host))));
    }
    if context.global.json {
        return term::print_json(&json!({ "alerts": alerts }));
    }
    if alerts.is_empty() {
        term::complain("no alert in this time; --last or --from goes further back");
    }
    let text: String = alerts.iter().map(|alert| super::alerts::line(alert, context.paint) + "\n").collect();
    Ok(term::print(&text)?)
}

/// The host that is asked for: what is no metric has no other tags.
fn host_of<'a>(args: &'a QueryArgs, what: &str) -> anyhow::Result<Option<&'a str>> {
    match args.tags.as_slice() {
        [] => Ok(None),
        [(name, host)] if name == HOST => Ok(Some(host.as_str())),
        _ => bail!("{what} are chosen by --host and time alone"),
    }
}

/// Reports as they came: those of a time, the nearest to a moment, or the latest of each host.
fn print_reports(context: &Context, args: &QueryArgs, reader: &Reader) -> anyhow::Result<()> {
    let wanted = host_of(args, "reports")?;
    let hosts = || match wanted {
        Some(host) => Ok(vec![host.to_owned()]),
        None => reader.reporting_hosts(),
    };
    let mut found = Vec::new();
    if let Some(from) = args.from {
        let to = args.to.unwrap_or(UnixNs(u64::MAX));
        found = reader.reports(wanted, from, to, MAX_REPORTS)?;
        if found.len() == MAX_REPORTS {
            term::complain(&format!("only the last {MAX_REPORTS} are shown"));
        }
    } else {
        for host in hosts()? {
            let report = match args.at {
                Some(at) => reader.report_near(&host, at)?,
                None => reader.report(&host)?,
            };
            found.extend(report);
        }
    }
    if found.is_empty() {
        term::complain("no report of this time");
    }
    let mut reports = Vec::new();
    let mut text = String::new();
    for StoredReport { host, at, json } in found {
        let report: serde_json::Value = serde_json::from_str(&json).context("a report in the store")?;
        let verdict = report.get("verdict").and_then(serde_json::Value::as_str).unwrap_or_default();
        let _ = writeln!(text, "{}  {}  {}", term::utc(at.0), term::clean(&host), term::clean(verdict));
        reports.push(json!({ "host": host, "at_unix_ns": at.0, "report": report }));
    }
    if context.global.json {
        return term::print_json(&json!({ "reports": reports }));
    }
    Ok(term::print(&text)?)
}

fn nearest(name: &str, all: &[String]) -> String {
    all.iter()
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| format!("; did you mean {other}?"))
        .unwrap_or_default()
}

fn list(context: &Context, what: &str, names: &[String]) -> anyhow::Result<()> {
    if context.global.json {
        return term::print_json(&json!({ what: names }));
    }
    if names.is_empty() {
        term::complain("the store is empty");
    }
    let mut text = String::new();
    for name in names {
        let _ = writeln!(text, "{}", term::clean(name));
    }
    Ok(term::print(&text)?)
}

fn describe(context: &Context, reader: &Reader, measurement: &str) -> anyhow::Result<()> {
    let series = reader.series(measurement)?;
    if context.global.json {
        let all: Vec<_> = series
            .iter()
            .map(|tags| tags.iter().cloned().collect::<std::collections::BTreeMap<_, _>>())
            .collect();
        return term::print_json(&json!({ "measurement": measurement, "series": all }));
    }
    let mut text = format!("{} series\n", series.len());
    for tags in &series {
        let _ = writeln!(text, "  {}", shown(tags));
    }
    Ok(term::print(&text)?)
}

fn shown(tags: &Tags) -> String {
    let pairs: Vec<String> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    term::clean(&pairs.join(" "))
}

fn tag_map(tags: &Tags) -> serde_json::Value {
    tags.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<serde_json::Map<_, _>>().into()
}

fn value(value: &FieldValue) -> serde_json::Value {
    match value {
        FieldValue::Int(number) => json!(number),
        FieldValue::Float(number) => json!(number),
        FieldValue::Bool(flag) => json!(flag),
        FieldValue::Text(text) => json!(text),
    }
}

fn print_samples(context: &Context, selection: &Selection, series: &[Series]) -> anyhow::Result<()> {
    if context.global.json {
        let all: Vec<_> = series
            .iter()
            .map(|series| {
                let samples: Vec<_> = series
                    .samples
                    .iter()
                    .map(|sample| json!([sample.time.0, value(&sample.value)]))
                    .collect();
                json!({ "tags": tag_map(&series.tags), "samples": samples })
            })
            .collect();
        return term::print_json(&json!({
            "measurement": selection.measurement, "field": selection.field, "series": all
        }));
    }
    let mut text = String::new();
    for series in series {
        text.push_str(&context.paint.bold(shown(&series.tags)));
        text.push('\n');
        for sample in &series.samples {
            let shown = match value(&sample.value) {
                serde_json::Value::String(text) => term::clean(&text),
                other => other.to_string(),
            };
            let _ = writeln!(text, "  {}  {shown}", term::utc(sample.time.0));
        }
    }
    none_found(series.is_empty());
    Ok(term::print(&text)?)
}

fn print_steps(
    context: &Context,
    selection: &Selection,
    step: Duration,
    series: &[(Tags, Vec<Step>)],
) -> anyhow::Result<()> {
    let mean = |step: &Step| if step.count == 0 { 0.0 } else { step.sum / step.count as f64 };
    if context.global.json {
        let all: Vec<_> = series
            .iter()
            .map(|(tags, steps)| {
                let steps: Vec<_> = steps
                    .iter()
                    .map(|step| {
                        json!({ "start": step.start.0, "count": step.count, "mean": mean(step), "min": step.min,
                                "max": step.max, "last": step.last })
                    })
                    .collect();
                json!({ "tags": tag_map(tags), "steps": steps })
            })
            .collect();
        return term::print_json(&json!({
            "measurement": selection.measurement, "field": selection.field, "step_ns": step.as_nanos() as u64,
            "series": all
        }));
    }
    let mut text = String::new();
    for (tags, steps) in series {
        text.push_str(&context.paint.bold(shown(tags)));
        text.push('\n');
        let mut table = Table::new(&[
            ("START", Side::Left),
            ("COUNT", Side::Right),
            ("MEAN", Side::Right),
            ("MIN", Side::Right),
            ("MAX", Side::Right),
        ]);
        for step in steps {
            table.row(&[
                term::utc(step.start.0),
                step.count.to_string(),
                format!("{:.3}", mean(step)),
                step.min.to_string(),
                step.max.to_string(),
            ]);
        }
        text.push_str(&table.render(context.paint));
    }
    none_found(series.is_empty());
    Ok(term::print(&text)?)
}

fn none_found(empty: bool) {
    if empty {
        term::complain("no sample in this time; --last goes further back");
    }
}
