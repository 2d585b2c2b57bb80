//! `POST login`, `POST logout`, `GET session`: how a browser becomes somebody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Shared, body};
use crate::access::{AccessError, Entry, Limits, Outcome, Role, SESSION_LIFE, now};
use crate::api::guard::{Sender, audit, session_of};
use crate::api::identity::{By, Identity};
use crate::api::problem::{Answer, Problem, nothing, respond, uncached};
use crate::api::routes::{Need, Routes};

/// Passwords that are hashed at the same time: each takes 19 MiB and a core for some 20 ms.
const MAX_HASHES: usize = 2;
/// Logins that wait for it. More are sent away.
const MAX_WAITING: usize = 32;
/// What was asked, if there is nothing to name.
const BY_LINK: &str = "agent open";

/// What keeps logins from taking memory and time.
#[derive(Debug)]
pub(super) struct Door {
    limits: Limits,
    waiting: Semaphore,
    hashing: Arc<Semaphore>,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            waiting: Semaphore::new(MAX_WAITING),
            hashing: Arc::new(Semaphore::new(MAX_HASHES)),
        }
    }
}

impl Door {
    /// A place to hash a password in.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let busy = || {
            later(StatusCode::SERVICE_UNAVAILABLE, "too many logins at the same time", Duration::from_secs(1))
        };
        let _waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        Arc::clone(&self.hashing).acquire_owned().await.map_err(|_| busy())
    }
}

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes
        .at(&[Method::POST], "/api/s7mpa/v1/login", Need::Nothing, login)
        .at(&[Method::POST], "/api/s7mpa/v1/logout", Need::Change(Role::Viewer), logout)
        .at(&[Method::GET], "/api/s7mpa/v1/session", Need::Read(Role::Viewer), session)
}

/// By name and password, or by the secret of a one-use link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum Login {
    Account { user: String, password: String },
    Link { link: String },
}

async fn login(
    State(shared): State<Shared>,
    Extension(from): Extension<Sender>,
    request: Request,
) -> Response<Body> {
    respond(try_login(&shared, from, request).await)
}

async fn try_login(shared: &Shared, from: Sender, request: Request) -> Answer {
    // What may come thousands of times a second is not written down.
    let (who, begun, is_news) = match body::read(request).await? {
        Login::Account { user, password } => {
            let begun = by_password(shared, from, &user, password).await;
            // Sent away before anything was looked at.
            let is_news = !begun.as_ref().is_err_and(|problem| problem.retry_after_s.is_some());
            (user, begun, is_news)
        }
        Login::Link { link } => {
            // No limit to tries: nobody guesses 256 bits, and nobody shall be able to lock others out.
            let begun = by_link(shared, from, link).await;
            let may_be_told = || shared.login.limits.guess(BY_LINK, from.address, Instant::now()).is_ok();
            let is_news = begun.is_ok() || may_be_told();
            (BY_LINK.to_owned(), begun, is_news)
        }
    };
    let outcome = if begun.is_ok() { Outcome::Done } else { Outcome::Failed };
    if is_news {
        let what = "login".to_owned();
        let entry = Entry { at: now(), who: who.clone(), what, outcome, address: from.address.to_string() };
        audit(shared.guard.access(), entry).await;
    }
    let (secret, role) = begun?;
    let mut response = uncached(&json!({
        "name": who,
        "role": role,
        "expires_at": now() + SESSION_LIFE.as_secs() as i64,
    }))?;
    set_cookie(&mut response, shared, from, &secret, SESSION_LIFE.as_secs());
    Ok(response)
}

async fn by_password(
    shared: &Shared,
    from: Sender,
    user: &str,
    password: String,
) -> Result<(String, Role), Problem> {
    let door = &shared.login;
    door.limits.guess(user, from.address, Instant::now()).map_err(|wait| {
        later(StatusCode::TOO_MANY_REQUESTS, "too many guesses at this account from your network", wait)
    })?;
    let place = door.place().await?;
    let (access, name) = (Arc::clone(shared.guard.access()), user.to_owned());
    let begun = blocking(move || {
        let _place = place;
        if !access.password_is(&name, &password)? {
            return Ok(None);
        }
        let role = access.accounts()?.into_iter().find(|account| account.name == name).map(|one| one.role);
        let secret = access.begin_session(&name, from.address, now())?;
        Ok(role.map(|role| (secret, role)))
    })
    .await?;
    // The same words for a wrong name and a wrong password.
    let begun = begun.ok_or_else(|| {
        Problem::new(StatusCode::UNAUTHORIZED, "there is no such account with this password")
    })?;
    door.limits.was_right(user, from.address);
    Ok(begun)
}

async fn by_link(shared: &Shared, from: Sender, link: String) -> Result<(String, Role), Problem> {
    let access = Arc::clone(shared.guard.access());
    let begun = blocking(move || access.use_link(&link, from.address, now())).await?;
    let what =
        "this link was used already, or is older than five minutes: make another one with `agent open`";
    begun.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, what))
}

async fn logout(
    State(shared): State<Shared>,
    Extension(from): Extension<Sender>,
    Extension(identity): Extension<Identity>,
) -> Response<Body> {
    let answer = async {
        if let Some(id) = session_of(&identity) {
            let access = Arc::clone(shared.guard.access());
            blocking(move || access.end_session(id)).await?;
        }
        let mut response = nothing();
        set_cookie(&mut response, &shared, from, "", 0);
        Ok(response)
    };
    respond(answer.await)
}

async fn session(Extension(identity): Extension<Identity>) -> Response<Body> {
    let by = match &identity.by {
        By::Owner => "owner",
        By::Token(_) => "token",
        By::Session(_) => "session",
    };
    let expires_at = identity.by.expires_at();
    respond(uncached(
        &json!({ "name": identity.name, "role": identity.role, "by": by, "expires_at": expires_at }),
    ))
}

/// Scripts do not see it, other sites' pages do not have it sent.
fn set_cookie(response: &mut Response<Body>, shared: &Shared, from: Sender, secret: &str, life_s: u64) {
    let name = shared.guard.cookie(from.secure);
    let secure = if from.secure { "; Secure" } else { "" };
    let cookie = format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life_s}{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

fn later(status: StatusCode, what: &str, wait: Duration) -> Problem {
    let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
    let detail = format!("{what}: try again in {seconds} s");
    Problem { retry_after_s: Some(seconds), ..Problem::new(status, detail) }
}

/// Does something with the database on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AccessError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| Problem::broken(&error)),
        Err(error) => Err(Problem::broken(&error)),
    }
}
