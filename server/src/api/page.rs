//! The page: for now it signs a browser in and says who it is. It has no secret in it, so nobody needs to be known to load it;
//! what it shows it asks for by the session's cookie.

use std::future::ready;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Response};

use super::routes::{Need, Routes};

/// Its own scripts and styles, requests to this server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

pub(super) fn routes(routes: Routes<()>) -> Routes<()> {
    const GET: &[Method] = &[Method::GET];
    routes
        .at(GET, "/", Need::Nothing, || ready(file("text/html", include_str!("page/index.html"))))
        .at(GET, "/sign-in.js", Need::Nothing, || {
            ready(file("text/javascript", include_str!("page/sign-in.js")))
        })
        .at(GET, "/sign-in.css", Need::Nothing, || ready(file("text/css", include_str!("page/sign-in.css"))))
}

fn file(kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&format!("{kind}; charset=utf-8")) {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("content-security-policy", HeaderValue::from_static(POLICY));
    response
}
