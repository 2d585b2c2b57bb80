//! `alerts/acknowledge`, `silences`: what people say of alerts.

use std::sync::{Arc, PoisonError};

use agent_common::wire::silence::{MAX_SILENCE_S, Match};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::accounts::done;
use super::ask::Ask;
use super::{Shared, body};
use crate::access::{Access, AccessError, Role, now};
use crate::api::identity::Identity;
use crate::api::problem::{Problem, nothing, respond, uncached};
use crate::api::routes::{Need, Routes};

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    const CHANGE: Need = Need::Change(Role::Operator);
    const ALERT: &str = "/api/s7mpa/v1/alerts/acknowledge";
    routes
        .at(&[Method::POST], ALERT, CHANGE, acknowledge)
        .at(&[Method::DELETE], ALERT, CHANGE, unacknowledge)
        .at(&[Method::GET], "/api/s7mpa/v1/silences", Need::Read(Role::Viewer), list)
        .at(&[Method::POST], "/api/s7mpa/v1/silences", CHANGE, silence)
        .at(&[Method::DELETE], "/api/s7mpa/v1/silences/{id}", CHANGE, end)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    host: String,
    id: String,
    #[serde(default)]
    note: String,
}

async fn acknowledge(
    State(shared): State<Shared>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response<Body> {
    let answer = async {
        let Known { host, id, note } = body::read(request).await?;
        done(&shared, move |access| access.acknowledge(&host, &id, &identity.name, &note, now())).await?;
        Ok(nothing())
    };
    respond(answer.await)
}

async fn unacknowledge(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let ask = Ask::of(&request);
    let answer = async {
        let (host, id) =
            (ask.get("host").unwrap_or_default().to_owned(), ask.get("id").unwrap_or_default().to_owned());
        if done(&shared, move |access| access.unacknowledge(&host, &id)).await? {
            Ok(nothing())
        } else {
            Err(Problem::new(StatusCode::NOT_FOUND, "nobody has acknowledged this alert of this host"))
        }
    };
    respond(answer.await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    #[serde(rename = "match")]
    which: Match,
    duration_s: u64,
    #[serde(default)]
    note: String,
}

async fn silence(
    State(shared): State<Shared>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response<Body> {
    let answer = async {
        let New { which, duration_s, note } = body::read(request).await?;
        let wrong = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
        if which.is_empty() {
            return Err(wrong(
                "match: say a host, a class or a name: all alerts cannot be silenced".to_owned(),
            ));
        }
        let most = MAX_SILENCE_S.unsigned_abs();
        if !(1..=most).contains(&duration_s) {
            return Err(wrong(format!("duration_s: it is not between 1 and {most}")));
        }
        let id = changed(&shared, move |access| {
            access.silence(&which, now() + duration_s as i64, &identity.name, &note, now())
        })
        .await?;
        uncached(&json!({ "id": id }))
    };
    respond(answer.await)
}

async fn list(State(shared): State<Shared>) -> Response<Body> {
    let all = done(&shared, |access| access.silences(now())).await;
    respond(all.and_then(|silences| uncached(&json!({ "silences": silences }))))
}

async fn end(State(shared): State<Shared>, Path(id): Path<String>) -> Response<Body> {
    let answer = async {
        let none = || Problem::new(StatusCode::NOT_FOUND, "there is no such silence");
        let id: i64 = id.parse().map_err(|_| none())?;
        if changed(&shared, move |access| access.end_silence(id)).await? {
            Ok(nothing())
        } else {
            Err(none())
        }
    };
    respond(answer.await)
}

/// Changes the silences, and says which there are then. One change at a time: the later one must not be forgotten.
async fn changed<T: Send + 'static>(
    shared: &Shared,
    change: impl FnOnce(&Access) -> Result<T, AccessError> + Send + 'static,
) -> Result<T, Problem> {
    let (silences, lock) = (shared.health.silences().clone(), Arc::clone(&shared.silencing));
    done(shared, move |access| {
        let _one = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let done = change(access)?;
        silences.set(access.silences(now())?);
        Ok(done)
    })
    .await
}
