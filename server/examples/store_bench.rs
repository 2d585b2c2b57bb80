//! Bytes and CPU time a sample of the embedded store, on the shape of data that its design was measured with: 300
//! processes × 8 fields × one hour at 1 Hz, one process in five active.
//!
//! `cargo run --release -p server --example store_bench [-- processes seconds]`

use std::path::Path;
use std::time::{Duration, Instant};

use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;
use server::store::embedded::{EmbeddedStore, FILE, Options, Selection};
use server::store::{Store, Window};

const T0: u64 = 1_700_000_400_000_000_000;

/// Linear congruential generator: the same data on every run.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[derive(Clone, Default)]
struct Process {
    cpu_ns: u64,
    syscalls: u64,
    read_bytes: u64,
    rss: u64,
    threads: u64,
    fds: u64,
    share: f64,
    faults: u64,
}

/// Counters of active processes grow by noisy amounts, gauges wander; the others stand still but for rare wake-ups.
fn step(process: &mut Process, active: bool, rng: &mut Rng) {
    if active {
        let busy = rng.below(300_000_000);
        process.cpu_ns += busy;
        process.share = (busy as f64 / 1e6).round() / 10.0;
        process.syscalls += rng.below(20_000);
        process.read_bytes += rng.below(64) * 4_096;
        process.rss = (process.rss + rng.below(512) * 4_096).saturating_sub(rng.below(500) * 4_096);
        process.faults += rng.below(200);
        if rng.below(20) == 0 {
            process.fds = 10 + rng.below(50);
        }
    } else if rng.below(60) == 0 {
        process.cpu_ns += 10_000 + rng.below(50_000);
        process.syscalls += 3;
    }
}

/// CPU time of this process so far, kernel included: exact, unlike the ticks in `stat`.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("/proc/self/schedstat");
    Duration::from_nanos(text.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("nanoseconds"))
}

fn rss_kib(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn file_bytes(dir: &Path) -> u64 {
    std::fs::metadata(dir.join(FILE)).map_or(0, |m| m.len())
}

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>().expect("a number"));
    let (processes, seconds) = (args.next().unwrap_or(300), args.next().unwrap_or(3_600) as u64);
    let dir = tempfile::tempdir().expect("tempdir");
    let store = EmbeddedStore::open(dir.path(), Options::default()).expect("open");

    let mut rng = Rng(42);
    let mut state: Vec<Process> = (0..processes)
        .map(|_| Process {
            rss: (1 + rng.below(1_000)) << 20,
            threads: 1 + rng.below(30),
            fds: 8,
            ..Process::default()
        })
        .collect();
    let (mut samples, mut text, mut slowest) = (0, 0, Duration::ZERO);
    let (mut making, mut writing, mut wall) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    // A minute of windows is made, then written: the clock of CPU time is too coarse for one.
    for minute in 0..seconds.div_ceil(60) {
        let before = cpu();
        let windows: Vec<Window> = (minute * 60..seconds.min(minute * 60 + 60))
            .map(|second| {
                // The end of a window wanders by some µs, as a real timer does.
                let end = UnixNs(T0 + second * 1_000_000_000 + rng.below(200_000));
                let points: Vec<Point> = state
                    .iter_mut()
                    .enumerate()
                    .map(|(i, process)| {
                        step(process, i % 5 == 0, &mut rng);
                        Point::new("s7mpa_process", end)
                            .tag("host", "bench")
                            .tag("pid", (1_000 + i).to_string())
                            .tag("start", (T0 / 1_000_000_000 - i as u64).to_string())
                            .tag("comm", format!("worker-{}", i % 40))
                            .field("cpu_ns", process.cpu_ns)
                            .field("syscalls", process.syscalls)
                            .field("read_bytes", process.read_bytes)
                            .field("rss_bytes", process.rss)
                            .field("threads", process.threads)
                            .field("fds", process.fds)
                            .field("cpu_share", process.share)
                            .field("faults", process.faults)
                    })
                    .collect();
                let (host, stream) = ("bench".to_owned(), "0123456789abcdef".to_owned());
                let head = WindowHead {
                    host,
                    stream,
                    seq: second + 1,
                    points: points.len() as u64,
                    span_ns: 1_000_000_000,
                    end,
                };
                Window::from_points(head, &points)
            })
            .collect();
        let between = cpu();
        for window in &windows {
            let begun = Instant::now();
            let written = store.write(std::slice::from_ref(window)).expect("write");
            samples += written.samples;
            text += window.lines.len();
            wall += begun.elapsed();
            slowest = slowest.max(begun.elapsed());
        }
        making += between.saturating_sub(before);
        writing += cpu().saturating_sub(between);
    }
    let peak = rss_kib("VmHWM");
    println!(
        "{samples} samples in {seconds} windows, {:.1} bytes of line protocol each",
        text as f64 / samples as f64
    );
    println!(
        "write    {:.3} µs CPU a sample, {seconds} commits to the disk included",
        micros(writing, samples)
    );
    println!("         {:.3} µs wall a sample; slowest write {slowest:?} (it rolled)", micros(wall, samples));
    println!("         making the windows took {:.3} µs a sample", micros(making, samples));
    println!("memory   {} KiB resident, {peak} KiB at most", rss_kib("VmRSS"));
    for (name, count) in store.health().expect("health").counts {
        println!("         {name} {count}");
    }
    store.close().expect("close");
    let bytes = file_bytes(dir.path());
    println!("file     {:.3} bytes a sample ({bytes} bytes)", bytes as f64 / samples as f64);
    let conn = rusqlite::Connection::open(dir.path().join(FILE)).expect("open");
    for (what, sql) in [
        ("rolled", "SELECT sum(bytes), sum(samples) FROM slot WHERE part = 0"),
        ("parts", "SELECT sum(bytes), sum(samples) FROM slot WHERE part = 1"),
        ("head", "SELECT coalesce(sum(length(body)), 0), coalesce(sum(samples), 0) FROM head"),
    ] {
        let (bytes, samples): (f64, f64) =
            conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("sums");
        println!("         {what}: {:.3} bytes a sample without SQLite's pages", bytes / samples);
    }

    queries(dir.path(), seconds, processes);
}

/// Reads one series, and all.
fn queries(dir: &Path, seconds: u64, processes: usize) {
    let reader = server::store::embedded::Reader::open(&dir.join(FILE)).expect("reader");
    let counts = reader.counts().expect("counts");
    println!("rolled   {} of {} windows", counts.windows - counts.head_windows, counts.windows);
    let mut selection = Selection {
        measurement: "s7mpa_process".into(),
        field: "cpu_ns".into(),
        tags: vec![("pid".into(), "1005".into())],
        from: UnixNs(T0),
        to: UnixNs(T0 + seconds * 1_000_000_000 + 1_000_000),
    };
    let begun = Instant::now();
    let one = reader.query(&selection).expect("query");
    println!("query    one series, {} samples: {:?}", one[0].samples.len(), begun.elapsed());
    assert_eq!(one[0].samples.len() as u64, seconds, "every sample once");
    selection.tags.clear();
    let begun = Instant::now();
    let all = reader.query_steps(&selection, DurNs(10_000_000_000)).expect("query");
    let count: u64 = all.iter().flat_map(|(_, steps)| steps).map(|step| step.count).sum();
    println!("query    {} series in steps of 10 s, {count} samples: {:?}", all.len(), begun.elapsed());
    assert_eq!(count, seconds * processes as u64, "every sample once");
}

fn micros(time: Duration, samples: u64) -> f64 {
    time.as_secs_f64() * 1e6 / samples as f64
}
