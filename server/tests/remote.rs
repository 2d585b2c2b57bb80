//! A real Prometheus, asked through [`server::remote`]. `cargo xtask test` fetches the program and names it in `S7MPA_PROMETHEUS`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use promql::{Macros, Span, Value};
use server::remote::{Asked, Remote, RemoteError};

/// Far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(90);

struct Prometheus {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    /// One that scrapes itself.
    fn start() -> Option<Self> {
        let Some(program) =
            std::env::var_os("S7MPA_PROMETHEUS").map(|dir| PathBuf::from(dir).join("prometheus"))
        else {
            let why = "S7MPA_PROMETHEUS is not set: `cargo xtask test` fetches Prometheus and sets it";
            assert!(std::env::var_os("REQUIRE_BPF").is_none(), "{why}");
            eprintln!("not run: {why}");
            return None;
        };
        let dir = tempfile::tempdir().expect("a directory");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let config = format!(
            "scrape_configs: [{{job_name: own, scrape_interval: 200ms, scrape_timeout: 200ms, metrics_path: /p/metrics, \
             static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]"
        );
        std::fs::write(dir.path().join("prometheus.yml"), config).expect("the configuration");
        let child = Command::new(program)
            .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            // As behind a proxy.
            .args(["--web.external-url=http://host/p", "--web.route-prefix=/p", "--log.level=error"])
            .stdin(Stdio::null())
            .spawn()
            .expect("Prometheus");
        Some(Self { child, port, _dir: dir })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");
    i64::try_from(now.as_millis()).expect("a time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_elsewhere_answers_our_words_and_functions() {
    let Some(prometheus) = Prometheus::start() else { return };
    let remote =
        Remote::new(&format!("http://127.0.0.1:{}/p/", prometheus.port), PATIENCE).expect("an address");
    let macros = Macros::parse("both(x) = median(x) + mean(x)").expect("macros");
    let query = promql::expanded("both(up{job=\"own\"})", &macros).expect("a query");
    assert_eq!(query, "(quantile(0.5, up{job=\"own\"}) + avg(up{job=\"own\"}))");

    let begun = Instant::now();
    let two = loop {
        assert!(begun.elapsed() < PATIENCE, "no scrape within {PATIENCE:?}");
        match remote.ask(&query, Asked::Instant(now_ms()), 300_000).await {
            Ok(answer) => match answer.value {
                Value::Vector(elements) if elements.first().is_some_and(|one| one.sample.value > 1.5) => {
                    break elements;
                }
                Value::Vector(_) => {}
                other => panic!("{other:?}"),
            },
            // It does not listen yet, or has not read its store.
            Err(RemoteError::Http(_) | RemoteError::Foreign(_)) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(two[0].sample.value.to_bits(), 2f64.to_bits());

    let span = Span { from_ms: now_ms() - 10_000, to_ms: now_ms() };
    let answer = remote.ask("up", Asked::Range(span, 1_000), 300_000).await.expect("an answer");
    let Value::Matrix(matrix) = answer.value else { panic!("no matrix") };
    assert_eq!((matrix.len(), matrix[0].labels.get("job")), (1, "own"));

    let refused = remote.ask("sum(", Asked::Instant(now_ms()), 300_000).await.expect_err("no query");
    assert!(refused.to_string().contains("unclosed left parenthesis"), "{refused}");
    // Without its path it is nothing that we know.
    let elsewhere =
        Remote::new(&format!("http://127.0.0.1:{}", prometheus.port), PATIENCE).expect("an address");
    let foreign = elsewhere.ask("up", Asked::Instant(now_ms()), 300_000).await.expect_err("no answer");
    assert!(matches!(foreign, RemoteError::Foreign(404)), "{foreign}");
}
