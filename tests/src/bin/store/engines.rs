//! The engines, all behind one face.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agent_common::wire::line::Point;
use anyhow::{Context as _, Result};
use promql::{Options as Bounds, Query as Promql, Span};
use server::store::Store as _;
use server::store::embedded::{EmbeddedStore, FILE, Options, Reader};

use crate::data::{Query, Sent};
use crate::wire;

/// A store of metrics.
pub(crate) trait Engine {
    fn name(&self) -> &'static str;
    /// Writes a minute as it would come: window by window, or as many at once as the engine likes best.
    fn write(&mut self, minute: &[Sent]) -> Result<()>;
    /// Lets it finish what it does beside writing.
    fn settle(&mut self) -> Result<()>;
    /// CPU time that it took so far.
    fn cpu(&self) -> Result<Duration>;
    /// Bytes on the disk.
    fn bytes(&self) -> Result<u64>;
    /// How long a query takes.
    fn query(&self, query: Query, from_s: u64, to_s: u64) -> Result<Duration>;
}

/// Ours.
pub(crate) struct Embedded {
    dir: PathBuf,
    store: EmbeddedStore,
    cpu: Duration,
}

impl Embedded {
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let store = EmbeddedStore::open(dir, Options::default())?;
        Ok(Self { dir: dir.to_owned(), store, cpu: Duration::ZERO })
    }

    /// CPU time of the thread that calls: the store works in it.
    fn counted<T>(&mut self, work: impl FnOnce(&EmbeddedStore) -> Result<T>) -> Result<T> {
        let own = || -> Result<Duration> {
            let text = fs::read_to_string("/proc/thread-self/schedstat")?;
            let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok()).context("nanoseconds")?;
            Ok(Duration::from_nanos(ns))
        };
        let begun = own()?;
        let done = work(&self.store)?;
        self.cpu += own()?.saturating_sub(begun);
        Ok(done)
    }
}

impl Engine for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn write(&mut self, minute: &[Sent]) -> Result<()> {
        let windows: Vec<_> = minute.iter().map(|sent| sent.window.clone()).collect();
        let second =
            minute.iter().take_while(|sent| sent.window.head.seq == minute[0].window.head.seq).count();
        self.counted(|store| {
            for windows in windows.chunks(second) {
                store.write(windows)?;
            }
            Ok(())
        })
    }

    fn settle(&mut self) -> Result<()> {
        self.counted(|store| Ok(store.settle()?))
    }

    fn cpu(&self) -> Result<Duration> {
        Ok(self.cpu)
    }

    /// Without the log, which is reused.
    fn bytes(&self) -> Result<u64> {
        let info = Reader::open(&self.dir.join(FILE))?.info()?;
        Ok(info.file_bytes - info.free_bytes)
    }

    fn query(&self, query: Query, from_s: u64, to_s: u64) -> Result<Duration> {
        let begun = Instant::now();
        let reader = Reader::open(&self.dir.join(FILE))?;
        let parsed = Promql::parse(query.promql)?;
        let ms = |s: u64| s.cast_signed() * 1_000;
        let span = Span { from_ms: ms(from_s), to_ms: ms(to_s) };
        let answer = parsed.range(&reader.view()?, span, ms(query.step_s), &Bounds::default())?;
        let text = server::api::value(&answer.value);
        anyhow::ensure!(text.len() > 100, "no series");
        Ok(begun.elapsed())
    }
}

/// A server of Debian's, ended when dropped.
struct Server {
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Server {
    fn start(program: &str, dir: &Path, args: impl FnOnce(u16) -> Result<Vec<String>>) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let port = wire::free_port()?;
        let tools =
            std::env::var_os("S7MPA_TOOLS").context("`cargo xtask bench store` fetches the servers")?;
        let path = Path::new(&tools).join("usr/bin").join(program);
        let child = Command::new(&path)
            .args(args(port)?)
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", path.display()))?;
        let server = Self { child, port, dir: dir.to_owned() };
        wire::wait(port)?;
        Ok(server)
    }

    fn post(&self, path: &str, headers: &str, body: &[u8]) -> Result<()> {
        wire::request(self.port, "POST", path, headers, body).map(drop)
    }

    fn get(&self, path: &str) -> Result<Duration> {
        let begun = Instant::now();
        let answer = wire::request(self.port, "GET", path, "", &[])?;
        anyhow::ensure!(answer.len() > 400, "no series: {}", String::from_utf8_lossy(&answer));
        Ok(begun.elapsed())
    }

    fn promql(&self, query: Query, from_s: u64, to_s: u64) -> Result<Duration> {
        let text = wire::escaped(query.promql);
        // Neither shall answer out of a cache.
        self.get(&format!(
            "/api/v1/query_range?query={text}&start={from_s}&end={to_s}&step={}&nocache=1",
            query.step_s
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a second at once, as an ingester sends them.
fn seconds(minute: &[Sent]) -> impl Iterator<Item = String> {
    minute
        .chunk_by(|a, b| a.window.head.seq == b.window.head.seq)
        .map(|second| second.iter().map(|sent| sent.window.lines.as_str()).collect())
}

/// VictoriaMetrics.
pub(crate) struct Victoria(Server);

impl Victoria {
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let server = Server::start("victoria-metrics", dir, |port| {
            Ok(vec![
                format!("-httpListenAddr=127.0.0.1:{port}"),
                format!("-storageDataPath={}", dir.join("data").display()),
                "-search.latencyOffset=0s".into(),
            ])
        })?;
        Ok(Self(server))
    }
}

impl Engine for Victoria {
    fn name(&self) -> &'static str {
        "victoria-metrics"
    }

    fn write(&mut self, minute: &[Sent]) -> Result<()> {
        seconds(minute).try_for_each(|lines| self.0.post("/write", "", lines.as_bytes()))
    }

    fn settle(&mut self) -> Result<()> {
        self.0.get("/internal/force_flush").or_else(|_| Ok::<_, anyhow::Error>(Duration::ZERO))?;
        // Nothing else is running: it merges now.
        std::thread::sleep(Duration::from_secs(10));
        Ok(())
    }

    fn cpu(&self) -> Result<Duration> {
        wire::cpu(self.0.child.id())
    }

    fn bytes(&self) -> Result<u64> {
        wire::size(&self.0.dir)
    }

    fn query(&self, query: Query, from_s: u64, to_s: u64) -> Result<Duration> {
        self.0.promql(query, from_s, to_s)
    }
}

/// Prometheus, written to by remote write.
pub(crate) struct Prometheus(Server);

impl Prometheus {
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let server = Server::start("prometheus", dir, |port| {
            fs::write(dir.join("prometheus.yml"), "global: {}\n")?;
            Ok(vec![
                format!("--config.file={}", dir.join("prometheus.yml").display()),
                format!("--storage.tsdb.path={}", dir.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--web.enable-remote-write-receiver".into(),
                "--web.enable-admin-api".into(),
            ])
        })?;
        // It listens before it is ready.
        let begun = Instant::now();
        while wire::request(server.port, "GET", "/-/ready", "", &[]).is_err() {
            anyhow::ensure!(
                begun.elapsed() < Duration::from_mins(1),
                "prometheus is not ready after a minute"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self(server))
    }
}

impl Engine for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn write(&mut self, minute: &[Sent]) -> Result<()> {
        for second in minute.chunk_by(|a, b| a.window.head.seq == b.window.head.seq) {
            let points = second.iter().flat_map(|sent| &sent.points).collect::<Vec<&Point>>();
            let body = wire::remote_write(points.into_iter())?;
            let headers = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n\
                           X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
            self.0.post("/api/v1/write", headers, &body)?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    fn cpu(&self) -> Result<Duration> {
        wire::cpu(self.0.child.id())
    }

    /// What its blocks will be: it has samples in its log for two hours, and then makes them.
    fn bytes(&self) -> Result<u64> {
        let before = wire::size(&self.0.dir.join("data")).unwrap_or(0);
        self.0.post("/api/v1/admin/tsdb/snapshot", "", &[])?;
        let snapshots = self.0.dir.join("data/snapshots");
        if snapshots.exists() { wire::size(&snapshots) } else { Ok(before) }
    }

    fn query(&self, query: Query, from_s: u64, to_s: u64) -> Result<Duration> {
        self.0.promql(query, from_s, to_s)
    }
}

/// InfluxDB 1.
pub(crate) struct Influx(Server);

impl Influx {
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let server = Server::start("influxd", dir, |port| {
            let path = |name: &str| dir.join(name).display().to_string();
            let rpc = wire::free_port()?;
            let config = format!(
                "reporting-disabled = true\nbind-address = \"127.0.0.1:{rpc}\"\n[meta]\ndir = \"{}\"\n[data]\ndir = \"{}\"\n\
                 wal-dir = \"{}\"\ncache-snapshot-write-cold-duration = \"5s\"\n[http]\nbind-address = \"127.0.0.1:{port}\"\n\
                 log-enabled = false\n",
                path("meta"),
                path("data"),
                path("wal"),
            );
            fs::write(dir.join("influxdb.conf"), config)?;
            Ok(vec!["run".into(), "-config".into(), path("influxdb.conf")])
        })?;
        server.post(&format!("/query?q={}", wire::escaped("CREATE DATABASE s7mpa")), "", &[])?;
        Ok(Self(server))
    }
}

impl Engine for Influx {
    fn name(&self) -> &'static str {
        "influxdb 1.6.7"
    }

    fn write(&mut self, minute: &[Sent]) -> Result<()> {
        seconds(minute).try_for_each(|lines| self.0.post("/write?db=s7mpa", "", lines.as_bytes()))
    }

    /// Its cache goes to the disk after the time that its configuration says.
    fn settle(&mut self) -> Result<()> {
        std::thread::sleep(Duration::from_secs(15));
        Ok(())
    }

    fn cpu(&self) -> Result<Duration> {
        wire::cpu(self.0.child.id())
    }

    fn bytes(&self) -> Result<u64> {
        wire::size(&self.0.dir)
    }

    fn query(&self, query: Query, from_s: u64, to_s: u64) -> Result<Duration> {
        let text = query.influxql.replace("$from", &from_s.to_string()).replace("$to", &to_s.to_string());
        self.0.get(&format!("/query?db=s7mpa&q={}", wire::escaped(&text)))
    }
}
