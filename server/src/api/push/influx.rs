//! InfluxDB's routes, as its clients know them. Databases, buckets and organizations are whatever a client calls them: there is one
//! store here.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use super::body::{Taken, encoding};
use super::{Refused, Shared, answer};
use crate::api::problem::Problem;
use crate::api::prometheus::Params;
use crate::push::{Precision, Times, influx};

/// What `/ping` says of the version: clients take it for an InfluxDB 1.8.
const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-influxdb-version"), HeaderValue::from_static("1.8-s7mpa"));
/// Where clients of version 1 look for an error.
const ERROR: HeaderName = HeaderName::from_static("x-influxdb-error");

/// A version of InfluxDB's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// `POST /write?db=…&precision=…`.
pub(super) async fn write1(State(shared): State<Shared>, request: Request) -> Response<Body> {
    respond(Version::One, write(&shared, request, Version::One).await)
}

/// `POST /api/v2/write?org=…&bucket=…&precision=…`.
pub(super) async fn write2(State(shared): State<Shared>, request: Request) -> Response<Body> {
    respond(Version::Two, write(&shared, request, Version::Two).await)
}

/// `/ping`.
pub(super) async fn ping() -> Response<Body> {
    let mut response = answer(StatusCode::NO_CONTENT, None, Body::empty());
    response.headers_mut().extend([VERSION]);
    response
}

/// `/query`: what clients ask before they write. There is nothing to be made, so it is done.
pub(super) async fn query(request: Request) -> Response<Body> {
    let params = match Params::read(request).await {
        Ok(params) => params,
        Err(failure) => {
            let Problem { status, detail, .. } = failure.into();
            return failed(Version::One, &Refused::new(status, detail));
        }
    };
    let text = params.get("q").unwrap_or_default().trim().trim_end_matches(';').to_ascii_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let result = match words.as_slice() {
        ["create", "database", ..] => json!({ "statement_id": 0 }),
        ["show", "databases"] => json!({ "statement_id": 0, "series": [
            { "name": "databases", "columns": ["name"], "values": [["s7mpa"]] }] }),
        _ => {
            let what = "InfluxQL is not spoken here: ask in PromQL, at /api/v1/query";
            return failed(Version::One, &Refused::new(StatusCode::BAD_REQUEST, what));
        }
    };
    json_answer(StatusCode::OK, None, &json!({ "results": [result] }))
}

async fn write(shared: &Shared, request: Request, version: Version) -> Result<(), Refused> {
    let params = Params::of_query(&request);
    let precision = params.get("precision").unwrap_or_default();
    let precision = Precision::of(precision).ok_or_else(|| {
        let what = format!("precision `{precision}` is none: write ns, us, ms or s");
        Refused::new(StatusCode::BAD_REQUEST, what)
    })?;
    let database = params.get("db").filter(|_| version == Version::One).unwrap_or_default().to_owned();
    let gzip = match encoding(request.headers()).as_str() {
        "" => false,
        "gzip" => true,
        other => {
            let what = format!("a body is sent as it is or with gzip, not with `{other}`");
            return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what));
        }
    };
    let read = move |body: Taken, times: &Times| {
        let body = if gzip { body.gunzip()? } else { body };
        let text = std::str::from_utf8(&body.bytes).map_err(|error| {
            let what = format!("the body is not UTF-8 after byte {}", error.valid_up_to());
            Refused::new(StatusCode::BAD_REQUEST, what)
        })?;
        let parsed = influx(text, precision, &database, times);
        Ok((body, parsed))
    };
    shared.write(request, gzip, read).await
}

fn respond(version: Version, result: Result<(), Refused>) -> Response<Body> {
    match result {
        Ok(()) => answer(StatusCode::NO_CONTENT, None, Body::empty()),
        Err(refused) => failed(version, &refused),
    }
}

fn failed(version: Version, refused: &Refused) -> Response<Body> {
    let Refused { status, what, retry_after, line } = refused;
    let mut response = json_answer(*status, *retry_after, &error(version, *status, what, *line));
    if let (Version::One, Ok(what)) = (version, HeaderValue::from_str(what)) {
        response.headers_mut().insert(ERROR, what);
    }
    response
}

/// An error before the handler, for clients of both versions.
pub(in crate::api) fn refusal(status: StatusCode, what: &str) -> Response<Body> {
    let mut both = error(Version::Two, status, what, None);
    both["error"] = what.into();
    json_answer(status, None, &both)
}

fn error(version: Version, status: StatusCode, what: &str, line: Option<u32>) -> serde_json::Value {
    match version {
        Version::One => json!({ "error": what }),
        Version::Two => {
            let mut error = json!({ "code": code(status), "message": what });
            if let Some(line) = line {
                error["line"] = line.into();
            }
            error
        }
    }
}

/// InfluxDB 2's word for a status.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_IMPLEMENTED => "not implemented",
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        StatusCode::TOO_MANY_REQUESTS => "too many requests",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        status if status.is_server_error() => "internal error",
        _ => "invalid",
    }
}

fn json_answer(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &serde_json::Value,
) -> Response<Body> {
    let mut response = answer(status, retry_after, body.to_string());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
