//! What the agents of some hosts write: processes of which one in five is active.

use std::time::{SystemTime, UNIX_EPOCH};

use agent_common::units::UnixNs;
use agent_common::wire::head::WindowHead;
use agent_common::wire::line::Point;
use server::store::Window;

/// Fields of a process.
pub(crate) const FIELDS: [&str; 8] =
    ["user_ns", "system_ns", "runq_ns", "syscalls", "read_bytes", "rss_bytes", "threads", "fds"];

/// A question: in PromQL, and in `InfluxQL` with `$from` and `$to`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query {
    pub(crate) promql: &'static str,
    pub(crate) influxql: &'static str,
    /// From one answer to the next, seconds; 0: every sample.
    pub(crate) step_s: u64,
}

/// The last hour of one series.
pub(crate) const ONE: Query = Query {
    promql: "s7mpa_process_user_ns{host=\"host0\",pid=\"1005\"}",
    influxql: "SELECT user_ns FROM s7mpa_process WHERE host='host0' AND pid='1005' AND time >= $froms AND time <= $tos",
    step_s: 1,
};
/// All the time of fifty series.
pub(crate) const FIFTY: Query = Query {
    promql: "max_over_time(s7mpa_process_user_ns{host=\"host0\",pid=~\"10[0-4][0-9]\"}[5m])",
    influxql: "SELECT max(user_ns) FROM s7mpa_process WHERE host='host0' AND pid =~ /^10[0-4][0-9]$/ AND time >= $froms AND time \
               <= $tos GROUP BY time(5m), pid",
    step_s: 300,
};
/// The last hour of all processes of a host, by name.
pub(crate) const SUM: Query = Query {
    promql: "sum by (comm) (rate(s7mpa_process_user_ns{host=\"host0\"}[1m]))",
    influxql: "SELECT sum(user_ns) FROM s7mpa_process WHERE host='host0' AND time >= $froms AND time <= $tos GROUP BY time(15s), comm",
    step_s: 15,
};

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
    rss: u64,
    threads: u64,
    fds: u64,
}

/// A window in the forms that are sent.
pub(crate) struct Sent {
    pub(crate) window: Window,
    pub(crate) points: Vec<Point>,
    pub(crate) samples: u64,
}

/// Makes the windows.
pub(crate) struct Hosts {
    rng: Rng,
    processes: Vec<Vec<Process>>,
    first_s: u64,
    next_s: u64,
    end_s: u64,
}

impl Hosts {
    pub(crate) fn new(hosts: u64, processes: u64, seconds: u64) -> Self {
        let mut rng = Rng(42);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let first_s = now - seconds - 60;
        let mut process =
            || Process { rss: (1 + rng.below(1_000)) << 20, threads: 1 + rng.below(30), fds: 8 };
        let processes = (0..hosts).map(|_| (0..processes).map(|_| process()).collect()).collect();
        Self { rng, processes, first_s, next_s: first_s, end_s: first_s + seconds }
    }

    pub(crate) fn first_s(&self) -> u64 {
        self.first_s
    }

    /// The next minute of windows.
    pub(crate) fn minute(&mut self) -> Option<Vec<Sent>> {
        let begin = self.next_s;
        if begin == self.end_s {
            return None;
        }
        self.next_s = self.end_s.min(begin + 60);
        let mut out = Vec::new();
        for second in begin..self.next_s {
            for host in 0..self.processes.len() {
                out.push(self.window(host, second));
            }
        }
        Some(out)
    }

    fn window(&mut self, host: usize, second: u64) -> Sent {
        // The end of a window wanders by some µs, as a real timer does; in ms, which not all engines go below, it does not.
        let end = UnixNs(second * 1_000_000_000 + self.rng.below(200_000));
        let rng = &mut self.rng;
        let points: Vec<Point> = self.processes[host]
            .iter_mut()
            .enumerate()
            .map(|(number, process)| {
                let busy = u64::from(number % 5 == 0 || rng.below(60) == 0);
                process.rss = (process.rss + busy * rng.below(512) * 4_096)
                    .saturating_sub(busy * rng.below(500) * 4_096);
                if busy == 1 && rng.below(20) == 0 {
                    process.fds = 10 + rng.below(50);
                }
                let mut amount = |most: u64| busy * rng.below(most);
                Point::new("s7mpa_process", end)
                    .tag("host", format!("host{host}"))
                    .tag("pid", (1_000 + number).to_string())
                    .tag("start", (1_700_000 + number).to_string())
                    .tag("comm", format!("worker-{}", number % 40))
                    .field("user_ns", amount(200_000_000))
                    .field("system_ns", amount(100_000_000))
                    .field("runq_ns", amount(5_000_000))
                    .field("syscalls", amount(20_000))
                    .field("read_bytes", amount(64) * 4_096)
                    .field("rss_bytes", process.rss)
                    .field("threads", process.threads)
                    .field("fds", process.fds)
            })
            .collect();
        let head = WindowHead {
            host: format!("host{host}"),
            stream: "0123456789abcdef".into(),
            seq: second - self.first_s + 1,
            points: points.len() as u64,
            span_ns: 1_000_000_000,
            end,
        };
        let samples = (points.len() * FIELDS.len()) as u64;
        Sent { window: Window::from_points(head, &points), points, samples }
    }
}
