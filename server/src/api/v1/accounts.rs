//! `users`, `tokens`: who may use the server. The same as `agent user` and `agent token`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::{Shared, body};
use crate::access::{Access, AccessError, Entry, Outcome, Role, check_person, now};
use crate::api::guard::{Sender, audit};
use crate::api::identity::Identity;
use crate::api::problem::{Problem, nothing, respond, uncached};
use crate::api::routes::{Need, Routes};

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    const READ: Need = Need::Read(Role::Admin);
    const CHANGE: Need = Need::Change(Role::Admin);
    const USERS: &str = "/api/s7mpa/v1/users";
    const USER: &str = "/api/s7mpa/v1/users/{name}";
    const TOKENS: &str = "/api/s7mpa/v1/tokens";
    routes
        .at(&[Method::GET], USERS, READ, users)
        .at(&[Method::POST], USERS, CHANGE, add_user)
        .at(&[Method::PUT], USER, CHANGE, change_user)
        .at(&[Method::DELETE], USER, CHANGE, remove_user)
        .at(&[Method::GET], TOKENS, READ, tokens)
        .at(&[Method::POST], TOKENS, CHANGE, create_token)
        .at(&[Method::DELETE], "/api/s7mpa/v1/tokens/{name}", CHANGE, revoke_token)
}

async fn users(State(shared): State<Shared>) -> Response<Body> {
    let all = done(&shared, Access::accounts).await;
    respond(all.and_then(|users| uncached(&json!({ "users": users }))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
    password: String,
    role: Role,
}

async fn add_user(
    State(shared): State<Shared>,
    Extension(identity): Extension<Identity>,
    Extension(from): Extension<Sender>,
    request: Request,
) -> Response<Body> {
    let answer = async {
        let NewUser { name, password, role } = body::read(request).await?;
        // A password is hashed: it takes a core and 19 MiB.
        let place = shared.login.place().await?;
        let what = format!("user add {name} --role {role}");
        done(&shared, move |access| {
            let _place = place;
            access.add_account(&name, role, &password, now())
        })
        .await?;
        note(&shared, &identity, from, what).await;
        Ok(nothing())
    };
    respond(answer.await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherUser {
    password: Option<String>,
    role: Option<Role>,
}

async fn change_user(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let answer = async {
        let OtherUser { password, role } = body::read(request).await?;
        let place = if password.is_some() { Some(shared.login.place().await?) } else { None };
        done(&shared, move |access| {
            let _place = place;
            // What is refused changes nothing.
            role.map_or(Ok(()), check_person)?;
            if let Some(password) = password {
                access.set_password(&name, &password)?;
            }
            role.map_or(Ok(()), |role| access.set_role(&name, role))
        })
        .await?;
        Ok(nothing())
    };
    respond(answer.await)
}

async fn remove_user(State(shared): State<Shared>, Path(name): Path<String>) -> Response<Body> {
    respond(done(&shared, move |access| access.remove_account(&name)).await.map(|()| nothing()))
}

async fn tokens(State(shared): State<Shared>) -> Response<Body> {
    let all = done(&shared, Access::tokens).await;
    respond(all.and_then(|tokens| uncached(&json!({ "tokens": tokens }))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    name: String,
    role: Role,
    /// Unix seconds.
    expires_at: Option<i64>,
}

async fn create_token(
    State(shared): State<Shared>,
    Extension(identity): Extension<Identity>,
    Extension(from): Extension<Sender>,
    request: Request,
) -> Response<Body> {
    let answer = async {
        let NewToken { name, role, expires_at } = body::read(request).await?;
        let what = format!("token create --name {name} --role {role}");
        let token = done(&shared, move |access| access.create_token(&name, role, expires_at, now())).await?;
        note(&shared, &identity, from, what).await;
        uncached(&json!({ "token": token }))
    };
    respond(answer.await)
}

async fn revoke_token(State(shared): State<Shared>, Path(name): Path<String>) -> Response<Body> {
    respond(done(&shared, move |access| access.revoke_token(&name)).await.map(|()| nothing()))
}

/// Does something with the database; what is wrong with the request is said.
pub(super) async fn done<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(&Access) -> Result<T, AccessError> + Send + 'static,
) -> Result<T, Problem> {
    let access = Arc::clone(shared.guard.access());
    let done = tokio::task::spawn_blocking(move || work(&access)).await;
    done.map_err(|error| Problem::broken(&error))?.map_err(|error| {
        let status = match error {
            AccessError::Unknown { .. } => StatusCode::NOT_FOUND,
            AccessError::Taken { .. } | AccessError::TooMany { .. } => StatusCode::CONFLICT,
            AccessError::Name { .. } | AccessError::Password | AccessError::WriterIsNoPerson => {
                StatusCode::BAD_REQUEST
            }
            error => return Problem::broken(&error),
        };
        Problem::new(status, error.to_string())
    })
}

/// Of the request itself the log has the address alone: this says whom it made.
async fn note(shared: &Shared, identity: &Identity, from: Sender, what: String) {
    let (who, address) = (identity.name.clone(), from.address.to_string());
    audit(shared.guard.access(), Entry { at: now(), who, what, outcome: Outcome::Done, address }).await;
}
