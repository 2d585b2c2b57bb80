//! Prometheus's HTTP API, version 1: paths, parameters, answers and status codes are its own.

mod catalogue;
mod json;
mod params;
mod query;
mod rules;
mod status;

use std::fmt::Write as _;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::get;
use promql::{ErrorKind, QueryError, ReadError};

use super::work::Work;
pub use json::value;

/// Why a request has no answer, as Prometheus says it.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Failure {
    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind: "bad_data", message: message.into() }
    }

    pub(super) fn timeout(message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, kind: "timeout", message: message.into() }
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, kind: "internal", message: message.into() }
    }

    /// A parameter that cannot be read.
    fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {why}"))
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let message = format!("{error}{cause}");
        match error.kind() {
            ErrorKind::BadData => Self::bad_data(message),
            ErrorKind::Timeout => Self::timeout(message),
            ErrorKind::Execution => {
                Self { status: StatusCode::UNPROCESSABLE_ENTITY, kind: "execution", message }
            }
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::internal(error.to_string())
    }
}

/// What a request is answered with.
#[derive(Debug)]
struct Answered {
    /// JSON.
    data: String,
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Answered {
    fn new(data: String) -> Self {
        Self { data, warnings: Vec::new(), infos: Vec::new() }
    }
}

pub(super) fn router(work: Work) -> Router {
    Router::new()
        .route("/api/v1/query", get(query::instant).post(query::instant))
        .route("/api/v1/query_range", get(query::range).post(query::range))
        .route("/api/v1/series", get(catalogue::series).post(catalogue::series))
        .route("/api/v1/labels", get(catalogue::labels).post(catalogue::labels))
        .route("/api/v1/label/{name}/values", get(catalogue::values))
        .route("/api/v1/metadata", get(status::metadata))
        .route("/api/v1/status/buildinfo", get(status::build))
        // Empty, not missing: Grafana asks for them again and again, and writes each 404 into its log.
        .route("/api/v1/query_exemplars", get(status::no_exemplars).post(status::no_exemplars))
        .route("/api/v1/rules", get(rules::rules))
        .route("/api/v1/alerts", get(rules::alerts))
        .route("/-/healthy", get(status::healthy))
        .route("/-/ready", get(status::healthy))
        .fallback(status::not_found)
        .with_state(work)
}

fn respond(result: Result<Answered, Failure>) -> Response<Body> {
    match result {
        Ok(answered) => {
            let mut body = format!("{{\"status\":\"success\",\"data\":{}", answered.data);
            for (name, texts) in [("warnings", &answered.warnings), ("infos", &answered.infos)] {
                if !texts.is_empty() {
                    let _ = write!(body, ",\"{name}\":{}", json::texts(texts));
                }
            }
            body.push('}');
            json_response(StatusCode::OK, body)
        }
        Err(Failure { status, kind, message }) => refusal(status, kind, &message),
    }
}

/// An answer that is an error.
pub(super) fn refusal(status: StatusCode, kind: &str, message: &str) -> Response<Body> {
    let body = format!(
        "{{\"status\":\"error\",\"errorType\":{},\"error\":{}}}",
        json::text(kind),
        json::text(message)
    );
    json_response(status, body)
}

fn json_response(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
