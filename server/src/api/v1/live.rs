//! `GET live`: news as they come, as server-sent events: `window` (one of a host was stored), `alert` (one changed).
//!
//! With `Last-Event-ID` it begins where the client was; where that is not kept any more, with the event `reset`. A client that
//! reads too slowly is dropped: it comes back with its last id. A comment every 15 s shows that the server is there. A stream ends
//! after five minutes, and no later than the session or token that asked for it: who comes back is looked at again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::{Instant, Interval};

use super::Shared;
use super::ask::{Ask, wrong};
use crate::access::{Role, now};
use crate::api::identity::Identity;
use crate::api::problem::{Problem, respond};
use crate::api::routes::{Need, Routes};
use crate::live::News;

/// Clients that watch at the same time.
pub(super) const MAX_WATCHERS: usize = 128;
/// Time between two comments, while there is nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Longest life of a stream.
const LIFE: Duration = Duration::from_mins(5);
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
    end: Instant,
    _place: OwnedSemaphorePermit,
}

async fn watch(
    State(shared): State<Shared>,
    Extension(identity): Extension<Identity>,
    request: Request,
) -> Response<Body> {
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
    let (kept, news) = shared.health.feed().watch(last);
    let reset = kept.is_none();
    let mut first = kept.unwrap_or_default();
    first.reverse();
    let end = Instant::now() + life(identity.by.expires_at(), now());
    let watcher = Watcher { first, reset, news, beat: tokio::time::interval(HEARTBEAT), end, _place: place };
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
    /// The next event, or a comment; `None`: the client was too slow, its time is over, or the server ends.
    async fn next(&mut self) -> Option<Arc<str>> {
        if std::mem::take(&mut self.reset) {
            return Some(RESET.into());
        }
        if Instant::now() >= self.end {
            return None;
        }
        if let Some(news) = self.first.pop() {
            return Some(news.event);
        }
        tokio::select! {
            () = tokio::time::sleep_until(self.end) => None,
            news = self.news.recv() => Some(news.ok()?.event),
            _ = self.beat.tick() => Some(":\n\n".into()),
        }
    }
}

/// How long a stream may live that is asked for by who stops being somebody at this time, Unix seconds.
fn life(expires_at: Option<i64>, now: i64) -> Duration {
    let rest = expires_at.map(|at| u64::try_from(at.saturating_sub(now)).unwrap_or_default());
    rest.map_or(LIFE, |seconds| LIFE.min(Duration::from_secs(seconds)))
}

/// The header that browsers send when they come back, or the parameter `after` for who cannot set one.
fn last_id(request: &Request) -> Result<Option<u64>, Problem> {
    let ask = Ask::of(request);
    let header = request.headers().get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    let Some(text) = header.or_else(|| ask.get("after")) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| wrong("Last-Event-ID", text, "the id of an event"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Feed;

    #[test]
    fn a_stream_lives_no_longer_than_who_asked_for_it() {
        assert_eq!(life(None, 100), LIFE);
        assert_eq!(life(Some(130), 100), Duration::from_secs(30));
        assert_eq!(life(Some(100_000), 100), LIFE);
        assert_eq!(life(Some(50), 100), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_stream_whose_time_is_over_ends() {
        let place = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut watcher = Watcher {
            first: Vec::new(),
            reset: true,
            news: Feed::default().watch(None).1,
            beat: tokio::time::interval(HEARTBEAT),
            end: Instant::now() + Duration::from_millis(50),
            _place: place,
        };
        assert_eq!(watcher.next().await.as_deref(), Some(RESET));
        let mut seen = 0;
        while watcher.next().await.is_some() {
            seen += 1;
        }
        assert!(seen <= 2, "comments alone, and an end: {seen}");
    }
}
