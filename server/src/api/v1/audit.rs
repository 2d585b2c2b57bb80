//! `GET audit`: who did what.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode};
use serde_json::json;

use super::Shared;
use super::login::blocking;
use crate::access::Role;
use crate::api::problem::{Problem, respond, uncached};
use crate::api::routes::{Need, Routes};

/// Entries of an answer, unless it asks for fewer.
const MAX_ENTRIES: usize = 1_000;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes.at(&[Method::GET], "/api/s7mpa/v1/audit", Need::Read(Role::Admin), newest)
}

async fn newest(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let most = limit(request.uri().query().unwrap_or_default());
    let answer = async {
        let most = most?;
        let access = Arc::clone(shared.guard.access());
        let entries = blocking(move || access.audit_log(most)).await?;
        uncached(&json!({ "entries": entries }))
    };
    respond(answer.await)
}

fn limit(query: &str) -> Result<usize, Problem> {
    let found = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "limit");
    let Some((_, text)) = found else { return Ok(MAX_ENTRIES) };
    let number = text.parse::<usize>().ok().filter(|number| (1..=MAX_ENTRIES).contains(number));
    let wrong = || format!("limit: `{text}` is not a whole number between 1 and {MAX_ENTRIES}");
    number.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, wrong()))
}
