//! `POST /api/v1/write`: Prometheus's remote write 1.0. A status of 4xx but 429 is the last word for a sender; 5xx and 429 have it
//! try again. What is good of a request is stored either way; stored twice, it is there once.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Response, StatusCode};

use super::body::{Taken, encoding};
use super::{Refused, Shared, answer};
use crate::push::{Times, remote};

/// The message of version 1, where a sender names it.
const MESSAGE: &str = "prometheus.WriteRequest";

pub(super) async fn write(State(shared): State<Shared>, request: Request) -> Response<Body> {
    match try_write(&shared, request).await {
        Ok(()) => answer(StatusCode::NO_CONTENT, None, Body::empty()),
        Err(Refused { status, what, retry_after, .. }) => answer(status, retry_after, format!("{what}\n")),
    }
}

async fn try_write(shared: &Shared, request: Request) -> Result<(), Refused> {
    check(request.headers())?;
    let read = |body: Taken, times: &Times| {
        let refuse = |error: remote_write::DecodeError| {
            let status = match error {
                remote_write::DecodeError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            Refused::new(status, error.to_string())
        };
        let message = remote_write::unpack(&body.bytes, body.most).map_err(refuse)?;
        let parsed = remote(&message, times).map_err(refuse)?;
        Ok((body, parsed))
    };
    shared.write(request, true, read).await
}

/// Whether it is what is read here. Version 2 says so in the content type, and senders then fall back to 1.
fn check(headers: &HeaderMap) -> Result<(), Refused> {
    let refuse = |what: String| Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what));
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let mut parts = kind.split(';').map(str::trim);
    let is_protobuf = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(remote_write::CONTENT_TYPE));
    let is_1 = parts.all(|part| part.strip_prefix("proto=").is_none_or(|message| message == MESSAGE));
    if !is_protobuf || !is_1 {
        return refuse(format!(
            "`{kind}` is not read here: send {} with {MESSAGE}",
            remote_write::CONTENT_TYPE
        ));
    }
    match encoding(headers).as_str() {
        // Senders of long ago say nothing.
        "" | remote_write::CONTENT_ENCODING => Ok(()),
        other => refuse(format!("remote write is compressed with snappy, not with `{other}`")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn version_2_and_other_compressions_are_not_read() {
        let with = |kind: &'static str, encoding: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert("content-encoding", HeaderValue::from_static(encoding));
            check(&headers).map_err(|refused| refused.status.as_u16())
        };
        assert_eq!(with("application/x-protobuf", "snappy"), Ok(()));
        assert_eq!(with("application/x-protobuf", ""), Ok(()));
        assert_eq!(with("application/x-protobuf;proto=prometheus.WriteRequest", "Snappy"), Ok(()));
        for kind in ["application/x-protobuf;proto=io.prometheus.write.v2.Request", "application/json", ""] {
            assert_eq!(with(kind, "snappy"), Err(415), "{kind}");
        }
        for encoding in ["gzip", "zstd", "snappy, gzip"] {
            assert_eq!(with("application/x-protobuf", encoding), Err(415), "{encoding}");
        }
    }
}
