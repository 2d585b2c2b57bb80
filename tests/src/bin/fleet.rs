//! Simulated hosts: `fleet BROKER HOSTS SECONDS PROCESSES DIRECTORY`. Each has a sink and a spool of its own, and makes a
//! window a second. Prints one line of JSON when all is stored, or when nothing more was for a minute.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use agent_common::pair::Stream;
use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::line::{self, Point};
use anyhow::{Context as _, Result};
use relay::sink::{MqttConfig, MqttSink};
use relay::spool::{Limits, NewWindow, Spool};

/// How often it is looked at what is stored: the lag's resolution.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// No progress for so long: what is open is not stored any more.
const PATIENCE: Duration = Duration::from_mins(1);

/// A simulated host.
struct Host {
    name: String,
    sink: MqttSink,
    stream: String,
    next: u64,
    due: Instant,
    acked: u64,
    /// When the windows that are not stored yet were made.
    open: VecDeque<Instant>,
}

impl Host {
    fn new(broker: &str, nth: u32, dir: &Path, due: Instant) -> Result<Self> {
        let name = format!("host-{nth:04}");
        let spool = Spool::open(&dir.join(&name), Limits::default())?;
        let (stream, next) = spool.next();
        let (stream, next) = (stream.to_owned(), next);
        let profiles = Spool::open(&dir.join(&name).join("profiles"), Limits::default())?;
        let logs = Spool::open(&dir.join(&name).join("logs"), Limits::default())?;
        let sink = MqttSink::start(MqttConfig::new(&name, broker), [spool, profiles, logs])?;
        Ok(Self { name, sink, stream, next, due, acked: 0, open: VecDeque::new() })
    }

    fn publish(&mut self, processes: u32) {
        let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let end = UnixNs(end as u64);
        let mut points = vec![
            Point::new("s7mpa_host", end)
                .tag("host", &self.name)
                .field("load1", 0.5)
                .field("forks", self.next)
                .field("context_switches", 12_345 + self.next),
        ];
        points.extend((0..processes).map(|pid| {
            Point::new("s7mpa_process", end)
                .tag("host", &self.name)
                .tag("pid", (1000 + pid).to_string())
                .tag("start", "123456789")
                .tag("comm", format!("worker-{}", pid % 7))
                .field("user_ns", u64::from(pid) * 1000 + self.next)
                .field("system_ns", u64::from(pid) * 500)
                .field("runq_ns", self.next % 997)
                .field("rss_bytes", 4096 * u64::from(pid))
                .field("threads", 4_u64)
                .field("syscalls", self.next % 31)
        }));
        let window = NewWindow {
            end,
            span: DurNs(1_000_000_000),
            points: points.len() as u64,
            body: line::encode(&points).into_bytes(),
        };
        self.sink.publish_window(Stream::Metrics, &self.stream, self.next, window);
        self.next += 1;
        self.open.push_back(Instant::now());
        self.due += Duration::from_secs(1);
    }

    /// Adds the lags of windows that were stored since the last look, ms.
    fn look(&mut self, lags: &mut Vec<f64>) {
        let acked = self.sink.stats().acked;
        for _ in self.acked..acked {
            lags.extend(self.open.pop_front().map(|made| made.elapsed().as_secs_f64() * 1e3));
        }
        self.acked = acked;
    }
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut next = |what: &str| args.next().with_context(|| format!("no {what}"));
    let broker = next("broker")?;
    let hosts: u32 = next("number of hosts")?.parse()?;
    let seconds: u64 = next("seconds")?.parse()?;
    let processes: u32 = next("number of processes")?.parse()?;
    let dir = next("directory")?;
    let begun = Instant::now() + Duration::from_secs(2);
    let mut all = (0..hosts)
        .map(|nth| {
            // Spread over the second, as the windows of real hosts are.
            let due = begun + Duration::from_secs(1) * nth / hosts.max(1);
            Host::new(&broker, nth, Path::new(&dir), due)
        })
        .collect::<Result<Vec<_>>>()?;
    let end = begun + Duration::from_secs(seconds);
    let (mut lags, mut made, mut progress) = (Vec::new(), 0_u64, Instant::now());
    let mut looked = Instant::now();
    loop {
        let now = Instant::now();
        for host in all.iter_mut().filter(|host| host.due <= now && host.due < end) {
            host.publish(processes);
            made += 1;
        }
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            let before = lags.len();
            for host in &mut all {
                host.look(&mut lags);
            }
            if lags.len() > before {
                progress = Instant::now();
            }
            let open: usize = all.iter().map(|host| host.open.len()).sum();
            if now >= end && (open == 0 || progress.elapsed() > PATIENCE) {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    lags.sort_by(f64::total_cmp);
    let at = |share: f64| lags.get((lags.len() as f64 * share) as usize).or(lags.last()).copied();
    let dropped: u64 = all.iter().map(|host| host.sink.stats().spool.dropped.total()).sum();
    let resent: u64 = all.iter().map(|host| host.sink.stats().resent).sum();
    println!(
        "{}",
        serde_json::json!({
            "made": made, "stored": lags.len(), "dropped": dropped, "resent": resent,
            "lag_p50_ms": at(0.5), "lag_p99_ms": at(0.99), "lag_max_ms": lags.last(),
        })
    );
    Ok(())
}
