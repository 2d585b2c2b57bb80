//! InfluxDB's routes, as its clients know them. Databases, buckets and organizations are whatever a client calls them: there is one
//! store here.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use super::body::encoding;
use super::{Refused, Shared, answer, store};
use crate::api::problem::Problem;
use crate::api::prometheus::Params;
use crate::push::{Precision, Report, influx};

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
    json_answer(StatusCode::OK, &json!({ "results": [result] }))
}

async fn write(shared: &Shared, request: Request, version: Version) -> Result<(), (Refused, Report)> {
    let only = |refused: Refused| (refused, Report::default());
    let bad = |what: String| only(Refused::new(StatusCode::BAD_REQUEST, what));
    let query = request.uri().query().unwrap_or_default().to_owned();
    let param = |name: &str| {
        let found = form_urlencoded::parse(query.as_bytes()).find(|(own, _)| own == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let (precision, database) = (param("precision"), param("db"));
    let precision = Precision::of(&precision)
        .ok_or_else(|| bad(format!("precision `{precision}` is none: write ns, us, ms or s")))?;
    let database = if version == Version::One { database } else { String::new() };
    let gzip = match encoding(request.headers()).as_str() {
        "" => false,
        "gzip" => true,
        other => {
            let what = format!("a body is sent as it is or with gzip, not with `{other}`");
            return Err(only(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what)));
        }
    };
    let (pusher, times) = shared.pusher().map_err(only)?;
    let body = shared.room.take(request, gzip).await.map_err(only)?;
    let read = tokio::task::spawn_blocking(move || -> Result<_, Refused> {
        let body = if gzip { body.gunzip()? } else { body };
        let text = std::str::from_utf8(&body.bytes).map_err(|error| {
            let what = format!("the body is not UTF-8 after byte {}", error.valid_up_to());
            Refused::new(StatusCode::BAD_REQUEST, what)
        })?;
        let parsed = influx(text, precision, &database, &times);
        Ok((body, parsed))
    });
    let broken = |_| only(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "reading the body panicked"));
    // The body keeps its room until its samples are stored.
    let (_body, parsed) = read.await.map_err(broken)?.map_err(only)?;
    store(&pusher, parsed).await
}

fn respond(version: Version, result: Result<(), (Refused, Report)>) -> Response<Body> {
    match result {
        Ok(()) => answer(StatusCode::NO_CONTENT, None, Body::empty()),
        Err((refused, report)) => {
            let mut response = failed(version, &refused);
            if let (Version::Two, Some(line)) = (version, report.line) {
                let body = error(Version::Two, refused.status, &refused.what, Some(line));
                *response.body_mut() = Body::from(body.to_string());
            }
            response
        }
    }
}

fn failed(version: Version, refused: &Refused) -> Response<Body> {
    let mut response = json_answer(refused.status, &error(version, refused.status, &refused.what, None));
    if let Some(after) = refused.retry_after {
        let seconds = HeaderValue::from(after.as_secs().max(1));
        response.headers_mut().insert("retry-after", seconds);
    }
    if let (Version::One, Ok(what)) = (version, HeaderValue::from_str(&refused.what)) {
        response.headers_mut().insert(ERROR, what);
    }
    response
}

/// An error before the handler, for clients of both versions.
pub(in crate::api) fn refusal(status: StatusCode, what: &str) -> Response<Body> {
    let mut both = error(Version::Two, status, what, None);
    both["error"] = what.into();
    json_answer(status, &both)
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

fn json_answer(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = answer(status, None, body.to_string());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
