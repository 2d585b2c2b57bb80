//! Answers in fewer bytes: `304` for what the client has already (`ETag`), gzip for what it takes that way.

use std::io::Write as _;

use axum::body::Body;
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

use crate::secret;

/// Smaller answers are sent as they are.
const LEAST_BYTES: u64 = 1_024;
/// Bytes of the digest that tell two answers apart.
const TAG_BYTES: usize = 12;

/// Packs what a `GET` is answered with, if it is JSON and whole. A stream of events stays one.
pub(super) async fn pack(request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let asked = request.headers().clone();
    let response = next.run(request).await;
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !is_get || !is_json || response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // It is in memory already: it has no end that could be late.
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Response::from_parts(parts, Body::empty());
    };
    let digest = Sha256::digest(&body);
    let hex = secret::hex(&digest[..TAG_BYTES]);
    let tag = format!("W/\"{hex}\"");
    // Kept by the browser alone, and only used after asking.
    parts.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    parts.headers.insert(VARY, HeaderValue::from_static("Accept-Encoding, Authorization, Cookie"));
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(ETAG, value);
    }
    if listed(&asked, &IF_NONE_MATCH).any(|known| known == tag || known == "*") {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    if body.len() as u64 >= LEAST_BYTES && takes_gzip(&asked) {
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
        if encoder.write_all(&body).is_ok()
            && let Ok(packed) = encoder.finish()
        {
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.remove(CONTENT_LENGTH);
            return Response::from_parts(parts, Body::from(packed));
        }
    }
    Response::from_parts(parts, Body::from(body))
}

/// Elements of a header that is a list.
fn listed<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn takes_gzip(headers: &HeaderMap) -> bool {
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
