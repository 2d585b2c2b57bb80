//! Time of PromQL queries on the embedded store, in the shape of a busy host: 300 processes with 12 fields each, one in five
//! active, four that end every minute and four that begin, and 200 rows of system calls, one window a second.
//!
//! `cargo run --release -p server --example promql_bench [-- hours [directory]]`; a directory that has a store already is not
//! filled again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_common::units::UnixNs;
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;
use promql::{Matcher, Operator, Options as Bounds, Query, Reader as _, Span, Value};
use server::store::embedded::{EmbeddedStore, FILE, Options, Reader};
use server::store::{Store as _, Window};

/// A multiple of ten minutes.
const T0_S: u64 = 1_700_000_400;
const SECOND: u64 = 1_000_000_000;
const PROCESSES: usize = 300;
const CALLS: [&str; 4] = ["read", "write", "futex", "epoll_wait"];
/// Runs of each query, of which the median counts.
const ROUNDS: usize = 9;

/// Linear congruential generator: the same data on every run.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[derive(Clone)]
struct Process {
    pid: usize,
    start: u64,
    active: bool,
    rss: u64,
    fds: u64,
}

fn window(rng: &mut Rng, processes: &mut [Process], second: u64) -> Window {
    let end = UnixNs((T0_S + second) * SECOND + rng.below(200_000));
    if second.is_multiple_of(15) {
        let at = rng.below(PROCESSES as u64) as usize;
        // The first fifty live for ever: the queries are about them.
        if at >= 50 {
            processes[at].start = second * 1_000;
            processes[at].pid += PROCESSES;
        }
    }
    let mut points = Vec::new();
    for (number, process) in processes.iter_mut().enumerate() {
        let busy = u64::from(process.active || rng.below(60) == 0);
        let tagged = |measurement| {
            Point::new(measurement, end)
                .tag("host", "bench")
                .tag("pid", process.pid.to_string())
                .tag("start", process.start.to_string())
                .tag("comm", format!("worker-{}", number % 40))
        };
        let mut amount = |most: u64| busy * rng.below(most);
        let mut point = tagged("s7mpa_process");
        for (field, most) in [
            ("user_ns", 200_000_000),
            ("system_ns", 100_000_000),
            ("runq_ns", 5_000_000),
            ("offcpu_ns", 900_000_000),
            ("context_switches", 2_000),
            ("min_flt", 200),
            ("syscalls", 20_000),
            ("syscall_ns", 300_000_000),
        ] {
            point = point.field(field, amount(most));
        }
        process.rss =
            (process.rss + busy * rng.below(512) * 4_096).saturating_sub(busy * rng.below(500) * 4_096);
        if rng.below(20) == 0 && process.active {
            process.fds = 10 + rng.below(50);
        }
        point = point
            .field("rss_bytes", process.rss)
            .field("threads", 4 + number as u64 % 9)
            .field("fds", process.fds)
            .field("state", if process.active { "R" } else { "S" });
        points.push(point);
        if number < 50 {
            for call in CALLS {
                let point = tagged("s7mpa_syscall").tag("syscall", call);
                let count = rng.below(5_000);
                points.push(
                    point
                        .field("count", count)
                        .field("errors", count / 100)
                        .field("total_ns", count * (1_000 + rng.below(500)))
                        .field("max_ns", rng.below(1 << 20))
                        .field("p50_ns", 1_024_u64)
                        .field("p99_ns", 1_024_u64 << rng.below(6)),
                );
            }
        }
    }
    let head = WindowHead {
        host: "bench".into(),
        stream: "0123456789abcdef".into(),
        seq: second + 1,
        points: points.len() as u64,
        span_ns: SECOND,
        end,
    };
    Window::from_points(head, &points)
}

fn fill(dir: &Path, seconds: u64) {
    let store =
        EmbeddedStore::open(dir, Options { max_bytes: 64 << 30, ..Options::default() }).expect("open");
    let mut rng = Rng(42);
    let mut processes: Vec<Process> = (0..PROCESSES)
        .map(|number| Process {
            pid: 1_000 + number,
            start: 1,
            active: number % 5 == 0,
            rss: 64 << 20,
            fds: 8,
        })
        .collect();
    let (mut samples, mut writing) = (0, Duration::ZERO);
    for minute in 0..seconds.div_ceil(60) {
        let seconds = minute * 60..(minute * 60 + 60).min(seconds);
        let windows: Vec<Window> = seconds.map(|second| window(&mut rng, &mut processes, second)).collect();
        let begun = Instant::now();
        samples += store.write(&windows).expect("write").samples;
        writing += begun.elapsed();
    }
    println!("written  {samples} samples, {:.3} µs each", writing.as_secs_f64() * 1e6 / samples as f64);
    store.close().expect("close");
}

fn sizes(path: &Path) {
    let conn = rusqlite::Connection::open(path).expect("open");
    let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, f64>(0)).expect("a number");
    let rolled = one("SELECT sum(samples) FROM slot WHERE part = 0");
    println!(
        "size     {:.3} bytes a sample rolled, {:.3} running sums, {:.3} the file; {} series",
        one("SELECT sum(bytes + length(times)) FROM slot WHERE part = 0") / rolled,
        one("SELECT sum(length(sums) + 12) FROM total") / rolled,
        std::fs::metadata(path).expect("the file").len() as f64 / one("SELECT sum(samples) FROM slot"),
        one("SELECT count(*) FROM series"),
    );
}

fn median(what: &str, mut run: impl FnMut() -> String) {
    let mut said = String::new();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            said = run();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("query    {what}: median {:?}, slowest {:?}; {said}", times[ROUNDS / 2], times[ROUNDS - 1]);
}

fn matchers(name: &str, pid: &str) -> Vec<Matcher> {
    let matcher = |label, operator, value| Matcher::new(label, operator, value).expect("a matcher");
    vec![matcher("__name__", Operator::Equal, name), matcher("pid", Operator::Matches, pid)]
}

fn select(reader: &Reader, matchers: &[Matcher], span: Span) -> String {
    let view = reader.view().expect("view");
    let (mut series, mut samples) = (0, 0);
    for one in view.select(matchers, span).expect("select") {
        series += 1;
        samples += one.expect("series").samples.len();
    }
    format!("{series} series, {samples} samples")
}

fn range(reader: &Reader, query: &str, span: Span, points: i64) -> String {
    let query = Query::parse(query).expect("a query");
    let view = reader.view().expect("view");
    let step = ((span.to_ms - span.from_ms) / points).max(1_000);
    let answer = query.range(&view, span, step, &Bounds::default()).expect("an answer");
    let Value::Matrix(series) = answer.value else { panic!("a matrix") };
    format!("{} series, {} points", series.len(), series.iter().map(|one| one.samples.len()).sum::<usize>())
}

fn main() {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().map_or(2, |hours| hours.parse::<u64>().expect("hours")) * 3_600 + 433;
    let temporary = tempfile::tempdir().expect("tempdir");
    let dir = args.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let path = dir.join(FILE);
    if !path.exists() {
        fill(&dir, seconds);
    }
    sizes(&path);
    let reader = Reader::open(&path).expect("reader");
    let counts = reader.counts().expect("counts");
    println!("windows  {}, at the head {}", counts.windows, counts.head_windows);
    let to_ms = (T0_S.cast_signed() + counts.windows as i64 - 1) * 1_000;
    let hour = Span { from_ms: to_ms - 3_600_000, to_ms };
    let day = Span { from_ms: to_ms - 86_400_000, to_ms };
    median("last hour of one series", || select(&reader, &matchers("s7mpa_process_user_ns", "1005"), hour));
    median("its running sum", || select(&reader, &matchers("s7mpa_process_user_ns_total", "1005"), hour));
    let fifty = matchers("s7mpa_process_user_ns_total", "10[0-4][0-9]");
    median("24 h of 50 series, all samples", || select(&reader, &fifty, day));
    let query = "rate(s7mpa_process_user_ns_total{pid=~\"10[0-4][0-9]\"}[5m])";
    median("24 h of 50 series, rate, 300 points", || range(&reader, query, day, 300));
    let query = "sum by(comm)(rate(s7mpa_process_user_ns_total[1m]))";
    median("an hour of all processes, rate by comm, 240 points", || range(&reader, query, hour, 240));
    median("labels of all series of an hour", || {
        format!("{} series", reader.view().expect("view").series(&[], hour).expect("series").len())
    });
}
