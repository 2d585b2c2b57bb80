//! `GET hosts/{host}/series`: any metrics over time, as a graph needs them.

use agent_common::text;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, Response, StatusCode};
use serde_json::json;

use super::Shared;
use super::ask::Ask;
use crate::access::Role;
use crate::activity;
use crate::api::problem::{Answer, Problem, ok, respond};
use crate::api::prometheus::selector;
use crate::api::routes::{Need, Routes};

/// Length of an interval that is not said, ms.
const DEFAULT_MS: i64 = 5 * 60_000;
/// Longest interval: a week.
const MAX_MS: i64 = 7 * 24 * 3_600_000;
/// Most parts of an answer, and those of one that does not say a step.
const MAX_PARTS: i64 = 3_600;
const PARTS: i64 = 300;
/// Shortest step, ms: windows are a second long.
const LEAST_STEP_MS: i64 = 1_000;
/// Most series of an answer, and most numbers: ten bytes each.
const MAX_SERIES: usize = 2_000;
const MAX_NUMBERS: usize = 1_000_000;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes.kept(&[Method::GET], "/api/s7mpa/v1/hosts/{host}/series", Need::Read(Role::Viewer), series)
}

async fn series(State(shared): State<Shared>, Path(host): Path<String>, request: Request) -> Response<Body> {
    respond(try_series(&shared, host, &Ask::of(&request)).await)
}

async fn try_series(shared: &Shared, host: String, ask: &Ask) -> Answer {
    let interval = ask.interval_of(DEFAULT_MS, MAX_MS)?;
    let step = ask.step(interval, LEAST_STEP_MS, PARTS, MAX_PARTS)?;
    let wrong = |detail| Problem::new(StatusCode::BAD_REQUEST, detail);
    let mut sets = Vec::new();
    for text in ask.all("select")? {
        let own = selector(&text).map_err(|why| wrong(format!("select: `{}`: {why}", text::clean(&text))))?;
        sets.extend(own);
    }
    if sets.is_empty() {
        return Err(wrong(
            "select: say which series, such as s7mpa_disk_read_bytes{device=\"sda\"}".to_owned(),
        ));
    }
    let parts = usize::try_from((interval.to_ms - interval.from_ms) / step).unwrap_or(usize::MAX).max(1);
    let most = MAX_SERIES.min(MAX_NUMBERS / parts);
    let name = host.clone();
    let found = shared
        .work
        .run(None, move |reader, _| Ok(activity::over_time(reader, &name, &sets, interval, step, most)?))
        .await?;
    ok(&json!({
        "host": host,
        "from": text::utc_ms(interval.from_ms),
        "to": text::utc_ms(interval.to_ms),
        "step_s": step as f64 / 1e3,
        "windows": found.windows,
        "series": found.series,
        "more": found.more,
    }))
}
