//! What an attacker tries, over real HTTP.

use super::*;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};

use server::access::now;
use server::api::Need;

fn url(setup: &Setup, route: &Route) -> String {
    format!("http://{}{}", setup.api.address, path_of(route))
}

/// A request of a route as a program would send it.
fn request(setup: &Setup, route: &Route) -> RequestBuilder {
    let request = setup.client.request(method_of(route), url(setup, route));
    if method_of(route) == Method::GET {
        request
    } else {
        request.header("content-type", "application/json").body("{}")
    }
}

#[tokio::test]
async fn on_each_route_foreign_names_pages_and_tokens_are_refused() {
    let setup = Setup::new().await;
    let access = &setup.api.access;
    let expired = access.create_token("expired", Role::Admin, Some(now() - 1), now() - 10).expect("a token");
    let revoked = access.create_token("revoked", Role::Admin, None, now()).expect("a token");
    access.revoke_token("revoked").expect("it is there");
    let link = access.make_link(Role::Admin, now()).expect("a link");
    assert!(setup.api.routes().len() > 15 && setup.api.routes().iter().any(|route| route.path == "/metrics"));
    for route in setup.api.routes() {
        let ask = || request(&setup, route);
        let with = |token: &str| ask().bearer_auth(token);
        for host in ["evil.example", "127.0.0.1.nip.io", "localhost.", "169.254.169.254"] {
            assert_eq!(status(with(&setup.token).header("host", host)).await, 421, "{route:?} {host}");
        }
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "file://"] {
            assert_eq!(status(with(&setup.token).header("origin", origin)).await, 403, "{route:?} {origin}");
        }
        for site in ["cross-site", "same-site"] {
            let request = with(&setup.token).header("sec-fetch-site", site).header("sec-fetch-mode", "cors");
            assert_eq!(status(request).await, 403, "{route:?} {site}");
        }
        let preflight = setup.client.request(Method::OPTIONS, url(&setup, route));
        let answer = preflight.header("origin", "http://evil.example").send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{route:?}");
        assert!(
            !answer.headers().keys().any(|name| name.as_str().starts_with("access-control")),
            "{route:?}"
        );
        if route.need == Need::Nothing {
            continue;
        }
        assert_eq!(status(ask()).await, 401, "absent: {route:?}");
        let guessed = format!("s7mpa_{}", "0".repeat(64));
        // A link is no token, and the secret of a session that was never there is no session.
        for token in [&expired, &revoked, &link, &guessed] {
            assert_eq!(status(with(token)).await, 401, "{route:?}");
            let cookie = format!("s7mpa_{}={token}", setup.api.address.port());
            assert_eq!(status(ask().header("cookie", cookie)).await, 401, "{route:?}");
        }
    }
}

#[tokio::test]
async fn what_changes_something_takes_no_form_no_foreign_page_and_no_bare_cookie() {
    let setup = Setup::new().await;
    let cookie = setup.cookie(Role::Admin).await;
    let own = format!("http://{}", setup.api.address);
    let mut changing = 0;
    for route in setup.api.routes().iter().filter(|route| method_of(route) != Method::GET) {
        let bare = || setup.client.request(method_of(route), url(&setup, route)).header("cookie", &cookie);
        if matches!(route.need, Need::Read(_)) {
            continue;
        }
        changing += 1;
        let kinds =
            ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""];
        // What programs write has forms of its own, and no browser may send it.
        let refused = if route.need == Need::Write { 401 } else { 415 };
        for kind in kinds {
            let form = bare().header("origin", &own).header("content-type", kind).body("a=b");
            assert_eq!(status(form).await, refused, "{route:?} {kind}");
        }
        match route.need {
            Need::Change(_) => {
                let request = bare().header("content-type", "application/json").body("{}");
                assert_eq!(status(request).await, 403, "no Origin: {route:?}");
            }
            Need::Write => {
                assert_eq!(status(bare().header("origin", &own).body("x")).await, 401, "{route:?}");
            }
            Need::Nothing | Need::Read(_) => {}
        }
    }
    assert!(changing >= 3, "login, logout, sessions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_guesses_come_to_ten_and_lock_out_nobody_else() {
    let setup = Setup::new().await;
    for name in ["alice", "bob"] {
        setup.api.access.add_account(name, Role::Viewer, "correct horse", now()).expect("an account");
    }
    let login = |client: &Client, user: &str, password: &str| {
        client
            .post(format!("http://{}{LOGIN}", setup.api.address))
            .header("content-type", "application/json")
            .body(json!({ "user": user, "password": password }).to_string())
    };
    let begun = std::time::Instant::now();
    let (mut tried, mut later) = (0, 0);
    for n in 0..1_000 {
        let answer = login(&setup.client, "alice", &format!("guess {n}")).send().await.expect("an answer");
        match answer.status().as_u16() {
            401 => tried += 1,
            429 => {
                assert!(answer.headers().contains_key("retry-after"));
                later += 1;
            }
            other => panic!("{other}"),
        }
    }
    // Ten at once, and one more every six seconds.
    let most = 10 + begun.elapsed().as_secs() / 6 + 1;
    assert!(tried <= most && tried + later == 1_000, "{tried} of {most}");
    assert_eq!(status(login(&setup.client, "bob", "correct horse")).await, 200, "another account");
    let elsewhere = Client::builder().local_address(IpAddr::from([127, 0, 0, 2])).build().expect("a client");
    assert_eq!(status(login(&elsewhere, "alice", "correct horse")).await, 200, "its owner, elsewhere");
}

/// Sends a head and then a body without end; returns how much of it was taken, and the answer's status.
fn pour(setup: &Setup, path: &str, kind: &str, length: u64) -> (u64, Option<u16>) {
    let mut stream = TcpStream::connect(setup.api.address).expect("connect");
    stream.set_write_timeout(Some(Duration::from_mins(1))).expect("a time-out");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n",
        setup.token
    );
    stream.write_all(head.as_bytes()).expect("a head");
    let piece = vec![b'a'; 64 << 10];
    let mut sent = 0;
    while sent < length {
        match stream.write(&piece) {
            Ok(written) => sent += written as u64,
            Err(_) => break,
        }
    }
    let mut answer = Vec::new();
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time-out");
    // The server has closed, with or without our kernel having read what it said.
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    (sent, text.split(' ').nth(1).and_then(|status| status.parse().ok()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_a_gigabyte_is_not_read() {
    let setup = Arc::new(Setup::new().await);
    for (path, kind) in [("/api/v1/query", "application/x-www-form-urlencoded"), (LOGIN, "application/json")]
    {
        let (at, of) = (Arc::clone(&setup), path);
        let (taken, answered) =
            tokio::task::spawn_blocking(move || pour(&at, of, kind, 1 << 30)).await.expect("the thread");
        assert!(taken < 64 << 20, "{path}: {taken} bytes");
        assert!(matches!(answered, Some(413) | None), "{path}: {answered:?}");
    }
    data(setup.get("/api/v1/query?query=1")).await;
}

#[tokio::test]
async fn a_compressed_body_is_not_unpacked() {
    let setup = Setup::new().await;
    for route in setup.api.routes().iter().filter(|route| route.need != Need::Write) {
        for encoding in ["gzip", "identity, gzip", "zstd"] {
            let request =
                request(&setup, route).bearer_auth(&setup.token).header("content-encoding", encoding);
            assert_eq!(status(request).await, 415, "{route:?} {encoding}");
        }
    }
}

/// A store of more series than a query may read.
#[derive(Debug)]
struct Wide;

impl Source for Wide {
    fn read(&self, _: &dyn Fn() -> bool, with: &mut dyn FnMut(&dyn promql::Reader)) -> Result<(), ReadError> {
        with(self);
        Ok(())
    }

    fn stored(&self, _: &mut dyn FnMut(&Reader) -> Result<(), StoreError>) -> Result<(), ReadError> {
        Err(nothing_stored())
    }
}

impl promql::Reader for Wide {
    fn select(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        let matchers = matchers.to_vec();
        Ok(Box::new((0..100_000).filter_map(move |number| {
            let mut labels = Labels::default();
            labels.set("__name__", "up".to_owned());
            labels.set("text", format!("{}{number}", "a".repeat(60)));
            labels
                .fulfil(&matchers)
                .then(|| Ok(Series { labels, samples: vec![Sample { at_ms: span.to_ms, value: 1.0 }] }))
        })))
    }

    fn series(&self, matchers: &[Matcher], span: Span) -> Result<Vec<Labels>, ReadError> {
        self.select(matchers, span)?.map(|series| Ok(series?.labels)).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_without_measure_end_with_an_error_that_says_why() {
    let setup = Setup::over(tempfile::tempdir().expect("tempdir"), Arc::new(Wide)).await;
    let points = "/api/v1/query_range?query=up&start=0&end=1000000&step=1";
    let deep = format!("/api/v1/query?query={}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let pattern = |text: &str| {
        let query: String = escaped(&format!("count(up{{text=~\"{text}\"}})"));
        format!("/api/v1/query?query={query}&time=100")
    };
    for (path, status, word) in [
        (points.to_owned(), 400, "11000"),
        ("/api/v1/query?query=up&time=100".to_owned(), 422, "series"),
        (deep, 400, "deep"),
        (pattern("(a{1000}){1000}"), 400, "regex"),
    ] {
        let (got, answer) = ask(setup.get(&path)).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(got.as_u16(), status, "{answer}");
        assert!(error.to_lowercase().contains(word), "{word}: {error}");
    }
    // Patterns that take a matcher with backtracking longer than the universe has; here they are linear.
    for text in ["(a+)+b", "(a|aa)+b", "(a*)*b", ".*.*.*.*.*b"] {
        let none = data(setup.get(&pattern(text))).await;
        assert_eq!(none["result"], json!([]), "{text}");
    }
}

/// A text as part of an address.
fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Sends bytes as they are and reads the whole answer.
fn raw(setup: &Setup, text: &str) -> String {
    let mut stream = TcpStream::connect(setup.api.address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time-out");
    stream.write_all(text.as_bytes()).expect("it takes it");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_lead_nowhere_and_headers_stay_whole() {
    let setup = Arc::new(Setup::new().await);
    let asked = Arc::clone(&setup);
    let checks = tokio::task::spawn_blocking(move || {
        let get = |path: &str, more: &str| {
            let token = &asked.token;
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n"
            );
            raw(&asked, &format!("{head}{more}\r\n"))
        };
        for path in [
            "/../../../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/..%2f..%2f..%2fetc%2fpasswd",
            "/sign-in.js/../../api.token",
            "//etc/passwd",
            "/api/v1/label/..%2f..%2fapi.token/values",
            "/api/v1/label/%00/values",
            "/api/v1/label/a%0d%0aSet-Cookie:%20x=1/values",
            "/api/v1/query?query=%0d%0aSet-Cookie:%20x=1",
        ] {
            let answer = get(path, "");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            let status = head.split(' ').nth(1).expect("a status");
            assert!(["200", "400", "404"].contains(&status), "{path}: {head}");
            assert!(!head.to_lowercase().contains("set-cookie"), "{path}: {head}");
            assert!(!body.contains("root:") && !body.contains(&asked.token), "{path}: {body}");
        }
        // Two lengths, a length and chunks: whoever stands before us must not read another request than we do.
        for more in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
        ] {
            let answer = get("/api/v1/labels", more);
            assert!(
                !answer.contains("\"status\":\"success\"") || more.contains("chunked"),
                "{more}: {answer}"
            );
        }
        let long = format!("X-Long: {}\r\n", "a".repeat(1 << 20));
        assert!(!get("/api/v1/labels", &long).contains("success"));
        let many = "X-Many: 1\r\n".repeat(500);
        assert!(!get("/api/v1/labels", &many).contains("success"));
        assert!(
            !raw(&asked, "GET http://evil.example/api/v1/labels HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .contains("success")
        );
        assert!(
            raw(
                &asked,
                "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
            )
            .contains(" 421 ")
        );
    });
    checks.await.expect("the thread");
    data(setup.get("/api/v1/query?query=1")).await;
}
