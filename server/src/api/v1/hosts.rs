//! `GET hosts`, `GET hosts/{host}`: which hosts there are, and how one of them is.

use agent_common::text;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, Response};
use promql::{NAME, Operator, ReadError, Reader, Span};
use serde::Serialize;
use serde_json::json;

use super::Shared;
use super::ask::Ask;
use crate::access::Role;
use crate::activity::{self, EVERY_WINDOW};
use crate::api::problem::{ok, respond};
use crate::api::prometheus::now_ms;
use crate::api::routes::{Need, Routes};

/// A host whose newest window is older than this is silent, ms.
const SILENT_MS: i64 = 10_000;
/// How far back the newest window is looked for, ms.
const LOOK_BACK_MS: i64 = 3_600_000;

/// A host.
#[derive(Debug, Serialize)]
struct Host {
    #[serde(rename = "host")]
    name: String,
    /// End of its newest window; none: it is older than an hour.
    newest_at: Option<String>,
    /// Age of that, seconds.
    age_s: Option<f64>,
    silent: bool,
}

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    const READ: Need = Need::Read(Role::Viewer);
    routes.kept(&[Method::GET], "/api/s7mpa/v1/hosts", READ, list).kept(
        &[Method::GET],
        "/api/s7mpa/v1/hosts/{host}",
        READ,
        one,
    )
}

async fn list(State(shared): State<Shared>) -> Response<Body> {
    let now = now_ms();
    let found = shared.work.run(None, move |reader, _| Ok(hosts(reader, now)?)).await;
    respond(found.map_err(Into::into).and_then(|hosts| ok(&json!({ "hosts": hosts }))))
}

fn hosts(reader: &dyn Reader, now: i64) -> Result<Vec<Host>, ReadError> {
    let matchers = [activity::matcher(NAME, Operator::Equal, EVERY_WINDOW)?];
    // A host whose clock is ahead has windows in our future.
    let span = |from_ms| Span { from_ms, to_ms: now.saturating_add(LOOK_BACK_MS) };
    let mut newest = std::collections::BTreeMap::new();
    for series in reader.select(&matchers, span(now - LOOK_BACK_MS))? {
        let series = series?;
        let last = series.samples.iter().rfind(|sample| !promql::is_stale(sample.value));
        let entry: &mut Option<i64> = newest.entry(series.labels.get("host").to_owned()).or_default();
        *entry = (*entry).max(last.map(|sample| sample.at_ms));
    }
    let all = reader.label_values("host", &matchers, span(0))?;
    let one = |host: String| {
        let newest = newest.get(&host).copied().flatten();
        let age = newest.map(|at| now - at);
        Host {
            newest_at: newest.map(text::utc_ms),
            age_s: age.map(|age| age as f64 / 1e3),
            silent: age.is_none_or(|age| age > SILENT_MS),
            name: host,
        }
    };
    Ok(all.into_iter().map(one).collect())
}

/// What the host as a whole did: every measurement but those of processes.
async fn one(State(shared): State<Shared>, Path(host): Path<String>, request: Request) -> Response<Body> {
    let ask = Ask::of(&request);
    let answer = async {
        let interval = ask.interval()?;
        let name = host.clone();
        let found =
            shared.work.run(None, move |reader, _| Ok(activity::host(reader, &name, interval)?)).await?;
        ok(&json!({
            "host": host,
            "from": text::utc_ms(interval.from_ms),
            "to": text::utc_ms(interval.to_ms),
            "span_s": interval.seconds(),
            "measurements": found,
        }))
    };
    respond(answer.await)
}
