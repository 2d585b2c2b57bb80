//! `GET flamegraph/columns`: how much ran and waited in each part of an interval.

use agent_common::text;
use agent_common::units::DurNs;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use serde_json::json;

use super::question::{MAX_MS, selection};
use super::{Ask, Shared, none_kept};
use crate::api::problem::{Answer, ok, respond};
use crate::store::profiles::Total;

/// Length of an interval that is not said, ms.
const DEFAULT_MS: i64 = 3_600_000;
/// What the youngest profiles can be divided into, ms.
const LEAST_STEP_MS: i64 = 10_000;
/// Most parts of an answer, and those of one that does not say a step.
const MAX_PARTS: i64 = 10_000;
const PARTS: i64 = 1_000;

pub(super) async fn columns(State(shared): State<Shared>, request: Request) -> Response<Body> {
    respond(try_columns(&shared, &Ask::of(&request)).await)
}

async fn try_columns(shared: &Shared, ask: &Ask) -> Answer {
    let interval = ask.interval_of(DEFAULT_MS, MAX_MS)?;
    let step = ask.step(interval, LEAST_STEP_MS, PARTS, MAX_PARTS)?;
    let (selection, no_idle) = (selection(ask, interval)?, !ask.flag("idle")?);
    let length = DurNs(step.cast_unsigned().saturating_mul(1_000_000));
    let found = shared
        .work
        .profiles(move |reader, end| reader.totals(&selection, length, no_idle, &|| end.is_over()))
        .await?;
    let (parts, longest) = found.ok_or_else(none_kept)?;
    let list = |get: fn(&Total) -> u64| parts.iter().map(get).collect::<Vec<_>>();
    ok(&json!({
        "from": text::utc_ms(interval.from_ms),
        "to": text::utc_ms(interval.to_ms),
        "step_s": step as f64 / 1e3,
        "kept_step_s": longest.as_secs_f64(),
        "samples": list(|part| part.samples),
        "oncpu_ns": list(|part| part.oncpu_ns),
        "waits": list(|part| part.waits),
        "waited_ns": list(|part| part.waited_ns),
    }))
}
