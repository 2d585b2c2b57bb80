//! `GET reports`: what reports said, the newest first. `GET hosts/{host}/report`: one as it came.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::Shared;
use super::ask::{Ask, ns, utc};
use crate::access::Role;
use crate::api::problem::{Answer, Problem, ok, respond};
use crate::api::prometheus::now_ms;
use crate::api::routes::{Need, Routes};
use crate::store::embedded::StoredReport;

/// Length of an interval that is not said, ms.
const DEFAULT_MS: i64 = 3_600_000;
/// Longest interval: all that is kept.
const MAX_MS: i64 = 92 * 24 * 3_600_000;
/// Reports of an answer, unless it asks for another number …
const REPORTS: usize = 100;
/// … and at most: each is unpacked, and has some 100 KB.
const MAX_REPORTS: usize = 500;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    const READ: Need = Need::Read(Role::Viewer);
    routes.at(&[Method::GET], "/api/s7mpa/v1/reports", READ, list).at(
        &[Method::GET],
        "/api/s7mpa/v1/hosts/{host}/report",
        READ,
        one,
    )
}

async fn list(State(shared): State<Shared>, request: Request) -> Response<Body> {
    respond(try_list(&shared, &Ask::of(&request)).await)
}

async fn try_list(shared: &Shared, ask: &Ask) -> Answer {
    let interval = ask.interval_of(DEFAULT_MS, MAX_MS)?;
    let page = ask.page(REPORTS)?;
    let wanted = page.offset.saturating_add(page.limit);
    if wanted > MAX_REPORTS {
        let detail = format!(
            "offset and limit: more than {MAX_REPORTS} reports are read at no time; ask for a shorter time"
        );
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    let host = ask.get("host").map(str::to_owned);
    let found = shared
        .work
        .stored(move |reader| {
            // One more says whether there are others.
            let all =
                reader.reports(host.as_deref(), ns(interval.from_ms), ns(interval.to_ms), wanted + 1)?;
            Ok(all.iter().rev().map(summary).collect::<Vec<_>>())
        })
        .await?;
    let more = found.len() > wanted;
    let reports = page.of(found.into_iter().take(wanted).collect());
    ok(&json!({
        "from": agent_common::text::utc_ms(interval.from_ms),
        "to": agent_common::text::utc_ms(interval.to_ms),
        "more": more,
        "reports": reports,
    }))
}

/// What of a report a list has.
pub(super) fn summary(report: &StoredReport) -> Value {
    let mut all: Value = serde_json::from_str(&report.json).unwrap_or_default();
    json!({
        "host": report.host,
        "at": utc(report.at),
        "verdict": all["verdict"].as_str().unwrap_or_default(),
        "of_alert": all["of_alert"].as_bool().unwrap_or_default(),
        "findings": match all["findings"].take() {
            found @ Value::Array(_) => found,
            _ => json!([]),
        },
    })
}

/// The newest report of a host, or that nearest to `at`.
async fn one(State(shared): State<Shared>, Path(host): Path<String>, request: Request) -> Response<Body> {
    let ask = Ask::of(&request);
    let answer = async {
        let at = ask.time("at", now_ms())?;
        let name = host.clone();
        let found = shared.work.stored(move |reader| match at {
            None => reader.report(&name),
            Some(ms) => reader.report_near(&name, ns(ms)),
        });
        let none = || Problem::new(StatusCode::NOT_FOUND, "no report of this host is kept");
        let report = found.await?.ok_or_else(none)?;
        let own: Value = serde_json::from_str(&report.json).unwrap_or_default();
        ok(&json!({ "host": host, "at": utc(report.at), "report": own }))
    };
    respond(answer.await)
}
