//! What the tests of the pipeline share.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use agent_common::pair::{SinkFigures, Stream};
use agent_common::settings::BrokerAccess;
use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::line::{self, Point};
use agent_common::wire::stored::Stored;
use relay::sink::{MqttConfig, MqttSink};
use relay::spool::{Limits, NewWindow, Spool, SpoolError};
use serde::{Deserialize, Serialize};
use server::config::BrokerConfig;
use server::store::embedded::{EmbeddedStore, Options};
use server::store::{Health, Note, Store, StoreError, Window, Written};

use crate::mosquitto::{Mosquitto, free_port};

const SPEC: &str = "S7MPA_TEST_SERVER";
pub(crate) fn now() -> UnixNs {
    UnixNs(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64)
}

/// A window that ends now, with so many processes: 300 make about 45 kB.
pub(crate) fn window(processes: u64) -> NewWindow {
    let end = now();
    let points: Vec<Point> = (0..processes)
        .map(|pid| {
            Point::new("process", end)
                .tag("host", "web-1")
                .tag("pid", pid.to_string())
                .tag("comm", format!("worker-{}", pid % 7))
                .tag("start", "123456789")
                .field("cpu_ns", pid * 1_000)
                .field("rss_bytes", 4096 * pid)
                .field("threads", 4_u64)
                .field("fds", 17_u64)
        })
        .collect();
    NewWindow { end, span: DurNs(1_000_000_000), points: processes, body: line::encode(&points).into_bytes() }
}

/// A sink and the numbers of the windows that it is given.
pub(crate) struct Sink {
    inner: MqttSink,
    host: String,
    stream: String,
    next: AtomicU64,
}

impl Sink {
    pub(crate) fn publish_window(&self, mut window: NewWindow) {
        // A collector writes in its own name alone: another one is refused.
        let lines = String::from_utf8(window.body).expect("lines");
        window.body = lines.replace("host=web-1", &format!("host={}", self.host)).into_bytes();
        self.inner.publish_window(
            Stream::Metrics,
            &self.stream,
            self.next.fetch_add(1, Ordering::Relaxed),
            window,
        );
    }

    pub(crate) fn close(self, deadline: Duration) -> Result<SinkFigures, SpoolError> {
        self.inner.close(deadline)
    }
}

impl std::ops::Deref for Sink {
    type Target = MqttSink;

    fn deref(&self) -> &MqttSink {
        &self.inner
    }
}

pub(crate) fn start_sink(config: MqttConfig, dir: &Path) -> Sink {
    let spool = Spool::open(&dir.join(format!("spool-{}", config.host)), Limits::default()).expect("spool");
    let (stream, next) = spool.next();
    let (stream, next) = (stream.to_owned(), AtomicU64::new(next));
    let host = config.host.clone();
    let other = |kind| Spool::open(&dir.join(format!("{kind}-{host}")), Limits::default()).expect("spool");
    Sink {
        inner: MqttSink::start(config, [spool, other("profiles"), other("logs")]).expect("sink"),
        host,
        stream,
        next,
    }
}

/// Windows in the embedded store below this directory, by its own count of distinct (host, stream, number).
pub(crate) fn stored_windows(dir: &Path) -> u64 {
    let store = EmbeddedStore::open(&dir.join("state"), Options::default()).expect("store");
    let counts = store.reader().expect("reader").counts().expect("counts");
    let ranges: u64 = store
        .streams()
        .expect("streams")
        .iter()
        .map(|(host, stream)| store.stored(host, stream).expect("stored").to_set().len())
        .sum();
    assert_eq!(counts.windows, ranges, "windows counted by the store, and numbers in its ranges");
    counts.windows
}

/// What a child is to serve.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerSpec {
    pub(crate) config: server::Config,
    /// What each write to the store takes longer than it would.
    pub(crate) store_delay: Duration,
}

impl ServerSpec {
    pub(crate) fn embedded(dir: &Path) -> Self {
        let config = server::Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
            state_dir: dir.join("state"),
            runtime_dir: dir.join("run"),
            ..server::Config::default()
        };
        Self { config, store_delay: Duration::ZERO }
    }

    pub(crate) fn external(dir: &Path, broker: &Mosquitto) -> Self {
        let mut spec = Self::embedded(dir);
        spec.config.broker = BrokerConfig::External(BrokerAccess::new(broker.url()));
        spec
    }
}

/// The embedded store on a slow disk.
#[derive(Debug)]
struct Slow {
    store: EmbeddedStore,
    delay: Duration,
}

impl Store for Slow {
    fn write(&self, windows: &[Window]) -> Result<Written, StoreError> {
        std::thread::sleep(self.delay);
        self.store.write(windows)
    }

    fn keep(&self, notes: &[Note]) -> Result<u64, StoreError> {
        self.store.keep(notes)
    }

    fn stored(&self, host: &str, stream: &str) -> Result<Stored, StoreError> {
        self.store.stored(host, stream)
    }

    fn streams(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.store.streams()
    }

    fn health(&self) -> Result<Health, StoreError> {
        self.store.health()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.store.close()
    }
}

/// Body of a child process.
#[expect(clippy::exit, reason = "a process of its own, with no test to report")]
pub(crate) fn serve_if_child() {
    let Ok(spec) = std::env::var(SPEC) else { return };
    let spec: ServerSpec = serde_json::from_str(&spec).expect("specification");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let server = if spec.store_delay.is_zero() {
            server::Server::start(spec.config).await
        } else {
            let store = EmbeddedStore::open(&spec.config.state_dir, Options::default()).expect("store");
            server::Server::with_store(spec.config, Arc::new(Slow { store, delay: spec.store_delay })).await
        }
        .expect("server starts");
        let ingest = server.ingest().clone();
        // The parent closes our standard input to stop us.
        let shutdown = async {
            let gone = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
            gone.await.expect("standard input");
        };
        // Only what arrives after the subscription gets there the first time.
        let ready = async {
            while !ingest.stats().connected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            println!("\nserver ready");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            result = server.run(shutdown) => result.expect("server runs"),
            () = ready => {}
        }
        println!("\nserver stats {}", serde_json::to_string(&ingest.stats()).expect("stats"));
    });
    process::exit(0);
}

/// A server in a process of its own.
pub(crate) struct Child {
    process: process::Child,
    output: BufReader<process::ChildStdout>,
    spec: ServerSpec,
}

impl Child {
    pub(crate) fn start(spec: &ServerSpec) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this test"))
            .args(["child", "--exact", "--nocapture", "--test-threads=1"])
            .env(SPEC, serde_json::to_string(spec).expect("specification"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("child starts");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let mut child = Self { process, output, spec: spec.clone() };
        child.line("server ready");
        child
    }

    /// Reads on to the line that begins so.
    fn line(&mut self, start: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(
                self.output.read_line(&mut line).expect("output"),
                0,
                "the child ended without `{start}`"
            );
            if let Some(rest) = line.strip_prefix(start) {
                return rest.trim().to_owned();
            }
        }
    }

    pub(crate) fn sink_config(&self, host: &str) -> MqttConfig {
        let mut config = MqttConfig::new(host, "");
        match &self.spec.config.broker {
            BrokerConfig::Embedded => {
                let password = self.spec.config.runtime_dir.join(server::broker::PASSWORD_FILE);
                config.broker = BrokerAccess {
                    user: Some(server::broker::USER.into()),
                    password: Some(password.into()),
                    ..BrokerAccess::new(format!("mqtt://{}", self.spec.config.listen))
                };
            }
            BrokerConfig::External(external) => config.broker.clone_from(external),
        }
        config.resend_after = Duration::from_secs(2);
        config.backoff_most = Duration::from_secs(1);
        config
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }

    /// Lets it finish; its figures.
    pub(crate) fn stop(mut self) -> serde_json::Value {
        drop(self.process.stdin.take());
        let stats = self.line("server stats");
        assert!(self.process.wait().expect("wait").success());
        serde_json::from_str(&stats).expect("figures")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Says something past the test harness' capture.
pub(crate) fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
