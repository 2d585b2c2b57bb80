//! Where programs push: InfluxDB's line protocol, version 1 and 2, and Prometheus's remote write 1.0.
//!
//! Who may push has a token of the role `writer` (or `operator`): Telegraf needs to see nothing.

mod body;
mod influx;
mod remote;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, Method, Response, StatusCode};

use self::body::{Room, Taken};
pub(super) use self::influx::refusal as influx_refusal;
use super::metrics::Health;
use super::routes::{Need, Routes};
use crate::clock::now_ms;
use crate::push::{Parsed, PushError, Pusher, Times};

/// What the handlers share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    health: Health,
    room: Arc<Room>,
}

impl Shared {
    pub(super) fn new(health: Health) -> Self {
        Self { health, room: Arc::default() }
    }
}

/// Where pushed samples go, once the store is open. Clones show the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Place(Arc<Mutex<Option<Pusher>>>);

impl Place {
    pub(super) fn set(&self, pusher: Pusher) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pusher);
    }

    pub(super) fn get(&self) -> Option<Pusher> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// InfluxDB 1.
pub(super) fn influx1(routes: Routes<Shared>) -> Routes<Shared> {
    const ASK: &[Method] = &[Method::GET, Method::POST];
    routes
        .at(&[Method::POST], "/write", Need::Write, influx::write1)
        .at(ASK, "/query", Need::Write, influx::query)
        // As there, without a login: clients look whether somebody is there.
        .at(&[Method::GET], "/ping", Need::Nothing, influx::ping)
}

/// InfluxDB 2.
pub(super) fn influx2(routes: Routes<Shared>) -> Routes<Shared> {
    routes.at(&[Method::POST], "/api/v2/write", Need::Write, influx::write2)
}

/// Prometheus.
pub(super) fn prometheus(routes: Routes<Shared>) -> Routes<Shared> {
    routes.at(&[Method::POST], "/api/v1/write", Need::Write, remote::write)
}

/// Why nothing of a request was stored.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    what: String,
    retry_after: Option<Duration>,
    /// The first line that is wrong.
    line: Option<u32>,
}

impl Refused {
    fn new(status: StatusCode, what: impl Into<String>) -> Self {
        Self { status, what: what.into(), retry_after: None, line: None }
    }

    fn later(what: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, what) }
    }
}

impl From<PushError> for Refused {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Later { what, retry_after } => Self::later(what, retry_after),
            PushError::Unsupported(what) => Self::new(StatusCode::NOT_IMPLEMENTED, what),
        }
    }
}

impl Shared {
    /// Where samples go now, and the times that it takes.
    fn pusher(&self) -> Result<(Pusher, Times), Refused> {
        let soon = || Refused::later("the store is being opened", Duration::from_secs(5));
        let pusher = self.health.place().get().ok_or_else(soon)?;
        let times = Times::new(now_ms(), pusher.max_age());
        Ok((pusher, times))
    }

    /// Takes the body of a request, reads it, and stores what was read. The body keeps its room until its samples are stored.
    async fn write(
        &self,
        request: Request,
        compressed: bool,
        read: impl FnOnce(Taken, &Times) -> Result<(Taken, Parsed), Refused> + Send + 'static,
    ) -> Result<(), Refused> {
        let (pusher, times) = self.pusher()?;
        let body = self.room.take(request, compressed).await?;
        let read = tokio::task::spawn_blocking(move || read(body, &times)).await;
        let broken = |_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "reading the body panicked");
        let (_body, parsed) = read.map_err(broken)??;
        store(&pusher, parsed).await
    }
}

/// Stores what was read; an error of the store's, or of a part of the samples.
async fn store(pusher: &Pusher, parsed: Parsed) -> Result<(), Refused> {
    let report = pusher.push(parsed).await?;
    let Some(what) = report.message() else { return Ok(()) };
    let (status, retry_after) = match report.retry_after_s {
        Some(seconds) => (StatusCode::TOO_MANY_REQUESTS, Some(Duration::from_secs(seconds))),
        None => (StatusCode::BAD_REQUEST, None),
    };
    Err(Refused { status, what, retry_after, line: report.line })
}

/// A status, and when to ask again.
fn answer(status: StatusCode, retry_after: Option<Duration>, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    if let Some(after) = retry_after {
        let seconds = after.as_secs().max(1);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
