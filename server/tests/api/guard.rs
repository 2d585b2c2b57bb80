//! Whom the API answers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use super::*;

const PATHS: [&str; 5] =
    ["/api/v1/query?query=1", "/api/v1/labels", "/api/v1/status/buildinfo", "/-/healthy", "/nothing"];

#[tokio::test]
async fn every_path_wants_the_token_which_its_owner_alone_can_read() {
    let setup = Setup::new().await;
    let mode = std::fs::metadata(&setup.api.token_file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(setup.token.len(), 32);
    assert!(setup.api.token_file.starts_with(setup.dir.path()));
    let other = "0".repeat(32);
    for path in PATHS {
        assert_eq!(status(setup.bare(Method::GET, path)).await, 401, "{path}");
        for wrong in [other.as_str(), "", &setup.token[..31], &format!("{}x", setup.token)] {
            assert_eq!(status(setup.bare(Method::GET, path).bearer_auth(wrong)).await, 401, "{path} {wrong}");
        }
        let basic = setup.bare(Method::GET, path).header("authorization", format!("Basic {}", setup.token));
        assert_eq!(status(basic).await, 401, "{path}");
        let twice = setup.get(path).header("authorization", "Bearer x");
        assert_eq!(status(twice).await, 401, "{path}");
        assert_ne!(status(setup.get(path)).await, 401, "{path}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_misdirected_and_foreign_pages_are_refused() {
    let setup = Setup::new().await;
    let port = setup.api.address.port();
    for path in PATHS {
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "", "[::1"]
        {
            assert_eq!(status(setup.get(path).header("host", host)).await, 421, "{path} {host}");
        }
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:7676"] {
            assert_ne!(status(setup.get(path).header("host", host)).await, 421, "{path} {host}");
        }
        for origin in ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"] {
            assert_eq!(status(setup.get(path).header("origin", origin)).await, 403, "{path} {origin}");
        }
        let own = setup.get(path).header("origin", format!("http://127.0.0.1:{port}"));
        assert_ne!(status(own).await, 403, "{path}");
        assert_eq!(status(setup.get(path).header("sec-fetch-site", "cross-site")).await, 403, "{path}");
        assert_eq!(status(setup.get(path).header("sec-fetch-site", "same-site")).await, 403, "{path}");
        assert_ne!(status(setup.get(path).header("sec-fetch-site", "same-origin")).await, 403, "{path}");
        let preflight = setup
            .bare(Method::OPTIONS, path)
            .header("origin", "http://evil.example")
            .header("access-control-request-method", "GET");
        assert_eq!(status(preflight).await, 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_finish_their_headers_keep_nobody_out_and_are_closed() {
    let setup = Setup::new().await;
    let address = setup.api.address;
    let begun = Instant::now();
    let slow: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("connect");
            // Those above the limit are closed at once.
            let _ = stream.write_all(b"GET /api/v1/query?query=1 HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
            stream
        })
        .collect();
    let asked = Instant::now();
    data(setup.get("/api/v1/query?query=1")).await;
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    let closed = tokio::task::spawn_blocking(move || {
        slow.into_iter().all(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a time-out");
            // An answer such as 408, or nothing; then the end.
            let mut answer = Vec::new();
            match stream.read_to_end(&mut answer) {
                Ok(_) => true,
                Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        })
    });
    assert!(closed.await.expect("the thread"), "all are closed");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
