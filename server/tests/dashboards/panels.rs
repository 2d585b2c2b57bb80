//! What the dashboards show: one table for both languages.

use agent_common::wire::registry::{self, Kind};

/// A row of the dashboard.
pub(crate) struct Row {
    pub(crate) title: &'static str,
    pub(crate) panels: &'static [Panel],
}

/// A graph.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    /// Grafana's name of the unit.
    pub(crate) unit: &'static str,
    pub(crate) stacked: bool,
    pub(crate) lines: &'static [Line],
}

/// A query of a graph: one line a host, and a value of `by`.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    pub(crate) measurement: &'static str,
    pub(crate) field: &'static str,
    /// Tag and value that its points have.
    pub(crate) only: Option<(&'static str, &'static str)>,
    /// Tags that tell its lines apart.
    pub(crate) by: &'static [&'static str],
    pub(crate) name: &'static str,
    /// The ten highest.
    pub(crate) top: bool,
}

impl Line {
    /// Whether windows have its amount, not its level.
    pub(crate) fn is_amount(&self) -> bool {
        let field = registry::field(self.measurement, self.field);
        let field = field.unwrap_or_else(|| panic!("{} has no field {}", self.measurement, self.field));
        field.kind == Kind::Counter
    }

    /// Whether it is in nanoseconds: graphs have seconds.
    pub(crate) fn is_time(&self) -> bool {
        self.field.ends_with("_ns")
    }
}

const fn host(measurement: &'static str, field: &'static str, name: &'static str) -> Line {
    Line { measurement, field, only: None, by: &[], name, top: false }
}

const fn only(line: Line, tag: &'static str, value: &'static str) -> Line {
    Line { only: Some((tag, value)), ..line }
}

const fn by(line: Line, tags: &'static [&'static str]) -> Line {
    Line { by: tags, ..line }
}

const fn top(measurement: &'static str, field: &'static str) -> Line {
    Line { measurement, field, only: None, by: &["comm", "pid"], name: "", top: true }
}

const fn cpu(field: &'static str, name: &'static str) -> Line {
    only(host("s7mpa_cpu", field, name), "cpu", "all")
}

const fn panel(
    title: &'static str,
    unit: &'static str,
    about: &'static str,
    lines: &'static [Line],
) -> Panel {
    Panel { title, about, unit, stacked: false, lines }
}

const fn stacked(panel: Panel) -> Panel {
    Panel { stacked: true, ..panel }
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        title: "Is the host well?",
        panels: &[
            stacked(panel(
                "Lost time",
                "s",
                "Seconds of thread time a second in which threads had work and could not do it, by what held them up.",
                &[
                    host("s7mpa_host_time", "runq_woken_ns", "CPU, woken"),
                    host("s7mpa_host_time", "runq_preempted_ns", "CPU, preempted"),
                    host("s7mpa_host_time", "runq_throttled_ns", "CPU quota"),
                    host("s7mpa_host_time", "disk_read_ns", "disk read"),
                    host("s7mpa_host_time", "disk_write_ns", "disk write"),
                    host("s7mpa_host_time", "fsync_ns", "fsync"),
                    host("s7mpa_host_time", "writeback_ns", "write-back"),
                    host("s7mpa_host_time", "swap_ns", "swap"),
                    host("s7mpa_host_time", "reclaim_ns", "reclaim"),
                    host("s7mpa_host_time", "futex_lock_ns", "locks"),
                    host("s7mpa_host_time", "kernel_lock_ns", "kernel locks"),
                    host("s7mpa_host_time", "dns_ns", "name server"),
                ],
            )),
            stacked(panel(
                "CPU",
                "s",
                "CPU seconds a second, all CPUs.",
                &[
                    cpu("user_ns", "user"),
                    cpu("nice_ns", "nice"),
                    cpu("system_ns", "system"),
                    cpu("iowait_ns", "iowait"),
                    cpu("irq_ns", "irq"),
                    cpu("softirq_ns", "softirq"),
                    cpu("steal_ns", "steal"),
                ],
            )),
            panel(
                "Pressure",
                "percentunit",
                "Share of the time in which at least one task was held up for lack of the resource.",
                &[by(host("s7mpa_pressure", "some_ns", ""), &["resource"])],
            ),
            panel(
                "Load and run queue",
                "short",
                "Load average over a minute, threads that run or want to, threads that wait for storage.",
                &[
                    host("s7mpa_host", "load1", "load"),
                    host("s7mpa_host", "runnable", "runnable"),
                    host("s7mpa_host", "blocked", "blocked"),
                ],
            ),
        ],
    },
    Row {
        title: "Which process?",
        panels: &[
            panel(
                "Lost time",
                "s",
                "Processes that are held up most.",
                &[top("s7mpa_thread_time", "lost_ns")],
            ),
            panel("CPU, user mode", "s", "CPU seconds a second.", &[top("s7mpa_process", "user_ns")]),
            panel("CPU, kernel mode", "s", "CPU seconds a second.", &[top("s7mpa_process", "system_ns")]),
            panel(
                "Waits for a CPU",
                "s",
                "Thread seconds a second on run queues.",
                &[top("s7mpa_process", "runq_ns")],
            ),
            panel("Resident memory", "bytes", "Largest processes.", &[top("s7mpa_process", "rss_bytes")]),
            panel("Read from storage", "Bps", "Bytes a second.", &[top("s7mpa_process", "read_bytes")]),
            panel("Written to storage", "Bps", "Bytes a second.", &[top("s7mpa_process", "write_bytes")]),
            panel("System calls", "ops", "Calls a second.", &[top("s7mpa_process", "syscalls")]),
        ],
    },
    Row {
        title: "Memory, storage, network",
        panels: &[
            panel(
                "Memory",
                "bytes",
                "What a new program could get, and what holds the rest.",
                &[
                    host("s7mpa_memory", "total_bytes", "total"),
                    host("s7mpa_memory", "available_bytes", "available"),
                    host("s7mpa_memory", "anon_bytes", "anonymous"),
                    host("s7mpa_memory", "cached_bytes", "page cache"),
                    host("s7mpa_memory", "slab_bytes", "slabs"),
                ],
            ),
            panel(
                "Faults that read from storage, swap",
                "ops",
                "A second.",
                &[
                    host("s7mpa_memory", "major_faults", "major faults"),
                    host("s7mpa_memory", "swap_in_bytes", "swap in, bytes"),
                    host("s7mpa_memory", "swap_out_bytes", "swap out, bytes"),
                ],
            ),
            panel(
                "Storage",
                "Bps",
                "Bytes a second and device.",
                &[by(host("s7mpa_blockio", "io_bytes", ""), &["device", "op"])],
            ),
            panel(
                "Storage: longest request",
                "s",
                "Queue and device together, of each second's slowest.",
                &[by(host("s7mpa_blockio", "max_ns", ""), &["device", "op"])],
            ),
            panel(
                "Network",
                "Bps",
                "Bytes a second and interface.",
                &[
                    by(host("s7mpa_net", "rx_bytes", "received"), &["interface"]),
                    by(host("s7mpa_net", "tx_bytes", "sent"), &["interface"]),
                ],
            ),
            panel(
                "Network: trouble",
                "ops",
                "A second.",
                &[
                    host("s7mpa_sockets", "retransmits", "retransmits"),
                    host("s7mpa_sockets", "resets", "resets"),
                    host("s7mpa_sockets", "accept_overflows", "accept queue full"),
                    host("s7mpa_sockets", "receive_drops", "receive buffer full"),
                ],
            ),
        ],
    },
    Row {
        title: "The agent itself",
        panels: &[
            panel(
                "Cost",
                "percent",
                "CPU of the collector, percent of one core.",
                &[host("s7mpa_self", "cpu_pct", "CPU")],
            ),
            panel(
                "Coverage",
                "ops",
                "On-CPU samples that were promised and that arrived, a second.",
                &[
                    host("s7mpa_coverage", "expected", "expected"),
                    host("s7mpa_coverage", "captured", "captured"),
                ],
            ),
            panel(
                "Lost",
                "ops",
                "Samples, events or calls a second, by reason.",
                &[by(host("s7mpa_lost", "lost", ""), &["reason"])],
            ),
            panel(
                "Memory of the collector",
                "bytes",
                "Resident, and the kernel's for its maps.",
                &[host("s7mpa_self", "rss_bytes", "resident"), host("s7mpa_self", "map_bytes", "maps")],
            ),
        ],
    },
];
