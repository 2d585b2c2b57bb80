//! `/metrics`, read by Debian's `promtool`.

use super::*;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn promtool() -> Command {
    let root = std::env::var_os("S7MPA_PROMETHEUS").map(PathBuf::from);
    Command::new(root.map_or_else(|| "promtool".into(), |root| root.join("promtool")))
}

/// What `promtool check metrics` says.
fn complaints(text: &str) -> Vec<String> {
    let mut child = promtool()
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| {
            panic!("cannot start promtool: {e}; `cargo xtask test` fetches it and sets S7MPA_PROMETHEUS")
        });
    child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("its end");
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).lines().map(str::to_owned).collect()
}

fn host_window(seq: u64, end: UnixNs) -> Window {
    let point = |measurement: &'static str| Point::new(measurement, end).tag("host", "h\"\\x");
    let mut points = vec![
        point("s7mpa_host").field("load1", 0.5).field("forks", 3_u64),
        point("s7mpa_cpu").tag("cpu", "all").field("user_ns", 250_000_000_u64),
        point("s7mpa_cpu").tag("cpu", "0").field("user_ns", 250_000_000_u64),
        point("s7mpa_memory").field("total_bytes", 1_u64 << 33),
        point("s7mpa_disk").tag("device", "vda").field("reads", 1_u64).field("in_flight", 0_u64),
        point("s7mpa_process").tag("pid", "7").tag("start", "1").tag("comm", "web").field("rss_bytes", 5_u64),
    ];
    points.extend(
        (0..30).map(|n| point("s7mpa_host_time").tag("state", format!("s{n}")).field("time_ns", 7_u64)),
    );
    let head = WindowHead {
        host: "h\"\\x".into(),
        stream: "0123456789abcdef".into(),
        seq,
        points: points.len() as u64,
        span_ns: 1_000_000_000,
        end,
    };
    Window::from_points(head, &points)
}

#[tokio::test]
async fn the_latest_values_of_hosts_are_there_in_both_formats() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = EmbeddedStore::open(dir.path(), embedded::Options::default()).expect("store");
    let now = UnixNs(server::access::now().cast_unsigned() * 1_000_000_000);
    let windows: Vec<Window> =
        (1..=10).map(|seq| host_window(seq, UnixNs(now.0 - (10 - seq) * 1_000_000_000))).collect();
    store.write(&windows).expect("write");
    let source = Arc::new(Embedded::new(dir.path().join(FILE)));
    let setup = Setup::over(dir, source).await;
    let answer = setup.get("/metrics").send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.expect("a body");
    for line in [
        "s7mpa_host_load1{host=\"h\\\"\\\\x\"} 0.5",
        "s7mpa_host_forks_total{host=\"h\\\"\\\\x\"} 30",
        "s7mpa_cpu_user_ns_total{cpu=\"all\",host=\"h\\\"\\\\x\"} 2500000000",
        "# TYPE s7mpa_host_forks_total counter",
        "s7mpa_server_store_readable 1",
        "s7mpa_server_series_left_out 0",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
    }
    for absent in ["s7mpa_process_", "cpu=\"0\""] {
        assert!(!text.contains(absent), "{absent}");
    }
    for own in [
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "s7mpa_server_http_requests_total{code=\"2xx\"} ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(own)), "{own}");
    }
    // The names are those of the store, with its units: `promtool` would have seconds.
    let said = complaints(&text);
    let others: Vec<_> =
        said.iter().filter(|line| !line.contains("should not contain abbreviated units")).collect();
    assert!(others.is_empty(), "{others:?}");

    let open =
        setup.get("/metrics").header("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let answer = open.send().await.expect("an answer");
    assert!(
        answer.headers()["content-type"].to_str().expect("text").starts_with("application/openmetrics-text")
    );
    let text = answer.text().await.expect("a body");
    assert!(text.contains("# TYPE s7mpa_host_forks counter\ns7mpa_host_forks_total{"), "{text}");
    assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_leaves_the_servers_own() {
    let dir = tempfile::tempdir().expect("tempdir");
    let source = Arc::new(Embedded::new(dir.path().join("no-such.db")));
    let setup = Setup::over(dir, source).await;
    let text = setup.get("/metrics").send().await.expect("an answer").text().await.expect("a body");
    assert!(text.contains("\ns7mpa_server_store_readable 0\n"), "{text}");
    assert_eq!(status(setup.bare(Method::GET, "/metrics")).await, 401);
}
