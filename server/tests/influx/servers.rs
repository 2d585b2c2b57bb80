//! Real databases, started by a test: Debian's `victoria-metrics` and `influxdb` 1.6.7.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until something is true, or fails with its name.
pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port").port()
}

pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as u64
}

/// A server process; killed when dropped.
pub(crate) struct Database {
    program: &'static str,
    args: Vec<String>,
    pub(crate) port: u16,
    process: Option<Child>,
}

impl Database {
    /// VictoriaMetrics in `dir`, with further flags.
    pub(crate) fn victoria_metrics(dir: &Path, flags: &[&str]) -> Self {
        let port = free_port();
        let mut args = vec![
            format!("-httpListenAddr=127.0.0.1:{port}"),
            format!("-storageDataPath={}", dir.join("victoria-metrics").display()),
            "-memory.allowedBytes=256MB".into(),
        ];
        args.extend(flags.iter().map(ToString::to_string));
        Self::start("victoria-metrics", args, port)
    }

    /// InfluxDB 1.6.7 in `dir`.
    pub(crate) fn influxdb(dir: &Path) -> Self {
        let port = free_port();
        let path = |name: &str| dir.join(name).display().to_string();
        let config = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{}\"\n[meta]\ndir = \"{}\"\n[data]\ndir = \"{}\"\n\
             wal-dir = \"{}\"\n[http]\nbind-address = \"127.0.0.1:{port}\"\nlog-enabled = false\n",
            free_port(),
            path("meta"),
            path("data"),
            path("wal"),
        );
        let file = dir.join("influxdb.conf");
        std::fs::write(&file, config).expect("influxdb.conf");
        Self::start("influxd", vec!["run".into(), "-config".into(), file.display().to_string()], port)
    }

    fn start(program: &'static str, args: Vec<String>, port: u16) -> Self {
        let mut database = Self { program, args, port, process: None };
        database.start_again();
        database
    }

    /// Starts it on the same port, with the same data.
    pub(crate) fn start_again(&mut self) {
        let path = std::env::var_os("S7MPA_TOOLS").map_or_else(
            || PathBuf::from(self.program),
            |root| Path::new(&root).join("usr/bin").join(self.program),
        );
        let process =
            Command::new(&path).args(&self.args).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.process = Some(process.unwrap_or_else(|e| {
            panic!("cannot start {}: {e}; `cargo xtask test` fetches it and sets S7MPA_TOOLS", path.display())
        }));
        eventually(&format!("{} listens", self.program), || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
        });
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("kill");
            process.wait().expect("wait");
        }
    }

    /// The body of the answer to a GET.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let request = reqwest::Client::new().get(format!("{}{path}", self.url())).query(query);
            let response = request.send().await.expect("an answer");
            assert!(response.status().is_success(), "{path}: {}", response.status());
            response.text().await.expect("its text")
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.kill();
    }
}
