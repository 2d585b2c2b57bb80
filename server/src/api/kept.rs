//! Answers that many ask for at once: each is made and packed once for all who ask the same between two windows.
//!
//! With each window every page asks the same questions. Fifty viewers cost one answer, and fifty copies of its bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use tokio::sync::OnceCell;

use super::packed;
use super::problem::{Problem, respond};
use crate::live::Feed;

/// How long an answer is given again while no window comes: it says how old the newest one is.
const LIFE: Duration = Duration::from_secs(1);
/// Most answers that are kept, and their bytes.
const MAX_ANSWERS: usize = 256;
const MAX_BYTES: usize = 16 << 20;

/// The answers of now.
#[derive(Debug)]
pub(super) struct Kept {
    feed: Feed,
    answers: Mutex<HashMap<String, Arc<Entry>>>,
}

/// One answer, or the place where it will be.
#[derive(Debug)]
struct Entry {
    /// The newest window of what it is about.
    newest: u64,
    begun: Instant,
    answer: OnceCell<Whole>,
}

/// What is sent.
#[derive(Debug)]
struct Whole {
    kind: HeaderValue,
    tag: HeaderValue,
    body: Bytes,
    gzip: Option<Bytes>,
}

impl Kept {
    pub(super) fn new(feed: Feed) -> Self {
        Self { feed, answers: Mutex::default() }
    }

    /// The entry for a request at this moment: one that others began, or a new one.
    fn entry(&self, request: &Request, now: Instant) -> Arc<Entry> {
        let uri = request.uri();
        let newest = self.feed.newest(host(uri.path(), uri.query().unwrap_or_default()).as_deref());
        let key = uri.path_and_query().map_or_else(String::new, |all| all.as_str().to_owned());
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_young = |entry: &Entry| now.saturating_duration_since(entry.begun) < LIFE;
        if let Some(entry) = answers.get(&key).filter(|entry| entry.newest == newest && is_young(entry)) {
            return Arc::clone(entry);
        }
        answers.remove(&key);
        let bytes = |entry: &Entry| {
            entry.answer.get().map_or(0, |whole| whole.body.len() + whole.gzip.as_ref().map_or(0, Bytes::len))
        };
        let all: usize = answers.values().map(|entry| bytes(entry)).sum();
        if answers.len() >= MAX_ANSWERS || all > MAX_BYTES {
            answers.retain(|_, entry| is_young(entry));
        }
        if answers.len() >= MAX_ANSWERS || all > MAX_BYTES {
            answers.clear();
        }
        let entry = Arc::new(Entry { newest, begun: now, answer: OnceCell::new() });
        answers.insert(key, Arc::clone(&entry));
        entry
    }
}

/// The host that a request is about; none: all of them.
fn host(path: &str, query: &str) -> Option<String> {
    let of_path = path.split_once("/hosts/").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    let decoded = |text: &str| {
        form_urlencoded::parse(text.replace('+', "%2B").as_bytes()).next().map(|(name, _)| name.into_owned())
    };
    match of_path {
        Some(text) => decoded(text),
        None => form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "host")
            .map(|(_, host)| host.into_owned()),
    }
}

/// Answers from what is kept; who asks first makes it. Errors are not kept.
pub(super) async fn answer(State(kept): State<Arc<Kept>>, request: Request, next: Next) -> Response {
    let entry = kept.entry(&request, Instant::now());
    let asked = request.headers().clone();
    let made = entry.answer.get_or_try_init(|| whole(request, next)).await;
    match made {
        Ok(whole) => whole.response(&asked),
        Err(response) => *response,
    }
}

async fn whole(request: Request, next: Next) -> Result<Whole, Box<Response>> {
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return Err(Box::new(response));
    }
    let (parts, body) = response.into_parts();
    let broken = |why: String| Box::new(respond(Err(Problem::broken(&std::io::Error::other(why)))));
    let body = body.collect().await.map_err(|error| broken(error.to_string()))?.to_bytes();
    let kind =
        parts.headers.get(CONTENT_TYPE).cloned().unwrap_or(HeaderValue::from_static("application/json"));
    let packed = tokio::task::spawn_blocking(move || (packed::tag(&body), packed::gzip(&body), body)).await;
    let (tag, gzip, body) = packed.map_err(|error| broken(error.to_string()))?;
    let tag = HeaderValue::from_str(&tag).map_err(|error| broken(error.to_string()))?;
    Ok(Whole { kind, tag, body, gzip })
}

impl Whole {
    fn response(&self, asked: &axum::http::HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding, Authorization, Cookie"));
        headers.insert(ETAG, self.tag.clone());
        if packed::listed(asked, &IF_NONE_MATCH)
            .any(|known| known == "*" || known.as_bytes() == self.tag.as_bytes())
        {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, self.kind.clone());
        let packed = self.gzip.as_ref().filter(|_| packed::takes_gzip(asked));
        if packed.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        *response.body_mut() = Body::from(packed.unwrap_or(&self.body).clone());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> Request {
        Request::builder().uri(uri).body(Body::empty()).unwrap()
    }

    #[test]
    fn the_host_is_in_the_path_or_in_the_query() {
        assert_eq!(host("/api/s7mpa/v1/hosts/a%20b/now", "").as_deref(), Some("a b"));
        assert_eq!(host("/api/s7mpa/v1/hosts/a+b", "host=c").as_deref(), Some("a+b"));
        assert_eq!(host("/api/s7mpa/v1/waits", "from=-1m&host=c").as_deref(), Some("c"));
        assert_eq!(host("/api/s7mpa/v1/hosts", ""), None);
    }

    #[test]
    fn an_answer_is_given_again_until_a_window_comes_or_a_second_is_over() {
        let feed = Feed::default();
        let kept = Kept::new(feed.clone());
        let now = Instant::now();
        let first = kept.entry(&request("/api/s7mpa/v1/hosts/a/now?x=1"), now);
        let again = |now| Arc::ptr_eq(&first, &kept.entry(&request("/api/s7mpa/v1/hosts/a/now?x=1"), now));
        assert!(again(now));
        assert!(!Arc::ptr_eq(&first, &kept.entry(&request("/api/s7mpa/v1/hosts/a/now?x=2"), now)));
        feed.heard("b");
        assert!(again(now), "another host's window");
        assert!(!again(now + LIFE), "too old");
        let first = kept.entry(&request("/api/s7mpa/v1/hosts/a/now?x=1"), now + LIFE);
        feed.heard("a");
        assert!(!Arc::ptr_eq(&first, &kept.entry(&request("/api/s7mpa/v1/hosts/a/now?x=1"), now + LIFE)));
    }

    #[test]
    fn there_are_only_so_many() {
        let kept = Kept::new(Feed::default());
        let now = Instant::now();
        for nth in 0..3 * MAX_ANSWERS {
            kept.entry(&request(&format!("/api/s7mpa/v1/hosts?x={nth}")), now);
        }
        assert!(kept.answers.lock().unwrap().len() <= MAX_ANSWERS);
    }
}
