//! `GET logs`, `logs/histogram`, `logs/streams`: the lines, how many there were when, and where they are from.

use std::ops::ControlFlow;

use agent_common::text;
use agent_common::units::{DurNs, UnixNs};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode};
use logs::query::{Hit, Query, Stop};
use logs::{Severity, Stream};
use serde_json::{Map, Value, json};

use super::Shared;
use super::ask::{Ask, ns, wrong};
use crate::access::Role;
use crate::activity::Interval;
use crate::api::problem::{Answer, Problem, ok, respond};
use crate::api::routes::{Need, Routes};
use crate::store::logs::Asked;

/// Length of an interval that is not said, and the longest, ms: a quarter of an hour, ninety days.
const DEFAULT_MS: i64 = 15 * 60_000;
const MAX_MS: i64 = 90 * 24 * 3_600_000;
/// Lines of an answer, unless it asks for another number, and at most.
const LINES: usize = 200;
const MAX_LINES: usize = 5_000;
/// Text of an answer: what is older comes with the next one.
const MAX_BYTES: usize = 8 << 20;
/// Text of a line in a list; `whole=true` gives all of it.
const MAX_LINE_BYTES: usize = 16 << 10;
/// Bars of a histogram, unless it says a step, and at most.
const BARS: i64 = 120;
const MAX_BARS: i64 = 1_000;
/// Shortest step, ms.
const LEAST_STEP_MS: i64 = 100;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    const READ: Need = Need::Read(Role::Viewer);
    routes
        .at(&[Method::GET], "/api/s7mpa/v1/logs", READ, list)
        .at(&[Method::GET], "/api/s7mpa/v1/logs/histogram", READ, histogram)
        .at(&[Method::GET], "/api/s7mpa/v1/logs/streams", READ, streams)
}

async fn list(State(shared): State<Shared>, request: Request) -> Response<Body> {
    respond(try_list(&shared, &Ask::of(&request)).await)
}

async fn histogram(State(shared): State<Shared>, request: Request) -> Response<Body> {
    respond(try_histogram(&shared, &Ask::of(&request)).await)
}

async fn streams(State(shared): State<Shared>, request: Request) -> Response<Body> {
    respond(try_streams(&shared, &Ask::of(&request)).await)
}

/// What is asked, and in which time.
fn asked(ask: &Ask) -> Result<(Asked, Interval), Problem> {
    let interval = ask.interval_of(DEFAULT_MS, MAX_MS)?;
    let query = Query::parse(ask.get("query").unwrap_or_default())
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    // An interval includes its end, a query does not.
    let query = query.within(ns(interval.from_ms), UnixNs(ns(interval.to_ms).0.saturating_add(1)));
    Ok((Asked::new(query, ask.get("host").map(str::to_owned)), interval))
}

pub(super) fn none_kept() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no log lines are kept here: the server that takes this host's profiles and logs has them".to_owned(),
    )
}

async fn try_list(shared: &Shared, ask: &Ask) -> Answer {
    let (mut asked, interval) = asked(ask)?;
    let limit = ask.parsed::<usize>("limit", "a number of lines")?.unwrap_or(LINES);
    if limit == 0 || limit > MAX_LINES {
        return Err(wrong("limit", &limit.to_string(), "between 1 and 5000"));
    }
    let whole = ask.flag("whole")?;
    if let Some(before) = ask.parsed::<u64>("before_ns", "a time in ns")? {
        asked.query = asked.query.within(UnixNs(0), UnixNs(before));
    }
    let found = shared.work.logs(move |reader, end| {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        let answer = reader.search(&asked, limit, &|| end.is_over(), &mut |hit| {
            bytes += hit.record.message.len().min(if whole { usize::MAX } else { MAX_LINE_BYTES });
            lines.push(line(&hit, whole));
            if bytes > MAX_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok((lines, answer))
    });
    let (lines, answer) = found.await?.ok_or_else(none_kept)?;
    ok(&json!({
        "from": text::utc_ms(interval.from_ms),
        "to": text::utc_ms(interval.to_ms),
        "lines": lines,
        "more": matches!(answer.stop, Stop::Lines | Stop::Caller),
        "complete": answer.stop != Stop::Deadline,
        "searched_to_ns": answer.back_to.0.to_string(),
        "damaged_blocks": answer.effort.damaged,
    }))
}

/// A line for people and programs.
fn line(hit: &Hit, whole: bool) -> Value {
    let record = &hit.record;
    let (message, cut) = if whole { (record.message.as_str(), false) } else { shortened(&record.message) };
    let mut value = json!({
        "at": text::utc_ms((record.at.0 / 1_000_000).cast_signed()),
        "at_ns": record.at.0.to_string(),
        "severity": record.severity.name(),
        "message": message,
        "labels": labels(&hit.stream),
        "position": record.position.to_string(),
    });
    let more = [
        ("cut", cut.then(|| json!(record.message.len()))),
        ("pid", (record.pid > 0).then(|| json!(record.pid))),
        ("start_ns", (record.start_ns > 0).then(|| json!(record.start_ns.to_string()))),
        ("fields", (!record.fields.is_empty()).then(|| json!(record.fields))),
    ];
    if let Value::Object(object) = &mut value {
        object.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    value
}

fn shortened(message: &str) -> (&str, bool) {
    let end = message.floor_char_boundary(MAX_LINE_BYTES);
    (&message[..end], end < message.len())
}

fn labels(stream: &Stream) -> Map<String, Value> {
    stream.labels().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

async fn try_histogram(shared: &Shared, ask: &Ask) -> Answer {
    let (asked, interval) = asked(ask)?;
    let step = ask.step(interval, LEAST_STEP_MS, BARS, MAX_BARS)?;
    let length = DurNs(step.cast_unsigned() * 1_000_000);
    let found =
        shared.work.logs(move |reader, end| reader.histogram(&asked, length, &|| end.is_over())).await?;
    let found = found.ok_or_else(none_kept)?;
    let bar = |nth: usize, counts: &[u64; Severity::ALL.len()]| {
        let at = interval.from_ms + step * nth as i64;
        let counts: Map<String, Value> = Severity::ALL
            .iter()
            .zip(counts)
            .filter(|(_, count)| **count > 0)
            .map(|(severity, count)| (severity.name().to_owned(), json!(count)))
            .collect();
        json!({ "at": text::utc_ms(at), "counts": counts })
    };
    ok(&json!({
        "from": text::utc_ms(interval.from_ms),
        "to": text::utc_ms(interval.to_ms),
        "step_s": step as f64 / 1e3,
        "bars": found.steps.iter().enumerate().map(|(nth, counts)| bar(nth, counts)).collect::<Vec<_>>(),
        "lines": found.steps.iter().flatten().sum::<u64>(),
        "complete": found.stop == Stop::Complete,
        "searched_to_ns": found.back_to.0.to_string(),
    }))
}

async fn try_streams(shared: &Shared, ask: &Ask) -> Answer {
    let (asked, interval) = asked(ask)?;
    let found = shared.work.logs(move |reader, _| reader.streams(&asked)).await?;
    let streams: Vec<Value> = found
        .ok_or_else(none_kept)?
        .iter()
        .map(|(stream, lines)| json!({ "labels": labels(stream), "lines": lines }))
        .collect();
    let page = ask.page(LINES)?;
    ok(&json!({
        "from": text::utc_ms(interval.from_ms),
        "to": text::utc_ms(interval.to_ms),
        "total": streams.len(),
        "streams": page.of(streams),
    }))
}
