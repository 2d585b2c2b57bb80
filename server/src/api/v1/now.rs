//! `GET hosts/{host}/now`: how a host is at a second, in one answer: what a page shows first.

use agent_common::text;
use agent_common::units::UnixNs;
use agent_common::wire::finding::AlertState;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, Response, StatusCode};
use promql::{NAME, Operator, ReadError, Reader, Span};
use serde_json::{Value, json};

use super::Shared;
use super::alerts;
use super::ask::{Ask, ns};
use super::reports::summary;
use crate::access::Role;
use crate::activity::{self, EVERY_WINDOW, Interval};
use crate::api::problem::{Answer, Problem, ok, respond};
use crate::api::prometheus::now_ms;
use crate::api::routes::{Need, Routes};

/// Length of the interval, unless it is said, ms.
const DEFAULT_MS: i64 = 10_000;
/// Longest interval, ms.
const MAX_MS: i64 = 3_600_000;
/// How far before the second its newest window may end, ms: an older one is not of that time.
const LOOK_BACK_MS: i64 = 60_000;
/// How far before it it mostly does.
const SECONDS_MS: i64 = 4_000;
/// How far before it its report may be, ms: there is one a minute.
const REPORT_MS: i64 = 90_000;
/// How far before it its open alerts changed last, ms.
const ALERTS_MS: i64 = 24 * 3_600_000;
/// Processes of an answer, unless it asks for another number.
const PROCESSES: usize = 20;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes.kept(&[Method::GET], "/api/s7mpa/v1/hosts/{host}/now", Need::Read(Role::Viewer), now)
}

async fn now(State(shared): State<Shared>, Path(host): Path<String>, request: Request) -> Response<Body> {
    respond(try_now(&shared, &host, &Ask::of(&request)).await)
}

async fn try_now(shared: &Shared, host: &str, ask: &Ask) -> Answer {
    let now = now_ms();
    let at = ask.time("at", now)?.unwrap_or(now);
    let length = ask.length("duration")?.unwrap_or(DEFAULT_MS).min(MAX_MS);
    let page = ask.page(PROCESSES)?;
    let name = host.to_owned();
    let found = shared
        .work
        .run(None, move |reader, _| {
            let Some(to_ms) = newest(reader, &name, at)? else { return Ok(None) };
            let interval = Interval { from_ms: to_ms.saturating_sub(length), to_ms };
            let of_host = activity::host(reader, &name, interval)?;
            Ok(Some((interval, of_host, activity::processes(reader, &name, None, interval)?)))
        })
        .await?;
    let none =
        || Problem::new(StatusCode::NOT_FOUND, "no window of this host ends in the minute before that");
    let (interval, measurements, processes) = found.ok_or_else(none)?;
    let name = host.to_owned();
    let (from, to) = (ns(at.saturating_sub(ALERTS_MS)), ns(at.saturating_add(1)));
    let of_report = ns(interval.to_ms - REPORT_MS);
    let (alerts, report) = shared
        .work
        .stored(move |reader| {
            let alerts = reader.alerts(Some(&name), from, to, alerts::MAX_MESSAGES)?;
            // Just beyond the window: a report is of the windows before it.
            let report =
                reader.reports(Some(&name), of_report, UnixNs(to.0.saturating_add(1_000_000_000)), 1)?;
            Ok((alerts, report.first().map_or(Value::Null, summary)))
        })
        .await?;
    let mut open = alerts::latest(alerts);
    open.retain(|alert| alert.state != AlertState::Resolved);
    let open = alerts::said(shared, open).await?;
    let total = processes.len();
    ok(&json!({
        "host": host,
        "from": text::utc_ms(interval.from_ms),
        "to": text::utc_ms(interval.to_ms),
        "span_s": interval.seconds(),
        "age_s": (now - interval.to_ms) as f64 / 1e3,
        "measurements": measurements,
        "total_processes": total,
        "processes": page.of(processes),
        "alerts": open,
        "report": report,
    }))
}

/// End of the newest window of a host that is not after this.
fn newest(reader: &dyn Reader, host: &str, at_ms: i64) -> Result<Option<i64>, ReadError> {
    let equal = |label, value| activity::matcher(label, Operator::Equal, value);
    let matchers = [equal(NAME, EVERY_WINDOW)?, equal("host", host)?];
    let mut newest = None;
    // There is one each second: a look at a minute is rarely needed.
    for back_ms in [SECONDS_MS, LOOK_BACK_MS] {
        let span = Span { from_ms: at_ms.saturating_sub(back_ms), to_ms: at_ms };
        for series in reader.select(&matchers, span)? {
            let last =
                series?.samples.iter().rfind(|sample| !promql::is_stale(sample.value)).map(|s| s.at_ms);
            newest = newest.max(last);
        }
        if newest.is_some() {
            break;
        }
    }
    Ok(newest)
}
