//! Answers in fewer bytes: `304` for what the client has already (`ETag`), gzip for what it takes that way.
//!
//! An answer that is [`kept`](super::kept) comes here packed already.

use std::io::Write as _;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};

use super::problem::{Problem, respond};
use crate::secret;

/// Smaller answers are sent as they are.
const LEAST_BYTES: usize = 1_024;
/// Larger ones are packed on a thread of their own: gzip takes a millisecond for some 100 KB.
const LARGE_BYTES: usize = 64 << 10;
/// Kinds of answers, and whether gzip makes them smaller.
const KINDS: [(&str, bool); 5] = [
    ("application/json", true),
    ("application/vnd.s7mpa.flamegraph", true),
    ("application/vnd.google.protobuf+gzip", false),
    ("image/svg+xml", true),
    ("text/plain; charset=utf-8", true),
];
/// Bytes of the digest that tell two answers apart.
const TAG_BYTES: usize = 12;
/// An answer is kept by the browser alone, and only used after asking …
pub(super) const ASK_AGAIN: HeaderValue = HeaderValue::from_static("private, no-cache");
/// … and another one for who asks otherwise.
pub(super) const DEPENDS_ON: HeaderValue = HeaderValue::from_static("Accept-Encoding, Authorization, Cookie");

/// Packs what a `GET` is answered with, if it is whole and of a kind that is packed. A stream of events stays one. What is not to
/// be kept anywhere is packed, and has no tag.
pub(super) async fn pack(request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let asked = request.headers().clone();
    let response = next.run(request).await;
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let known = KINDS.iter().find(|(known, _)| *known == kind).map(|(_, is_loose)| *is_loose);
    let is_packed = response.headers().contains_key(ETAG);
    let Some(is_loose) = known.filter(|_| is_get && !is_packed && response.status() == StatusCode::OK) else {
        return response;
    };
    let (mut parts, body) = response.into_parts();
    // It is in memory already: it has no end that could be late.
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Response::from_parts(parts, Body::empty());
    };
    let is_secret = parts.headers.get(CACHE_CONTROL).is_some_and(|value| value == "no-store");
    if !is_secret {
        parts.headers.insert(CACHE_CONTROL, ASK_AGAIN);
    }
    parts.headers.insert(VARY, DEPENDS_ON);
    let work = Work { has_tag: !is_secret, gzip: is_loose && takes_gzip(&asked), asked, body };
    // A large answer takes longer than the other connections of this thread should wait.
    let packed = if work.body.len() < LARGE_BYTES {
        work.done()
    } else {
        match tokio::task::spawn_blocking(|| work.done()).await {
            Ok(packed) => packed,
            Err(error) => return respond(Err(Problem::broken(&error))),
        }
    };
    if let Some(tag) = packed.tag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        parts.headers.insert(ETAG, tag);
    }
    if packed.is_known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    if packed.is_gzip {
        parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        parts.headers.remove(CONTENT_LENGTH);
    }
    Response::from_parts(parts, Body::from(packed.body))
}

/// What takes time.
struct Work {
    body: Bytes,
    asked: HeaderMap,
    has_tag: bool,
    gzip: bool,
}

/// What comes of it.
struct Packed {
    tag: Option<String>,
    /// The client has it.
    is_known: bool,
    is_gzip: bool,
    body: Bytes,
}

impl Work {
    fn done(self) -> Packed {
        let Self { body, asked, has_tag, gzip } = self;
        let tag = has_tag.then(|| tag(&body));
        let is_known = tag.as_ref().is_some_and(|tag| is_known(&asked, tag));
        if gzip
            && !is_known
            && let Some(packed) = self::gzip(&body)
        {
            return Packed { tag, is_known, is_gzip: true, body: packed };
        }
        Packed { tag, is_known, is_gzip: false, body }
    }
}

/// What tells this answer from another.
pub(super) fn tag(body: &[u8]) -> String {
    format!("W/\"{}\"", secret::hex(&Sha256::digest(body)[..TAG_BYTES]))
}

/// The answer in fewer bytes; `None`: it is too small for that.
pub(super) fn gzip(body: &[u8]) -> Option<Bytes> {
    if body.len() < LEAST_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Whether the client has the answer of this tag.
pub(super) fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    listed(asked, &IF_NONE_MATCH).any(|known| known == "*" || known == tag)
}

/// Elements of a header that is a list.
fn listed<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    listed(headers, &ACCEPT_ENCODING).any(|element| {
        let (name, weight) = element.split_once(';').unwrap_or((element, ""));
        let refused = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        let takes = |text: &str| {
            takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(text).unwrap())]))
        };
        assert!(takes("gzip") && takes("br, GZIP;q=0.5") && takes("deflate,gzip"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes("identity"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
