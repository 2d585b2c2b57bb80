//! `GET live`: news as they come, as server-sent events: `window` (one of a host was stored), `alert` (one changed).
//!
//! With `Last-Event-ID` it begins where the client was; where that is not kept any more, with the event `reset`. A client that
//! reads too slowly is dropped: it comes back with its last id. A comment every 15 s shows that the server is there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::Interval;

use super::Shared;
use super::ask::{Ask, wrong};
use crate::access::Role;
use crate::api::problem::{Problem, respond};
use crate::api::routes::{Need, Routes};
use crate::live::News;

/// Clients that watch at the same time.
pub(super) const MAX_WATCHERS: usize = 128;
/// Time between two comments, while there is nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(15);
const RESET: &str = "event: reset\ndata: {}\n\n";

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes.at(&[Method::GET], "/api/s7mpa/v1/live", Need::Read(Role::Viewer), watch)
}

/// What a client has not been sent yet.
struct Watcher {
    first: Vec<News>,
    reset: bool,
    news: broadcast::Receiver<News>,
    beat: Interval,
    _place: OwnedSemaphorePermit,
}

async fn watch(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let last = match last_id(&request) {
        Ok(last) => last,
        Err(problem) => return respond(Err(problem)),
    };
    let Ok(place) = Arc::clone(&shared.watchers).try_acquire_owned() else {
        let detail = format!("{MAX_WATCHERS} clients watch already");
        return respond(Err(Problem {
            retry_after_s: Some(10),
            ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }));
    };
    let (kept, news) = shared.feed.watch(last);
    let reset = kept.is_none();
    let mut first = kept.unwrap_or_default();
    first.reverse();
    let watcher = Watcher { first, reset, news, beat: tokio::time::interval(HEARTBEAT), _place: place };
    let stream = stream::unfold(watcher, |mut watcher| async move {
        let text = watcher.next().await?;
        Some((Ok::<_, Infallible>(Bytes::copy_from_slice(text.as_bytes())), watcher))
    });
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies such as nginx would keep the events until they are many.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl Watcher {
    /// The next event, or a comment; `None`: the client was too slow, or the server ends.
    async fn next(&mut self) -> Option<Arc<str>> {
        if std::mem::take(&mut self.reset) {
            return Some(RESET.into());
        }
        if let Some(news) = self.first.pop() {
            return Some(news.event);
        }
        tokio::select! {
            news = self.news.recv() => Some(news.ok()?.event),
            _ = self.beat.tick() => Some(":\n\n".into()),
        }
    }
}

/// The header that browsers send when they come back, or the parameter `after` for who cannot set one.
fn last_id(request: &Request) -> Result<Option<u64>, Problem> {
    let ask = Ask::of(request);
    let header = request.headers().get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    let Some(text) = header.or_else(|| ask.get("after")) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| wrong("Last-Event-ID", text, "the id of an event"))
}
