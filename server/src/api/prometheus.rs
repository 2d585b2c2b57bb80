//! Prometheus's HTTP API, version 1: paths, parameters, answers and status codes are its own.

mod catalogue;
mod json;
mod params;
mod query;
mod rules;
mod status;

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use promql::{ErrorKind, QueryError, ReadError};

use super::problem::Problem;
use super::routes::{Need, Routes};
use super::work::Work;
use crate::access::Role;
pub(super) use crate::clock::now_ms;
pub use json::value;
pub use params::selector;
pub(super) use params::{Params, time};
pub(super) use status::not_found;

/// Why a request has no answer, as Prometheus says it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
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

impl From<Failure> for Problem {
    fn from(Failure { status, message, .. }: Failure) -> Self {
        Self::new(status, message)
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

/// Prometheus reads some by GET and by a form alike, since queries grow longer than an address may be.
pub(super) fn routes(routes: Routes<Work>) -> Routes<Work> {
    const GET: &[Method] = &[Method::GET];
    const FORM: &[Method] = &[Method::GET, Method::POST];
    const READ: Need = Need::Read(Role::Viewer);
    routes
        .at(FORM, "/api/v1/query", READ, query::instant)
        .at(FORM, "/api/v1/query_range", READ, query::range)
        .at(FORM, "/api/v1/series", READ, catalogue::series)
        .at(FORM, "/api/v1/labels", READ, catalogue::labels)
        .at(GET, "/api/v1/label/{name}/values", READ, catalogue::values)
        .at(GET, "/api/v1/metadata", READ, status::metadata)
        .at(GET, "/api/v1/status/buildinfo", READ, status::build)
        // Empty, not missing: Grafana asks for them again and again, and writes each 404 into its log.
        .at(FORM, "/api/v1/query_exemplars", READ, status::no_exemplars)
        .at(GET, "/api/v1/rules", READ, rules::rules)
        .at(GET, "/api/v1/alerts", READ, rules::alerts)
        .at(GET, "/-/healthy", READ, status::healthy)
        .at(GET, "/-/ready", READ, status::healthy)
        // For whoever watches the process: without detail, and without a token.
        .at(GET, "/healthz", Need::Nothing, status::healthy)
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
    if status != StatusCode::OK {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
