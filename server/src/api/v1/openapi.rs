//! `GET openapi.json`: this API, described.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Response};

use super::Shared;
use crate::access::Role;
use crate::api::routes::{Need, Routes};

/// `OpenAPI` 3.1, written by hand; the tests hold requests and responses against it.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes.at(&[Method::GET], "/api/s7mpa/v1/openapi.json", Need::Read(Role::Viewer), document)
}

async fn document() -> Response<Body> {
    let mut response = Response::new(Body::from(DOCUMENT));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
