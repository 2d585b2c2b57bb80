//! `GET postmortems` and `GET events`: why processes ended, and what happened on hosts. Both are kept as log lines.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use agent_common::text;
use agent_common::units::UnixNs;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response};
use logs::Record;
use logs::query::{Hit, Query, Stop};
use serde_json::{Value, json};

use super::Shared;
use super::ask::{Ask, ns, wrong};
use super::logs::none_kept;
use crate::access::Role;
use crate::activity::Interval;
use crate::api::problem::{Answer, Problem, ok, respond};
use crate::api::routes::{Need, Routes};
use crate::store::logs::{Answer as Searched, Asked};

/// Length of an interval that is not said, and the longest, ms: a day, ninety days.
const DEFAULT_MS: i64 = 24 * 3_600_000;
const MAX_MS: i64 = 90 * 24 * 3_600_000;
/// Elements of an answer, unless it asks for another number, and at most.
const ELEMENTS: usize = 100;
const MAX_ELEMENTS: usize = 1_000;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    const READ: Need = Need::Read(Role::Viewer);
    routes.at(&[Method::GET], "/api/s7mpa/v1/postmortems", READ, postmortems).at(
        &[Method::GET],
        "/api/s7mpa/v1/events",
        READ,
        events,
    )
}

async fn postmortems(State(shared): State<Shared>, request: Request) -> Response<Body> {
    respond(try_postmortems(&shared, &Ask::of(&request)).await)
}

async fn events(State(shared): State<Shared>, request: Request) -> Response<Body> {
    respond(try_events(&shared, &Ask::of(&request)).await)
}

/// What is kept of a source in the time that is asked for, newest first.
async fn found(
    shared: &Shared,
    ask: &Ask,
    source: &'static str,
) -> Result<(Vec<Hit>, Searched, Interval), Problem> {
    let interval = ask.interval_of(DEFAULT_MS, MAX_MS)?;
    let limit = ask.parsed::<usize>("limit", "a number of elements")?.unwrap_or(ELEMENTS);
    if limit == 0 || limit > MAX_ELEMENTS {
        return Err(wrong("limit", &limit.to_string(), "between 1 and 1000"));
    }
    let time = (ns(interval.from_ms), UnixNs(ns(interval.to_ms).0.saturating_add(1)));
    let query = Query::default().within(time.0, time.1);
    let asked = Asked::of_source(source, query, ask.get("host").map(str::to_owned));
    let searched = shared.work.logs(move |reader, end| {
        let mut hits = Vec::new();
        let answer = reader.search(&asked, limit, &|| end.is_over(), &mut |hit| {
            hits.push(hit);
            ControlFlow::Continue(())
        })?;
        Ok((hits, answer))
    });
    let (hits, answer) = searched.await?.ok_or_else(none_kept)?;
    Ok((hits, answer, interval))
}

fn field<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    record.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
}

fn at(record: &Record) -> String {
    text::utc_ms((record.at.0 / 1_000_000).cast_signed())
}

async fn try_postmortems(shared: &Shared, ask: &Ask) -> Answer {
    let (hits, answer, interval) = found(shared, ask, "postmortem").await?;
    let one = |hit: &Hit| {
        let mut value: Value = serde_json::from_str(field(&hit.record, "postmortem")?).ok()?;
        let object = value.as_object_mut()?;
        object.insert("host".to_owned(), json!(hit.stream.get("host")));
        object.insert("at".to_owned(), json!(at(&hit.record)));
        object.insert("id".to_owned(), json!(field(&hit.record, "id")));
        Some(value)
    };
    ok(&json!({
        "from": text::utc_ms(interval.from_ms),
        "to": text::utc_ms(interval.to_ms),
        "postmortems": hits.iter().filter_map(one).collect::<Vec<_>>(),
        "more": answer.stop == Stop::Lines,
    }))
}

async fn try_events(shared: &Shared, ask: &Ask) -> Answer {
    let (hits, answer, interval) = found(shared, ask, "event").await?;
    // One that came again is there again, with a higher count.
    let mut all: BTreeMap<(UnixNs, String, String, String), (u64, Value)> = BTreeMap::new();
    for Hit { stream, record } in &hits {
        let of = |name| field(record, name).unwrap_or_default();
        let host = stream.get("host").unwrap_or_default();
        let count: u64 = of("count").parse().unwrap_or(1);
        let explains: Vec<&str> = of("explains").split(',').filter(|class| !class.is_empty()).collect();
        let value = json!({
            "host": host,
            "at": at(record),
            "class": of("class"),
            "severity": record.severity.name(),
            "subject": { "kind": of("subject_kind"), "name": of("subject"), "pid": record.pid },
            "text": record.message,
            "count": count,
            "explains": explains,
        });
        let key = (record.at, host.to_owned(), of("class").to_owned(), of("subject").to_owned());
        let kept = all.entry(key).or_insert_with(|| (0, Value::Null));
        if count > kept.0 {
            *kept = (count, value);
        }
    }
    ok(&json!({
        "from": text::utc_ms(interval.from_ms),
        "to": text::utc_ms(interval.to_ms),
        "events": all.into_values().rev().map(|(_, value)| value).collect::<Vec<_>>(),
        "more": answer.stop == Stop::Lines,
    }))
}
