//! Errors as RFC 9457 has them: `application/problem+json`.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

/// Why a request of our own API has no answer.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// For people: what is wrong, and what to do.
    pub(super) detail: String,
    /// Seconds after which to try again.
    pub(super) retry_after_s: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_after_s: None }
    }

    /// The database of accounts cannot be read: the log says why, a stranger does not learn it.
    pub(super) fn broken(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!("api: {}", agent_common::text::chain(error));
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server could not do it; its log says why")
    }
}

/// What a handler of our own API returns.
pub(super) type Answer = Result<Response<Body>, Problem>;

/// The answer to a request.
pub(super) fn respond(answer: Answer) -> Response<Body> {
    answer.unwrap_or_else(|problem| {
        let status = problem.status;
        let body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("error"),
            "status": status.as_u16(),
            "detail": problem.detail,
        });
        let mut response = with_type(status, &body, "application/problem+json");
        if let Some(seconds) = problem.retry_after_s {
            response.headers_mut().insert("retry-after", HeaderValue::from(seconds));
        }
        response
    })
}

/// An answer that is a success. A browser may keep it, and asks before it uses it again ([`packed`](super::packed)).
#[expect(clippy::unnecessary_wraps, reason = "it is what a handler ends with")]
pub(super) fn ok(body: &impl Serialize) -> Answer {
    let mut response = with_type(StatusCode::OK, body, "application/json");
    response.headers_mut().remove(CACHE_CONTROL);
    Ok(response)
}

/// A success that is kept nowhere: it says who somebody is, or who did what.
#[expect(clippy::unnecessary_wraps, reason = "it is what a handler ends with")]
pub(super) fn uncached(body: &impl Serialize) -> Answer {
    Ok(with_type(StatusCode::OK, body, "application/json"))
}

/// A success that says nothing.
pub(super) fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn with_type(status: StatusCode, body: &impl Serialize, kind: &'static str) -> Response<Body> {
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
