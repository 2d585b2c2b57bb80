//! The page: files that are part of the program, compressed already ([`server/ui`](../../ui)). They have no secret in them, so nobody
//! needs to be known to load them; what the page shows it asks for by the session's cookie.

use std::future::ready;
use std::io::Read as _;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use flate2::read::GzDecoder;

use super::packed;
use super::routes::{Need, Routes};

/// Name, type and gzip of each file. But for the page itself their names change with what is in them.
const FILES: &[(&str, &str, &[u8])] = &include!("../../ui/dist/files.rs");
const PAGE: &str = "index.html";
/// Its own scripts and styles, requests to this server, and nothing else. Scripts of workers have to be made by the policy `s7mpa`,
/// which knows one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types s7mpa";
/// A year: what is in a file of this name never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

pub(super) fn routes(routes: Routes<()>) -> Routes<()> {
    const GET: &[Method] = &[Method::GET];
    let mut routes = routes;
    for file in FILES {
        let path: &'static str =
            if file.0 == PAGE { "/" } else { Box::leak(format!("/{}", file.0).into_boxed_str()) };
        let tag = packed::tag(file.2);
        routes =
            routes.at(GET, path, Need::Nothing, move |request: Request| ready(answer(file, &tag, &request)));
    }
    routes
}

fn answer(
    (name, kind, packed): &'static (&str, &str, &[u8]),
    tag: &str,
    request: &Request,
) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert("content-security-policy", HeaderValue::from_static(POLICY));
    headers
        .insert(CACHE_CONTROL, if *name == PAGE { HeaderValue::from_static("no-cache") } else { FOR_EVER });
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
    if packed::is_known(request.headers(), tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    if let Ok(kind) = HeaderValue::from_str(&format!("{kind}; charset=utf-8")) {
        headers.insert(CONTENT_TYPE, kind);
    }
    if packed::takes_gzip(request.headers()) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = Body::from(Bytes::from_static(packed));
    } else {
        let mut plain = Vec::new();
        // It was packed by us.
        let _ = GzDecoder::new(*packed).read_to_end(&mut plain);
        *response.body_mut() = Body::from(plain);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::HttpBody as _;

    use super::*;

    fn plain(name: &str) -> String {
        let (.., packed) = FILES.iter().find(|file| file.0 == name).unwrap();
        let mut text = String::new();
        GzDecoder::new(*packed).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_page_names_files_that_there_are_and_nothing_else() {
        let page = plain(PAGE);
        let names: Vec<&str> = page
            .split(['"', '\''])
            .filter(|text| text.starts_with("app-") || text.starts_with("icon-"))
            .collect();
        assert_eq!(names.len(), 3, "{page}");
        for name in names {
            assert!(FILES.iter().any(|file| file.0 == name), "{name}");
        }
        assert!(!page.contains("//") && !page.contains("style="), "{page}");
    }

    #[test]
    fn what_is_loaded_first_is_small() {
        let is_first = |name: &str| name == PAGE || name.starts_with("app-") || name.starts_with("icon-");
        let sizes = |first: bool| {
            FILES.iter().filter(|file| !first || is_first(file.0)).map(|file| file.2.len()).sum::<usize>()
        };
        assert!(sizes(true) <= 130 << 10, "{} bytes at first", sizes(true));
        assert!(sizes(false) <= 300 << 10, "{} bytes in all", sizes(false));
        // The others are asked for by what needs them.
        let first = FILES.iter().filter(|file| is_first(file.0)).count();
        assert!(first <= 6, "{first} requests at first");
    }

    #[test]
    fn a_file_is_sent_packed_or_plain_or_not_again() {
        let file = FILES.iter().find(|file| file.0.starts_with("app-")).unwrap();
        let asked =
            |name: &str, value: &str| Request::builder().header(name, value).body(Body::empty()).unwrap();
        let own = packed::tag(file.2);
        let packed = answer(file, &own, &asked("accept-encoding", "gzip, br"));
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        let unpacked = answer(file, &own, &asked("accept-encoding", "identity"));
        assert!(!unpacked.headers().contains_key(CONTENT_ENCODING));
        assert_eq!(unpacked.body().size_hint().exact(), Some(plain(file.0).len() as u64));
        let tag = unpacked.headers()[ETAG].to_str().unwrap().to_owned();
        assert_eq!(answer(file, &own, &asked("if-none-match", &tag)).status(), StatusCode::NOT_MODIFIED);
        assert!(
            packed.headers()["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("require-trusted-types-for")
        );
    }
}
