//! A Prometheus of the test's own.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use promql::Series;
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::answer::{self, Asked, Outcome};
use crate::remote_write;

/// Seconds until it answers: 0.4 on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Samples of each series in one request.
const SAMPLES: usize = 60;

pub(crate) struct Prometheus {
    child: Child,
    port: u16,
    version: String,
    _dir: TempDir,
}

impl Prometheus {
    pub(crate) fn start(program: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").expect("the configuration");
        // Free now; nobody else is likely to take it in between.
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            // The samples are as old as the constants of the test.
            .args(["--storage.tsdb.retention.time=100y", "--web.enable-remote-write-receiver"])
            .args(["--enable-feature=promql-experimental-functions", "--log.level=error"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut prometheus = Self { child, port, version: String::new(), _dir: dir };
        prometheus.wait();
        prometheus.version = prometheus.build_version();
        prometheus
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        while self.request("GET", "/-/ready", "", &[]).is_none_or(|(status, _)| status != 200) {
            assert!(begun.elapsed() < PATIENCE, "Prometheus does not answer");
            let ended = self.child.try_wait().expect("its state");
            assert!(ended.is_none(), "Prometheus ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn build_version(&self) -> String {
        let (_, body) = self.request("GET", "/api/v1/status/buildinfo", "", &[]).expect("an answer");
        let json: Json = serde_json::from_slice(&body).expect("JSON");
        json["data"]["version"].as_str().expect("a version").to_owned()
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Writes the samples, the older first: Prometheus takes none that are an hour older than its newest.
    pub(crate) fn write(&self, all: &[Series]) {
        let longest = all.iter().map(|series| series.samples.len()).max().unwrap_or(0);
        let first = all.iter().filter_map(|series| series.samples.first()).map(|sample| sample.at_ms).min();
        let last = all.iter().filter_map(|series| series.samples.last()).map(|sample| sample.at_ms).max();
        let (first, last) = (first.expect("samples"), last.expect("samples"));
        let slices = longest.div_ceil(SAMPLES) as i64;
        let length = (last - first) / slices + 1;
        for slice in 0..slices {
            let span = first + slice * length..first + (slice + 1) * length;
            let of_slice = all.iter().map(|series| Series {
                labels: series.labels.clone(),
                samples: series
                    .samples
                    .iter()
                    .filter(|sample| span.contains(&sample.at_ms))
                    .copied()
                    .collect(),
            });
            let of_slice: Vec<Series> = of_slice.filter(|series| !series.samples.is_empty()).collect();
            let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                           X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
            let body = remote_write::body(&of_slice);
            let (status, text) = self.request("POST", "/api/v1/write", headers, &body).expect("an answer");
            assert!((200..300).contains(&status), "{status}: {}", String::from_utf8_lossy(&text));
        }
    }

    /// Asks by its HTTP API.
    pub(crate) fn ask(&self, query: &str, asked: Asked) -> Outcome {
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let query = query.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"));
        let (path, form) = match asked {
            Asked::Instant(at_ms) => ("/api/v1/query", format!("query={query}&time={}", seconds(at_ms))),
            Asked::Range(span, step_ms) => {
                let (from, to, step) = (seconds(span.from_ms), seconds(span.to_ms), seconds(step_ms));
                ("/api/v1/query_range", format!("query={query}&start={from}&end={to}&step={step}"))
            }
        };
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        let (_, body) = self.request("POST", path, headers, form.as_bytes()).expect("an answer");
        let json: Json = serde_json::from_slice(&body).expect("JSON");
        if json["status"] == "success" {
            Ok(answer::read(&json["data"]).unwrap_or_else(|| panic!("no answer: {json}")))
        } else {
            Err(json["error"].as_str().unwrap_or_default().to_owned())
        }
    }

    /// Status and body; nothing where it cannot be reached.
    fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        // Version 1.0: the body ends with the connection.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: here\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let begin = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let status = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
        Some((status, answer.split_off(begin + 4)))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
