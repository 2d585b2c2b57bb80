//! What a sender that means harm, or a broken one, tries.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use super::*;

/// Zeroes or whatever byte, as gzip packs them: a thousand to one.
fn bomb(bytes: usize, byte: u8) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let piece = vec![byte; 1 << 20];
    for _ in 0..bytes >> 20 {
        encoder.write_all(&piece).expect("memory");
    }
    encoder.finish().expect("memory")
}

/// The most memory that this process has had.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    peak.and_then(|kib| kib.trim().parse::<u64>().ok()).expect("a number") >> 10
}

/// Whether this is a process of this test's own; otherwise it has run in one: the memory of others is not its.
fn is_alone(test: &str) -> bool {
    const ALONE: &str = "S7MPA_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let own = std::env::current_exe().expect("this program");
    let ended = Command::new(own).args(["--exact", test, "--nocapture"]).env(ALONE, "1").status();
    assert!(ended.expect("a process").success());
    false
}

#[tokio::test]
async fn roles_and_foreign_pages() {
    let setup = Setup::new().await;
    let token = |role: Role| {
        setup
            .api
            .access
            .create_token(&format!("a-{role}"), role, None, server::access::now())
            .expect("a token")
    };
    let (viewer, operator) = (token(Role::Viewer), token(Role::Operator));
    for path in ["/api/v2/write", "/write", "/api/v1/write", "/query?q=SHOW+DATABASES"] {
        let post = |token: &str| setup.bare(Method::POST, path).bearer_auth(token).body("");
        assert_eq!(answer(post(&viewer)).await.status, 403, "{path}");
        assert!(![401, 403].contains(&answer(post(&operator)).await.status), "{path}");
        assert!(![401, 403].contains(&answer(post(&setup.writer)).await.status), "{path}");
        assert_eq!(answer(setup.bare(Method::POST, path).body("")).await.status, 401, "{path}");
        for origin in ["http://evil.example", "null"] {
            assert_eq!(answer(post(&setup.writer).header("origin", origin)).await.status, 403, "{path}");
        }
        assert_eq!(answer(post(&setup.writer).header("host", "evil.example")).await.status, 421, "{path}");
    }
    // Whoever writes sees nothing.
    for route in setup.api.routes().iter().filter(|route| matches!(route.need, server::api::Need::Read(_))) {
        let path = route
            .path
            .replace("{name}", "host")
            .replace("{host}", "h")
            .replace("{pid}", "7")
            .replace("{id}", "9");
        let method = Method::from_bytes(route.method.as_str().as_bytes()).expect("a method");
        assert_eq!(
            answer(setup.bare(method, &path).bearer_auth(&setup.writer)).await.status,
            403,
            "{route:?}"
        );
    }
    // The token in the address is for writing alone.
    let read = setup.bare(Method::GET, &format!("/api/v1/query?query=1&p={}", setup.owner));
    assert_eq!(answer(read).await.status, 401);
    assert!(setup.api.access.add_account("w", Role::Writer, "correct horse", 0).is_err(), "no person");
    assert!(setup.api.access.make_link(Role::Writer, 0).is_err());
}

#[tokio::test]
async fn bombs_and_gigabytes_are_not_read() {
    if !is_alone("attacks::bombs_and_gigabytes_are_not_read") {
        return;
    }
    let setup = Arc::new(Setup::new().await);
    let before = peak_mib();
    for byte in [0, b'\n', b'a'] {
        let body = bomb(1 << 28, byte);
        let packed = setup.post("/api/v2/write", body).header("content-encoding", "gzip");
        assert_eq!(answer(packed).await.status, 413, "{byte}");
    }
    for path in ["/api/v2/write", "/write", "/api/v1/write"] {
        let (at, of) = (Arc::clone(&setup), path);
        let poured = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(at.api.address).expect("connect");
            // Without a length, so that it must be read to be refused.
            let head = format!(
                "POST {of} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/x-protobuf\r\n\
                 Transfer-Encoding: chunked\r\n\r\n",
                at.writer
            );
            stream.write_all(head.as_bytes()).expect("a head");
            let chunk = [b"10000\r\n".as_slice(), &vec![b'a'; 1 << 16], b"\r\n"].concat();
            let sent = (0..1 << 14).take_while(|_| stream.write_all(&chunk).is_ok()).count();
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            (sent, String::from_utf8_lossy(&said).split(' ').nth(1).map(str::to_owned))
        });
        let (sent, status) = poured.await.expect("the thread");
        assert!(sent < 1 << 10, "{path}: {sent} chunks of 64 KiB");
        assert!(matches!(status.as_deref(), Some("413") | None), "{path}: {status:?}");
    }
    let grown = peak_mib() - before;
    assert!(grown < 100, "{grown} MiB more than before");
    println!("bombs: {grown} MiB more than before");
    assert_eq!(setup.lines("m a=1").await.status, 204, "others are served");
}

#[tokio::test]
async fn bytes_that_are_no_text_and_messages_of_nothing() {
    if !is_alone("attacks::bytes_that_are_no_text_and_messages_of_nothing") {
        return;
    }
    let setup = Setup::new().await;
    for bytes in [&b"m a=1\xff\n"[..], b"\xc3\x28", b"m,t=\xed\xa0\x80 a=1"] {
        let written = answer(setup.post("/api/v2/write", bytes.to_vec())).await;
        assert!(written.status == 400 && written.body.contains("not UTF-8"), "{}", written.body);
    }
    assert_eq!(answer(setup.post("/api/v2/write", "")).await.status, 204, "nothing is nothing");
    for bytes in [vec![0; 100_000], vec![b'"'; 100_000], b"a=\"\n".repeat(50_000), b"\\".repeat(100_000)] {
        assert_eq!(answer(setup.post("/write?db=d", bytes)).await.status, 400);
    }
    // Millions of empty series, labels and samples: two bytes each, and no memory for any.
    let before = peak_mib();
    for repeated in [
        vec![0x0a, 0],
        vec![0x0a, 2, 0x0a, 0],
        vec![0x0a, 2, 0x12, 0],
        vec![0x0a, 6, 0x0a, 4, 0x0a, 0, 0x12, 0],
    ] {
        let message = repeated.repeat((15 << 20) / repeated.len());
        let body = snap::raw::Encoder::new().compress_vec(&message).expect("packed");
        let status = answer(setup.remote(body)).await.status;
        assert!([204, 400].contains(&status), "{status}");
    }
    let series: Vec<u8> =
        [0x0a, 0x80, 0x80, 0x80, 0x07].into_iter().chain([0x0a, 0].repeat(7 << 20)).collect();
    let body = snap::raw::Encoder::new().compress_vec(&series).expect("packed");
    assert_eq!(
        answer(setup.remote(body)).await.status,
        204,
        "a series of seven million labels, and no sample"
    );
    let grown = peak_mib() - before;
    assert!(grown < 160, "{grown} MiB more than before, of which these messages are 60 here");
    println!("messages of nothing: {grown} MiB more than before");
}

#[tokio::test]
async fn series_without_number_stop_at_the_limits() {
    let begun = Instant::now();
    let setup = Setup::limited(1_000_000, 20_000).await;
    let now = now_ms();
    let lines = |from: usize| joined((from..from + 10_000).map(|n| format!("m,id=n{n} a=1 {now}\n")));
    let mut later = 0;
    for part in 0..10 {
        let written = setup.lines(&lines(part * 10_000)).await;
        if written.status == 429 {
            later += 1;
            assert!(written.body.contains("new_series_per_minute"), "{}", written.body);
            let after: u64 = written.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
            assert!((1..=60).contains(&after));
        } else {
            assert_eq!(written.status, 204, "{}", written.body);
        }
    }
    let stored = setup.metric("s7mpa_server_pushed_samples_total").await;
    let most = 20_000.0 * (1.0 + begun.elapsed().as_secs_f64() / 60.0);
    assert!(stored >= 20_000.0 && stored <= most, "{stored} of {most}");
    assert!(later > 0 || most >= 100_000.0);
    let refused = setup.metric("s7mpa_server_push_refused_total{reason=\"new_series\"}").await;
    assert_eq!((stored + refused).to_bits(), 100_000f64.to_bits());
    // Those that are known go on.
    assert_eq!(setup.lines(&lines(0)).await.status, 204);

    let small = Setup::limited(100, 1_000_000).await;
    let written = small.lines(&lines(0)).await;
    assert!(written.status == 400 && written.body.contains("server.push.max_series"), "{}", written.body);
    assert!(written.body.contains("dropped=9900"), "{}", written.body);
    assert_eq!(small.value("count(m_a)", now).await.to_bits(), 100f64.to_bits());
    let refused = small.metric("s7mpa_server_push_refused_total{reason=\"series\"}").await;
    assert_eq!(refused.to_bits(), 9_900f64.to_bits());
    // What is counted is the store's, not this process's.
    let dir = small.dir;
    drop((small.api, small.pusher));
    small.store.close().expect("closed");
    let push = PushLimits { max_series: 100, new_series_per_minute: 1_000 };
    let again = Setup::at(dir, embedded::Options { push, ..embedded::Options::default() }).await;
    assert_eq!(again.lines(&format!("other a=1 {now}")).await.status, 400);
    assert_eq!(again.lines(&format!("m,id=n7 a=2 {now}")).await.status, 204);

    let many = joined((0..100_001).map(|n| format!("m v=1 {}\n", now - n)));
    let written = again.lines(&many).await;
    assert!(written.status == 400 && written.body.contains("100000 values at most"), "{}", written.body);
}
