//! `GET sessions`, `DELETE sessions/{id}`: who is logged in, and an end to it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Method, Response, StatusCode};
use serde_json::json;

use super::Shared;
use super::login::blocking;
use crate::access::{Role, now};
use crate::api::problem::{Problem, nothing, respond, uncached};
use crate::api::routes::{Need, Routes};

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes.at(&[Method::GET], "/api/s7mpa/v1/sessions", Need::Read(Role::Admin), list).at(
        &[Method::DELETE],
        "/api/s7mpa/v1/sessions/{id}",
        Need::Change(Role::Admin),
        end,
    )
}

async fn list(State(shared): State<Shared>) -> Response<Body> {
    let access = Arc::clone(shared.guard.access());
    let all = blocking(move || access.sessions(now())).await;
    respond(all.and_then(|sessions| uncached(&json!({ "sessions": sessions }))))
}

async fn end(State(shared): State<Shared>, Path(id): Path<String>) -> Response<Body> {
    let answer = async {
        let none = || Problem::new(StatusCode::NOT_FOUND, "there is no such session");
        let id: i64 = id.parse().map_err(|_| none())?;
        let access = Arc::clone(shared.guard.access());
        if blocking(move || access.end_session(id)).await? { Ok(nothing()) } else { Err(none()) }
    };
    respond(answer.await)
}
