//! Who may ask: checked for every request, before anything of it is read.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq as _;

use super::prometheus::refusal;

/// What requests are checked against.
#[derive(Debug)]
pub(super) struct Guard {
    token: String,
    hosts: Vec<String>,
}

impl Guard {
    pub(super) fn new(token: &str, hosts: Vec<String>) -> Self {
        Self { token: token.to_owned(), hosts }
    }

    /// Why a request is refused, if it is.
    fn refuses(&self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        let Some(host) = self.host(request) else {
            let what =
                "the request names a host that this server is not: a name that an attacker can point here";
            return Some(refusal(StatusCode::MISDIRECTED_REQUEST, "forbidden", what));
        };
        if !is_from_here(headers, host) {
            return Some(refusal(
                StatusCode::FORBIDDEN,
                "forbidden",
                "the request comes from another site's page",
            ));
        }
        if !self.has_token(headers) {
            let what =
                "the request lacks the token: send `Authorization: Bearer` and what is in the token's file";
            let mut response = refusal(StatusCode::UNAUTHORIZED, "unauthorized", what);
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return Some(response);
        }
        None
    }

    /// The host that a request names, with its port, if we are it. A name could be made to point to a loopback address by
    /// whoever owns it (DNS rebinding): a browser would take our answers to be that site's.
    fn host<'r>(&self, request: &'r Request) -> Option<&'r str> {
        let mut all = request.headers().get_all(HOST).iter();
        let host = all.next()?.to_str().ok()?;
        if all.next().is_some() || request.uri().authority().is_some_and(|named| named.as_str() != host) {
            return None;
        }
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?.0,
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        let ours = name.eq_ignore_ascii_case("localhost")
            || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name));
        ours.then_some(host)
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (all.next(), all.next()) else { return false };
        let given = value.as_bytes();
        let Some((scheme, given)) = given.split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.ct_eq(self.token.as_bytes()))
    }
}

/// Whether no page of another site sent it. Programs send neither header; browsers send `Origin` with whatever a page's
/// script asks for, and `Sec-Fetch-Site` with everything.
fn is_from_here(headers: &HeaderMap, host: &str) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let ours = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
    };
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    origins.all(ours) && matches!(site, None | Some(b"same-origin" | b"none"))
}

/// Lets a request through, or answers it.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.refuses(&request) {
        Some(refused) => refused,
        None => next.run(request).await,
    }
}
