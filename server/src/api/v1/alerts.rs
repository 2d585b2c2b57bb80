//! `GET alerts`: what was wrong, with evidence and culprit, from open to resolved.

use std::sync::Arc;

use agent_common::wire::finding::{Alert, AlertState};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response};
use serde_json::{Value, json};

use super::Shared;
use super::ask::{Ask, ns, wrong};
use super::login::blocking;
use crate::access::{Acknowledgement, Role, now};
use crate::api::problem::{Problem, ok, respond};
use crate::api::prometheus::now_ms;
use crate::api::routes::{Need, Routes};

/// Alerts of an answer, unless it asks for another number.
const ALERTS: usize = 500;
/// Messages that are read for an answer: an alert that is open for long has many.
pub(super) const MAX_MESSAGES: usize = 50_000;
/// How far back, unless it is said, ms.
const LOOK_BACK_MS: i64 = 24 * 3_600_000;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes.at(&[Method::GET], "/api/s7mpa/v1/alerts", Need::Read(Role::Viewer), list)
}

/// The latest message of each alert between `from` and `to`, the newest first. `state`: `open` or `resolved` alone.
async fn list(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let ask = Ask::of(&request);
    let answer = async {
        let now = now_ms();
        let to = ask.time("to", now)?.unwrap_or(now.saturating_add(LOOK_BACK_MS));
        let from = ask.time("from", now)?.unwrap_or(now - LOOK_BACK_MS);
        let page = ask.page(ALERTS)?;
        let open = match ask.get("state") {
            None => None,
            Some("open") => Some(true),
            Some("resolved") => Some(false),
            Some(other) => return Err(wrong("state", other, "open or resolved")),
        };
        let host = ask.get("host").map(str::to_owned);
        let messages = shared
            .work
            .stored(move |reader| reader.alerts(host.as_deref(), ns(from), ns(to), MAX_MESSAGES))
            .await?;
        let cut = messages.len() == MAX_MESSAGES;
        let mut all: Vec<Alert> = latest(messages);
        all.retain(|alert| open.is_none_or(|open| open == (alert.state != AlertState::Resolved)));
        let total = all.len();
        let said = said(&shared, page.of(all)).await?;
        ok(&json!({ "total": total, "cut": cut, "alerts": said }))
    };
    respond(answer.await)
}

/// Alerts with what people said of them.
pub(super) async fn said(shared: &Shared, alerts: Vec<Alert>) -> Result<Vec<Value>, Problem> {
    if alerts.is_empty() {
        return Ok(Vec::new());
    }
    let access = Arc::clone(shared.guard.access());
    let asked: Vec<(String, String)> =
        alerts.iter().map(|alert| (alert.host.clone(), alert.id.clone())).collect();
    let known = blocking(move || access.acknowledged(&asked)).await?;
    let now = now();
    let one = |(alert, acknowledged): (Alert, Option<Acknowledgement>)| {
        let silenced = shared.health.silences().of(&alert, now);
        let mut value = serde_json::to_value(&alert).unwrap_or_default();
        if let Value::Object(fields) = &mut value {
            fields.insert("acknowledged".to_owned(), json!(acknowledged));
            fields.insert("silenced".to_owned(), json!(silenced));
        }
        value
    };
    Ok(alerts.into_iter().zip(known).map(one).collect())
}

/// The latest message of each alert, the newest first.
pub(super) fn latest(messages: Vec<Alert>) -> Vec<Alert> {
    let mut seen = std::collections::HashSet::new();
    let newest_first = messages.into_iter().rev();
    newest_first.filter(|alert| seen.insert((alert.host.clone(), alert.id.clone()))).collect()
}
