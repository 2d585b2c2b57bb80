//! `rules` and `alerts`.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_common::text;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use promql::{Alert, AlertState, Labels};
use serde_json::{Value, json};

use super::params::Params;
use super::{Answered, Failure, respond};
use crate::api::work::Work;
use crate::rules::{GroupStatus, RuleStatus};

/// All groups with their rules; `type=alert` or `type=record`: those of that kind; `exclude_alerts=true`: without alerts.
pub(super) async fn rules(State(work): State<Work>, request: Request) -> Response<Body> {
    let read = async {
        let params = Params::read(request).await?;
        let kind = match params.get("type") {
            None => None,
            Some("alert") => Some("alerting"),
            Some("record") => Some("recording"),
            Some(other) => return Err(Failure::parameter("type", format!("not supported value {other:?}"))),
        };
        Ok((kind, params.get("exclude_alerts") == Some("true")))
    };
    respond(read.await.map(|(kind, without)| {
        let groups: Vec<Value> = work.rules().iter().map(|status| group(status, kind, without)).collect();
        Answered::new(json!({ "groups": groups }).to_string())
    }))
}

/// The alerts that are pending or fire.
pub(super) async fn alerts(State(work): State<Work>) -> Response<Body> {
    let groups = work.rules();
    let rules = groups.iter().flat_map(|group| &group.rules);
    let all: Vec<Value> = rules.flat_map(active).map(alert).collect();
    respond(Ok(Answered::new(json!({ "alerts": all }).to_string())))
}

fn group(status: &GroupStatus, kind: Option<&str>, without: bool) -> Value {
    let rules = status.rules.iter().map(|status| rule(status, without));
    let rules: Vec<Value> = rules.filter(|rule| kind.is_none_or(|kind| rule["type"] == kind)).collect();
    json!({
        "name": status.name,
        "file": status.file,
        "interval": status.interval_ms as f64 / 1e3,
        "limit": status.limit,
        "evaluationTime": status.took.as_secs_f64(),
        "lastEvaluation": time(status.evaluated_ms),
        "rules": rules,
    })
}

fn rule(status: &RuleStatus, without: bool) -> Value {
    let health = match (&status.error, status.evaluated_ms) {
        (Some(_), _) => "err",
        (None, Some(_)) => "ok",
        (None, None) => "unknown",
    };
    let labels: BTreeMap<&str, &str> =
        status.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut rule = json!({
        "name": status.name,
        "query": status.query,
        "labels": labels,
        "health": health,
        "evaluationTime": status.took.as_secs_f64(),
        "lastEvaluation": time(status.evaluated_ms),
        "type": "recording",
    });
    if let Some(error) = &status.error {
        rule["lastError"] = json!(error);
    }
    if let Some(alerting) = &status.alerting {
        let texts: BTreeMap<&str, &str> =
            alerting.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let alerts: Vec<Value> = if without { Vec::new() } else { active(status).map(alert).collect() };
        let is = |state| active(status).any(|alert| alert.state == state);
        let state = match (is(AlertState::Firing), is(AlertState::Pending)) {
            (true, _) => "firing",
            (false, true) => "pending",
            (false, false) => "inactive",
        };
        rule["type"] = json!("alerting");
        rule["state"] = json!(state);
        rule["duration"] = json!(Duration::from_millis(alerting.for_ms.unsigned_abs()).as_secs_f64());
        rule["keepFiringFor"] =
            json!(Duration::from_millis(alerting.keep_firing_for_ms.unsigned_abs()).as_secs_f64());
        rule["annotations"] = json!(texts);
        rule["alerts"] = json!(alerts);
    }
    rule
}

fn active(status: &RuleStatus) -> impl Iterator<Item = &Alert> {
    let alerts = status.alerting.as_ref().map_or(&[][..], |alerting| alerting.alerts.as_slice());
    alerts.iter().filter(|alert| alert.state != AlertState::Resolved)
}

fn alert(alert: &Alert) -> Value {
    json!({
        "labels": texts(&alert.labels),
        "annotations": texts(&alert.annotations),
        "state": if alert.state == AlertState::Firing { "firing" } else { "pending" },
        "activeAt": time(Some(alert.active_at_ms)),
        "value": exponent(alert.value),
    })
}

fn texts(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// As Prometheus writes the value of an alert: `1.5e+00`.
fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return promql::plain(value);
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// RFC 3339; the year 1 where there was none, as Go has it.
fn time(ms: Option<i64>) -> String {
    match ms.and_then(|ms| u64::try_from(ms).ok()) {
        Some(ms) => text::utc(ms.saturating_mul(1_000_000)),
        None => "0001-01-01T00:00:00Z".to_owned(),
    }
}
