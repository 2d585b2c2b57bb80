//! What a window covers, what was lost, what the collector itself cost.

use super::{HOST, counter, gauge, tag};
use crate::wire::registry::{Measurement, Origin, Unit};

pub(super) static MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "s7mpa_coverage",
        origin: Origin::Window,
        meaning: "What the window covers.",
        tags: &[HOST],
        fields: &[
            counter(
                "expected",
                Unit::Count,
                "On-CPU samples (idle ticks included) that rate, CPUs and time promise.",
            ),
            counter("captured", Unit::Count, "Samples (idle ticks included) that arrived."),
            gauge("syscall_times", Unit::Flag, "true: syscalls are timed; false: only counted."),
            gauge(
                "symbolized_pct",
                Unit::Pct,
                "Share of frames with a name (absent when nothing was symbolized).",
            ),
        ],
    },
    Measurement {
        name: "s7mpa_lost",
        origin: Origin::Window,
        meaning: "What was lost or dropped, by reason. Reasons that did not happen have no point.",
        tags: &[HOST, tag("reason", "The failure path.")],
        fields: &[counter("lost", Unit::Count, "Samples, events or calls.")],
    },
    Measurement {
        name: "s7mpa_unwound",
        origin: Origin::Window,
        meaning: "User stacks of on-CPU samples, by how the walk up them ended. What did not happen has no point.",
        tags: &[HOST, tag("verdict", "`complete`, `frame_pointers`, or why it was cut.")],
        fields: &[counter("samples", Unit::Count, "Samples.")],
    },
    Measurement {
        name: "s7mpa_python_stacks",
        origin: Origin::Window,
        meaning: "On-CPU samples of Python processes, by how the walk up their Python frames ended. What did not happen has \
                  no point.",
        tags: &[
            HOST,
            tag("verdict", "`complete`, or why it was cut; `no_thread`: a thread without Python code."),
        ],
        fields: &[counter("samples", Unit::Count, "Samples.")],
    },
    Measurement {
        name: "s7mpa_self",
        origin: Origin::Window,
        meaning: "What the collector itself cost.",
        tags: &[HOST],
        fields: &[
            gauge("cpu_pct", Unit::Pct, "CPU, percent of one core."),
            gauge("rss_bytes", Unit::Bytes, "Resident memory."),
            gauge("map_bytes", Unit::Bytes, "Kernel memory of the BPF maps."),
            gauge("unwind_processes", Unit::Count, "Processes whose mappings the unwinder knows."),
            gauge("unwind_tables", Unit::Count, "Unwind tables loaded, one a program or library."),
            gauge("unwind_rows", Unit::Count, "Rows of them."),
            gauge("unwind_bytes", Unit::Bytes, "Kernel memory of the rows; part of `map_bytes`."),
            counter(
                "unwind_cpu_ns",
                Unit::Ns,
                "CPU time of the thread that reads mappings and makes tables.",
            ),
            counter("unwind_evicted", Unit::Count, "Tables dropped to make room."),
            counter("unwind_refused", Unit::Count, "Files and processes that there was no room for."),
        ],
    },
];
