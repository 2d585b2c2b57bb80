//! Remote write into a real Prometheus, Debian's.

#[path = "common/reached.rs"]
mod reached;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use agent_common::settings::Content;
use agent_common::settings::relay::RemoteWrite;
use agent_common::units::UnixNs;
use relay::export::Exporter;

use reached::{PATIENCE, until};

const SECOND: u64 = 1_000_000_000;

/// Prometheus that takes remote write; killed when dropped.
struct Prometheus {
    dir: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Prometheus {
    fn new(dir: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::fs::write(dir.join("prometheus.yml"), "{}").unwrap();
        Self { dir: dir.to_owned(), port, process: None }
    }

    async fn start(&mut self) {
        let program = std::env::var_os("S7MPA_PROMETHEUS")
            .map_or_else(|| "prometheus".into(), |dir| Path::new(&dir).join("prometheus"));
        let process = Command::new(&program)
            .arg(format!("--config.file={}", self.dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", self.dir.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .arg("--web.enable-remote-write-receiver")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.unwrap_or_else(|error| {
            panic!("cannot start {}: {error}; `cargo xtask test` fetches it", program.display())
        }));
        let ready = format!("http://127.0.0.1:{}/-/ready", self.port);
        let begun = Instant::now();
        while !(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
            && reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()))
        {
            assert!(begun.elapsed() < PATIENCE, "Prometheus is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Values of a range of seconds, as text; `None`: there is no series.
    async fn values(&self, query: &str, from: u64, to: u64) -> Option<Vec<String>> {
        let url = reqwest::Url::parse_with_params(
            &format!("http://127.0.0.1:{}/api/v1/query_range", self.port),
            &[("query", query), ("start", &from.to_string()), ("end", &to.to_string()), ("step", "1")],
        );
        let text = reqwest::get(url.unwrap()).await.unwrap().text().await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        let result = answer["data"]["result"].as_array().unwrap();
        assert!(result.len() < 2, "{query}: {answer}");
        let values = result.first()?["values"].as_array().unwrap();
        Some(values.iter().map(|pair| pair[1].as_str().unwrap().to_owned()).collect())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.kill();
    }
}

fn settings(url: String) -> RemoteWrite {
    RemoteWrite {
        url: Content::Text(url),
        token: Some(Content::Text("a token\n".to_owned())),
        interval: Duration::from_secs(1),
        max_bytes: 8 << 20,
        timeout: Duration::from_secs(10),
    }
}

/// Seconds of Unix time, some seconds ago: Prometheus refuses what is far ahead.
fn begin() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() - 20
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_takes_every_sample_also_those_of_while_it_was_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut prometheus = Prometheus::new(dir.path());
    let url = format!("http://127.0.0.1:{}/api/v1/write", prometheus.port);
    let mut exporter = Exporter::start(&settings(url)).unwrap();
    let gauge = exporter.gauge();
    let begin = begin();
    let mut window = |nth: u64, lines: &str| {
        let end = (begin + nth) * SECOND;
        let lines: String = lines.lines().flat_map(|line| [line.to_owned(), format!(" {end}\n")]).collect();
        exporter.window("0123456789abcdef", nth, UnixNs(end), &lines);
    };
    let host = "s7mpa_host,host=a forks=2i,load1=0.5";
    let both = format!("{host}\ns7mpa_process,host=a,pid=7,comm=we\\ b runq_ns=5i");
    // Nobody listens yet.
    window(1, &both);
    window(2, &both);
    window(2, &both);
    until(&gauge, "a failure is said", |figures| figures.error.is_some()).await;
    prometheus.start().await;
    until(&gauge, "what waited was sent", |figures| figures.waiting_samples == 0).await;
    prometheus.kill();
    window(3, host);
    window(4, host);
    prometheus.start().await;
    until(&gauge, "what waited was sent again", |figures| figures.waiting_samples == 0).await;
    let figures = gauge.figures();
    // Two series in each window, the process's in two, and its stale marker.
    assert_eq!((figures.sent_samples, figures.lost_samples, figures.error), (4 * 2 + 2 + 1, 0, None));
    let range = |query: &'static str| prometheus.values(query, begin + 1, begin + 4);
    assert_eq!(range(r#"s7mpa_host_forks_total{host="a"}"#).await.unwrap(), ["2", "4", "6", "8"]);
    assert_eq!(range("s7mpa_host_load1").await.unwrap(), ["0.5", "0.5", "0.5", "0.5"]);
    let process = range(r#"s7mpa_process_runq_ns_total{pid="7",comm="we b"}"#).await.unwrap();
    assert_eq!(process, ["5", "10"], "it ended: no sample stands for it after that");
    exporter.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_receiver_refuses_for_good_is_counted_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut prometheus = Prometheus::new(dir.path());
    prometheus.start().await;
    let url = format!("http://127.0.0.1:{}/api/v1/wrong", prometheus.port);
    let mut exporter = Exporter::start(&settings(url)).unwrap();
    let gauge = exporter.gauge();
    let end = begin() * SECOND;
    exporter.window("0123456789abcdef", 1, UnixNs(end), &format!("s7mpa_host,host=a forks=2i {end}\n"));
    until(&gauge, "it is refused", |figures| figures.lost_samples == 1).await;
    let error = gauge.figures().error.unwrap();
    assert!(error.contains("404"), "{error}");
    exporter.close(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_cannot_be_right_is_refused_at_the_start_without_its_password() {
    let error = Exporter::start(&settings("http://me:hush@[bad".to_owned())).err().unwrap();
    assert!(error.starts_with("export.remote_write: ") && !error.contains("hush"), "{error}");
    let wrong = RemoteWrite {
        token: Some(Content::Text("two\nlines".to_owned())),
        ..settings("http://localhost:1/".to_owned())
    };
    assert!(Exporter::start(&wrong).err().unwrap().contains("token"), "a header has one line");
}
