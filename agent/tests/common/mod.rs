//! What the tests of the pipeline share.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use agent::sink::mqtt::{MqttConfig, MqttSink};
use agent::sink::spool::{Limits, NewWindow, Spool};
use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::line::{self, Point};
use serde::{Deserialize, Serialize};
use server::config::{BrokerConfig, ExternalBroker};
use server::store::Store as _;
use server::store::embedded::{EmbeddedStore, Options};

const SPEC: &str = "S7MPA_TEST_SERVER";
/// Far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is true, or fails with its name.
pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn now() -> UnixNs {
    UnixNs(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64)
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port").port()
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
    NewWindow { end, span: DurNs(1_000_000_000), points: processes, lines: line::encode(&points) }
}

pub(crate) fn start_sink(config: MqttConfig, dir: &Path) -> MqttSink {
    let spool = Spool::open(&dir.join(format!("spool-{}", config.host)), Limits::default()).expect("spool");
    MqttSink::start(config, spool).expect("sink")
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
    /// The store refuses while this file exists, and takes this long for each write.
    pub(crate) store_down: PathBuf,
    pub(crate) store_delay_ms: u64,
}

impl ServerSpec {
    pub(crate) fn embedded(dir: &Path) -> Self {
        let config = server::Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
            state_dir: dir.join("state"),
            runtime_dir: dir.join("run"),
            ..server::Config::default()
        };
        Self { config, store_down: dir.join("store-down"), store_delay_ms: 0 }
    }

    pub(crate) fn external(dir: &Path, broker: &Mosquitto) -> Self {
        let mut spec = Self::embedded(dir);
        spec.config.broker = BrokerConfig::External(ExternalBroker {
            url: broker.url(),
            user: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
        });
        spec
    }
}

/// Body of a child process.
pub(crate) fn serve_if_child() {
    let Ok(spec) = std::env::var(SPEC) else { return };
    let spec: ServerSpec = serde_json::from_str(&spec).expect("specification");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let server = server::Server::start(spec.config).await.expect("server starts");
        let ingest = server.ingest().clone();
        println!("\nserver ready");
        // The parent closes our standard input to stop us.
        let shutdown = async {
            let gone = tokio::task::spawn_blocking(|| std::io::stdin().lines().count());
            gone.await.expect("standard input");
        };
        server.run(shutdown).await.expect("server runs");
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

    fn line(&mut self, start: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).expect("output"), 0, "the child ended without `{start}`");
            if let Some(rest) = line.strip_prefix(start) {
                return rest.trim().to_owned();
            }
        }
    }

    pub(crate) fn sink_config(&self, host: &str) -> MqttConfig {
        let mut config = MqttConfig::new(host, "");
        match &self.spec.config.broker {
            BrokerConfig::Embedded => {
                config.url = format!("mqtt://{}", self.spec.config.listen);
                config.user = Some(server::broker::USER.into());
                config.password_file = Some(self.spec.config.runtime_dir.join(server::broker::PASSWORD_FILE));
            }
            BrokerConfig::External(external) => config.url.clone_from(&external.url),
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

/// The directory into which `cargo xtask test` unpacks servers from Debian packages.
fn tools() -> Option<PathBuf> {
    std::env::var_os("S7MPA_TOOLS").map(PathBuf::from)
}

/// A real Mosquitto on a free port.
pub(crate) struct Mosquitto {
    process: Option<process::Child>,
    dir: PathBuf,
    pub(crate) port: u16,
    settings: String,
}

impl Mosquitto {
    /// Starts one with persistence in `dir` and these further settings.
    pub(crate) fn start(dir: &Path, settings: &str) -> Self {
        let mut broker =
            Self { process: None, dir: dir.to_owned(), port: free_port(), settings: settings.to_owned() };
        broker.start_again();
        broker
    }

    pub(crate) fn start_again(&mut self) {
        let file = self.dir.join("mosquitto.conf");
        let defaults = if self.settings.contains("allow_anonymous") { "" } else { "allow_anonymous true\n" };
        let text = format!(
            "listener {} 127.0.0.1\n{defaults}persistence true\npersistence_location {}/\nautosave_interval 1\n\
             user root\nmax_queued_messages 0\n{}\n",
            self.port,
            self.dir.display(),
            self.settings
        );
        fs::write(&file, text).expect("mosquitto.conf");
        let (program, libraries) = match tools() {
            Some(root) => (root.join("usr/sbin/mosquitto"), Some(root.join("usr/lib/x86_64-linux-gnu"))),
            None => ("mosquitto".into(), None),
        };
        let mut command = Command::new(&program);
        if let Some(libraries) = libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let log = fs::File::create(self.dir.join("mosquitto.log")).expect("log");
        let process = command.arg("-c").arg(&file).stdout(Stdio::null()).stderr(log).spawn().unwrap_or_else(|e| {
            panic!("cannot start {}: {e}; `cargo xtask test` fetches it and sets S7MPA_TOOLS", program.display())
        });
        self.process = Some(process);
        eventually("mosquitto listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok());
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("kill");
            process.wait().expect("wait");
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Says something past the test harness' capture.
pub(crate) fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
