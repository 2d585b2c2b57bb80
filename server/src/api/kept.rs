//! Answers that many ask for at once: each is made and packed once for all who ask the same between two windows.
//!
//! With each window every page asks the same questions. Fifty viewers cost one answer, and fifty copies of its bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use tokio::sync::OnceCell;

use super::packed;
use super::prometheus::Params;
use crate::live::Feed;

/// How long an answer is given again while no window comes: it says how old the newest one is.
const LIFE: Duration = Duration::from_secs(1);
/// Most answers that are kept, the bytes of all, and of one: two thousand processes have 1.4 MB and some as gzip.
const MAX_ANSWERS: usize = 256;
const MAX_BYTES: usize = 16 << 20;
const MAX_ANSWER_BYTES: usize = 4 << 20;

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
    answer: OnceCell<Result<Whole, Refused>>,
}

/// What is sent.
#[derive(Debug)]
struct Whole {
    kind: HeaderValue,
    tag: HeaderValue,
    body: Bytes,
    gzip: Option<Bytes>,
}

/// Why there is no answer: those who waited for it are told, and who asks next tries again.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Kept {
    pub(super) fn new(feed: Feed) -> Self {
        Self { feed, answers: Mutex::default() }
    }

    /// The entry for a request at this moment: one that others began, or a new one.
    fn entry(&self, request: &Request, now: Instant) -> Arc<Entry> {
        let uri = request.uri();
        let newest = self.feed.newest(host(request).as_deref());
        let key = uri.path_and_query().map_or_else(String::new, |all| all.as_str().to_owned());
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_young = |entry: &Entry| now.saturating_duration_since(entry.begun) < LIFE;
        if let Some(entry) = answers.get(&key).filter(|entry| entry.newest == newest && is_young(entry)) {
            return Arc::clone(entry);
        }
        answers.remove(&key);
        if answers.len() >= MAX_ANSWERS {
            answers.retain(|_, entry| is_young(entry));
        }
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        let entry = Arc::new(Entry { newest, begun: now, answer: OnceCell::new() });
        answers.insert(key, Arc::clone(&entry));
        entry
    }

    /// An answer is there: a failure is not kept, nor one beside which there is no room for others.
    fn made(&self, entry: &Arc<Entry>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let size =
            |entry: &Entry| entry.answer.get().map_or(0, |answer| answer.as_ref().map_or(0, Whole::bytes));
        let own = size(entry);
        if own == 0 || own > MAX_ANSWER_BYTES {
            answers.retain(|_, other| !Arc::ptr_eq(entry, other));
        } else if answers.values().map(|entry| size(entry)).sum::<usize>() > MAX_BYTES {
            answers.retain(|_, other| Arc::ptr_eq(entry, other));
        }
    }

    /// What nobody asks for any more goes.
    fn forget(&self, now: Instant) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|_, entry| now.saturating_duration_since(entry.begun) < LIFE);
        if answers.is_empty() {
            answers.shrink_to_fit();
        }
    }
}

/// The host that a request is about; none: all of them.
fn host(request: &Request) -> Option<String> {
    let of_path = request.uri().path().split_once("/hosts/");
    let Some(segment) = of_path.map(|(_, rest)| rest.split('/').next().unwrap_or_default()) else {
        return Params::of_query(request).get("host").map(str::to_owned);
    };
    // What a form would take for more than a name.
    let escaped = segment.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(escaped.as_bytes()).next().map(|(name, _)| name.into_owned())
}

/// Answers from what is kept; who asks first makes it.
pub(super) async fn answer(State(kept): State<Arc<Kept>>, request: Request, next: Next) -> Response {
    let entry = kept.entry(&request, Instant::now());
    let asked = request.headers().clone();
    let mut own = false;
    let made = entry.answer.get_or_init(|| {
        own = true;
        whole(request, next)
    });
    let made = made.await;
    if own {
        kept.made(&entry);
        let later = Arc::clone(&kept);
        tokio::spawn(async move {
            tokio::time::sleep(LIFE).await;
            later.forget(Instant::now());
        });
    }
    match made {
        Ok(whole) => whole.response(&asked),
        Err(refused) => {
            let mut response = Response::new(Body::from(refused.body.clone()));
            *response.status_mut() = refused.status;
            *response.headers_mut() = refused.headers.clone();
            response
        }
    }
}

async fn whole(request: Request, next: Next) -> Result<Whole, Refused> {
    let (parts, body) = next.run(request).await.into_parts();
    // It is in memory already: reading it cannot fail.
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if parts.status != StatusCode::OK {
        return Err(Refused { status: parts.status, headers: parts.headers, body });
    }
    let json = HeaderValue::from_static("application/json");
    let kind = parts.headers.get(CONTENT_TYPE).cloned().unwrap_or(json);
    let work = move || (packed::tag(&body), packed::gzip(&body), body);
    let broken = |_| Refused {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    let (tag, gzip, body) = tokio::task::spawn_blocking(work).await.map_err(broken)?;
    let tag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("W/\"\""));
    Ok(Whole { kind, tag, body, gzip })
}

impl Whole {
    fn bytes(&self) -> usize {
        self.body.len() + self.gzip.as_ref().map_or(0, Bytes::len)
    }

    fn response(&self, asked: &HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, packed::ASK_AGAIN);
        headers.insert(VARY, packed::DEPENDS_ON);
        headers.insert(ETAG, self.tag.clone());
        if self.tag.to_str().is_ok_and(|tag| packed::is_known(asked, tag)) {
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
        let host = |uri: &str| host(&request(uri));
        assert_eq!(host("/api/s7mpa/v1/hosts/a%20b/now").as_deref(), Some("a b"));
        assert_eq!(host("/api/s7mpa/v1/hosts/a+b=c&d?host=c").as_deref(), Some("a+b=c&d"));
        assert_eq!(host("/api/s7mpa/v1/waits?from=-1m&host=c").as_deref(), Some("c"));
        assert_eq!(host("/api/s7mpa/v1/waits?host="), None);
        assert_eq!(host("/api/s7mpa/v1/hosts"), None);
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
