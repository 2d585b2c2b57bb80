//! `agent promql`: asks the history in the store in Prometheus's language.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agent_common::units::UnixNs;
use anyhow::Context as _;
use clap::Args;
use promql::{Answer, Macros, Options, Query, Sample, Series, Span, Value};
use server::config::{QueryLanguage, StoreConfig};
use server::node::NodeNames;
use server::remote::{Asked, Remote};
use server::store::elsewhere::Elsewhere;
use server::store::embedded::{FILE, Reader};
use server::store::influx;
use tokio::runtime::Handle;

use super::moment::moment;
use super::term::{Side, Table};
use super::{Context, Outcome, duration, query, root, term};
use crate::{clock, daemon};

/// Values of a series that are drawn beside each other.
const CELLS: usize = 60;
/// Heights of a drawn value.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A query that takes longer is given up.
const PATIENCE: Duration = Duration::from_mins(1);
const MS: u64 = 1_000_000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo agent promql 'topk(5, sum by (comm) (rate(s7mpa_process_user_ns_total[1m])))'
  sudo agent promql 's7mpa_memory_available_bytes' --last 1h       drawn, with least, greatest and last value
  sudo agent promql 'avg_over_time(s7mpa_cpu_user_ns[10m])' --at 'yesterday 14:03'
  agent promql 'median(up)' --url http://prometheus:9090          another store; our words and rules.macros are replaced first
  sudo agent promql 'rate(s7mpa_net_rx_bytes_total[30s])' --from 10:00 --to 10:30 --step 10s --json

A metric is a measurement and a field of agent/METRICS.md. A counter is there twice: the amounts of the windows under its name,
and their sum since the series began under that name with `_total`, for rate() and increase(). What node_exporter measures is
there under its names, too (node_cpu_seconds_total, …). With server.store = influx1 or influx2 that database is asked: it has the
same names and gives the same answers. Times without a zone are UTC.")]
pub(super) struct PromqlArgs {
    /// Query in PromQL, as Prometheus 3 means it
    query: String,

    /// Moment of the answer: 5m (ago), 14:03, 'yesterday 14:03', '2026-11-29 14:03:05', Unix seconds [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with_all = ["from", "to", "last"])]
    at: Option<UnixNs>,

    /// Answers over time, from here on
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "last")]
    from: Option<UnixNs>,

    /// Up to here [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment, requires = "from")]
    to: Option<UnixNs>,

    /// Answers over this time up to now
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    last: Option<Duration>,

    /// From one answer to the next [default: a sixtieth of the time, at least 1s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    step: Option<Duration>,

    /// Ask a Prometheus, VictoriaMetrics or Mimir in place of the embedded store: http(s)://[user:password@]host:port[/path]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Read the points of --url and evaluate here: VictoriaMetrics that was written to in line protocol has no running sums
    #[arg(long, requires = "url")]
    here: bool,

    /// How old the newest sample of a series may be
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5m")]
    lookback: Duration,
}

pub(super) async fn run(context: Context, args: PromqlArgs) -> Outcome {
    let macros = Macros::parse(&context.config.rules.macros).context("rules.macros")?;
    let query = Query::parse_with(&args.query, &macros).context("the query cannot be understood")?;
    if let Some(url) = &args.url {
        // What follows the scheme up to the host is user and password.
        if url
            .split_once("://")
            .is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')))
        {
            term::complain(
                "the password in --url can be read by every user of this host while the command runs",
            );
        }
        root::drop(&context.config, "another store")?;
        if args.here {
            let api = influx::Api::V2 { org: String::new(), bucket: String::new(), token: None };
            let options = influx::Options { timeout: PATIENCE, ..influx::Options::new(url, api) };
            let store = Elsewhere::open(options, QueryLanguage::Promql, Handle::current())?;
            return ask_elsewhere(context, store, query, args).await;
        }
        let text = promql::expanded(&args.query, &macros)?;
        let remote = Remote::new(url, PATIENCE)?;
        let lookback_ms = i64::try_from(args.lookback.as_millis())?;
        let answer = remote.ask(&text, asked(&args)?, lookback_ms).await?;
        print(&context, &answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(store) = elsewhere(&context)? {
        return ask_elsewhere(context, store, query, args).await;
    }
    let path = context.config.server_dir().join(FILE);
    query::become_owner(&context, &path)?;
    let ask = move || -> anyhow::Result<()> {
        let reader = Reader::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let asked = ask(&reader, &query, &args)?;
        print(&context, &asked)
    };
    tokio::task::spawn_blocking(ask).await??;
    Ok(ExitCode::SUCCESS)
}

async fn ask_elsewhere(context: Context, store: Elsewhere, query: Query, args: PromqlArgs) -> Outcome {
    let ask = move || -> anyhow::Result<()> {
        let begun = Instant::now();
        let expired = || begun.elapsed() > PATIENCE;
        print(&context, &answer(&NodeNames(store.view(&expired)?), &query, &args, &expired)?)
    };
    tokio::task::spawn_blocking(ask).await??;
    Ok(ExitCode::SUCCESS)
}

fn ask(reader: &Reader, query: &Query, args: &PromqlArgs) -> anyhow::Result<Answer> {
    let begun = Instant::now();
    let expired = || begun.elapsed() > PATIENCE;
    answer(&NodeNames(reader.view()?.until(&expired)), query, args, &expired)
}

fn answer(
    view: &dyn promql::Reader,
    query: &Query,
    args: &PromqlArgs,
    expired: &dyn Fn() -> bool,
) -> anyhow::Result<Answer> {
    let options = Options {
        lookback_ms: i64::try_from(args.lookback.as_millis())?,
        expired: Some(expired),
        ..Options::default()
    };
    Ok(match asked(args)? {
        Asked::Instant(at_ms) => query.instant(view, at_ms, &options)?,
        Asked::Range(span, step_ms) => query.range(view, span, step_ms, &options)?,
    })
}

/// The database of `server.store`, if it is not the embedded store. The files with its secrets may be root's alone; what it
/// answers is read without root.
fn elsewhere(context: &Context) -> anyhow::Result<Option<Elsewhere>> {
    let config = &context.config;
    let store = daemon::store_config(config)?;
    if store == StoreConfig::Embedded {
        return Ok(None);
    }
    root::drop(config, "another store")?;
    Ok(Elsewhere::of(&store, Handle::current())?)
}

/// The moment or the range of the flags.
fn asked(args: &PromqlArgs) -> anyhow::Result<Asked> {
    let ms = |at: UnixNs| (at.0 / MS) as i64;
    let end = args.to.unwrap_or_else(clock::unix);
    let begin =
        args.from.or_else(|| args.last.map(|last| UnixNs(end.0.saturating_sub(last.as_nanos() as u64))));
    let Some(begin) = begin else {
        return Ok(Asked::Instant(ms(args.at.unwrap_or_else(clock::unix))));
    };
    let span = Span { from_ms: ms(begin), to_ms: ms(end) };
    let step_ms = match args.step {
        Some(step) => i64::try_from(step.as_millis())?,
        None => ((span.to_ms - span.from_ms) / CELLS as i64 / 1000).max(1) * 1000,
    };
    Ok(Asked::Range(span, step_ms))
}

fn print(context: &Context, answer: &Answer) -> anyhow::Result<()> {
    for remark in answer.warnings.iter().chain(&answer.infos) {
        term::complain(remark);
    }
    if context.global.json {
        return term::print_json(&data(&answer.value)?);
    }
    let is_empty = match &answer.value {
        Value::Vector(elements) => elements.is_empty(),
        Value::Matrix(series) => series.is_empty(),
        Value::Scalar(_) | Value::String { .. } => false,
    };
    if is_empty {
        term::complain("no series has a value there; `agent query` lists measurements and their fields");
    }
    Ok(term::print(&text(context, &answer.value))?)
}

/// The `data` object of Prometheus's HTTP API.
fn data(value: &Value) -> serde_json::Result<serde_json::Value> {
    serde_json::from_str(&server::api::value(value))
}

fn text(context: &Context, value: &Value) -> String {
    match value {
        Value::Scalar(sample) => format!("{}\n", short(sample.value)),
        Value::String { text, .. } => format!("{}\n", term::clean(text)),
        Value::Vector(elements) => {
            let mut table = Table::new(&[("VALUE", Side::Right), ("SERIES", Side::Left)]);
            for one in elements {
                table.row(&[short(one.sample.value), term::clean(&one.labels.to_string())]);
            }
            if elements.is_empty() { String::new() } else { table.render(context.paint) }
        }
        Value::Matrix(series) => {
            let ends =
                || series.iter().flat_map(|one| one.samples.first().into_iter().chain(one.samples.last()));
            let (Some(first), Some(last)) = (ends().map(|s| s.at_ms).min(), ends().map(|s| s.at_ms).max())
            else {
                return String::new();
            };
            // No more cells than steps: the others would be blank.
            let cells = series.iter().map(|one| one.samples.len()).max().unwrap_or(1).clamp(1, CELLS);
            let at = |ms: i64| term::utc(ms.cast_unsigned().saturating_mul(MS));
            let mut text = format!("{} to {}\n", at(first), at(last));
            for one in series {
                let _ = writeln!(text, "{}", context.paint.bold(term::clean(&one.labels.to_string())));
                let _ = writeln!(text, "  {}  {}", drawn(one, first, last, cells), summary(&one.samples));
            }
            text
        }
    }
}

/// Values of a series as bars, from its least value to its greatest; a blank where it has none.
fn drawn(series: &Series, first_ms: i64, last_ms: i64, cells: usize) -> String {
    let width = (last_ms - first_ms).max(1) as f64;
    let mut sums = vec![(0.0_f64, 0_u32); cells];
    for sample in series.samples.iter().filter(|sample| sample.value.is_finite()) {
        let at = (sample.at_ms - first_ms) as f64 / width * (cells - 1) as f64;
        let (sum, count) = &mut sums[(at.round() as usize).min(cells - 1)];
        (*sum, *count) = (*sum + sample.value, *count + 1);
    }
    let means = sums.iter().map(|(sum, count)| (*count > 0).then(|| sum / f64::from(*count)));
    let means: Vec<Option<f64>> = means.collect();
    let least = means.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let greatest = means.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |mean: &Option<f64>| match mean {
        None => ' ',
        // Nothing rises or falls.
        Some(_) if greatest <= least => BARS[0],
        Some(mean) => BARS[(((mean - least) / (greatest - least) * 8.0) as usize).min(7)],
    };
    means.iter().map(bar).collect()
}

fn summary(samples: &[Sample]) -> String {
    let values = || samples.iter().map(|sample| sample.value);
    let least = values().fold(f64::INFINITY, f64::min);
    let greatest = values().fold(f64::NEG_INFINITY, f64::max);
    let last = samples.last().map_or(f64::NAN, |sample| sample.value);
    format!("{} to {}, last {}", short(least), short(greatest), short(last))
}

/// A number as people read it: of a fraction six digits count.
fn short(value: f64) -> String {
    if value.fract() != 0.0 && (1e-4..999_999.5).contains(&value.abs()) {
        return promql::general(value, 6);
    }
    promql::plain(value)
}

#[cfg(test)]
mod tests {
    use promql::Labels;
    use serde_json::json;

    use super::*;

    fn series(values: &[(i64, f64)]) -> Series {
        let labels = Labels::new([("__name__".into(), "up".into()), ("job".into(), "a\"b".into())]);
        let samples = values.iter().map(|&(at_ms, value)| Sample { at_ms, value }).collect();
        Series { labels, samples }
    }

    #[test]
    fn bars_show_rise_fall_and_gaps() {
        let one = series(&[(0, 0.0), (1000, 7.0), (5900, 3.5), (6000, 3.5)]);
        assert_eq!(drawn(&one, 0, 6000, 7), "▁█    ▅");
        assert_eq!(drawn(&one, 0, 6000, CELLS).chars().filter(|bar| *bar != ' ').count(), 4);
        assert!(drawn(&series(&[(0, 5.0), (6000, 5.0)]), 0, 6000, 2).starts_with('▁'), "a level line");
        assert_eq!(drawn(&series(&[(0, f64::NAN)]), 0, 0, 1).trim(), "", "no number");
        assert_eq!(summary(&one.samples), "0 to 7, last 3.5");
    }

    #[test]
    fn fractions_have_six_digits_for_people() {
        let shown = [0.001_402_566_563, 1.924_862_509, 3.5, 1_234.567_89, 2.5e-7, 24_509_194_240.0, f64::NAN];
        let want = ["0.00140257", "1.92486", "3.5", "1234.57", "0.00000025", "24509194240", "NaN"];
        assert_eq!(shown.map(short), want);
    }

    #[test]
    fn json_is_the_data_object_of_prometheus() {
        let one = series(&[(1500, 0.5), (2000, f64::NAN)]);
        assert_eq!(
            data(&Value::Matrix(vec![one])).unwrap(),
            json!({ "resultType": "matrix", "result": [
                { "metric": { "__name__": "up", "job": "a\"b" }, "values": [[1.5, "0.5"], [2, "NaN"]] }] })
        );
        let scalar = Value::Scalar(Sample { at_ms: 4000, value: f64::INFINITY });
        assert_eq!(data(&scalar).unwrap(), json!({ "resultType": "scalar", "result": [4, "+Inf"] }));
    }
}
