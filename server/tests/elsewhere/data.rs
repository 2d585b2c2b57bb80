//! Three hundred windows of two hosts: processes come, go and come again, a window is missing, counters stand still.

use agent_common::units::UnixNs;
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;
use server::store::Window;

pub(crate) const SECOND: u64 = 1_000_000_000;

/// The processes: number, start, name, and whether it is there in this window.
type Process = (&'static str, &'static str, &'static str, fn(u64) -> bool);

const PROCESSES: [Process; 5] = [
    ("7", "1", "web", |_| true),
    ("8", "2", "a b,c=d", |_| true),
    ("9", "3", "db", |seq| seq <= 150),
    // It comes again, with the same start: it was idle.
    ("10", "4", "worker", |seq| !(100..130).contains(&seq)),
    // The number again, of another process.
    ("9", "180", "db", |seq| seq > 180),
];

/// The windows; the first ends one second after `begin`.
pub(crate) fn windows(begin: u64) -> Vec<Window> {
    let seqs = (1..=300).filter(|seq| *seq != 60);
    seqs.flat_map(|seq| {
        [("a", "000000000000000a"), ("b", "000000000000000b")].map(|(host, stream)| (host, stream, seq))
    })
    .map(|(host, stream, seq)| {
        // Not on the second.
        let end = UnixNs((begin + seq) * SECOND + 123_456_789);
        window(host, stream, seq, end)
    })
    .collect()
}

fn window(host: &str, stream: &str, seq: u64, end: UnixNs) -> Window {
    let mut points: Vec<Point> = PROCESSES
        .iter()
        .filter(|(_, _, _, is_there)| is_there(seq))
        .map(|(pid, start, comm, _)| {
            let number: u64 = pid.parse().expect("a number");
            Point::new("s7mpa_process", end)
                .tag("host", host)
                .tag("pid", *pid)
                .tag("start", *start)
                .tag("comm", *comm)
                .field("user_ns", seq * number % 97 * 10_007)
                .field("rss_bytes", number * 10_000 + seq % 13)
                .field("state", "S")
        })
        .collect();
    points.push(
        Point::new("s7mpa_host", end)
            .tag("host", host)
            .field("forks", if (50..80).contains(&seq) { 0 } else { seq % 5 })
            .field("load1", (seq as f64 / 7.0).sin() + 2.0),
    );
    let head = WindowHead {
        host: host.into(),
        stream: stream.into(),
        seq,
        points: points.len() as u64,
        span_ns: SECOND,
        end,
    };
    Window::from_points(head, &points)
}
