//! What the kernel did for or to processes: requests, reclaim, sockets, interrupts, signals, locks.

use super::{HOST, counter, gauge, tag};
use crate::wire::registry::{Measurement, Origin, Unit};

pub(super) static MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "s7mpa_blockio",
        origin: Origin::Window,
        meaning: "Requests to a block device that completed.",
        tags: &[HOST, tag("device", "Device name."), tag("op", "`read`, `write`, `flush` or `discard`.")],
        fields: &[
            counter("count", Unit::Count, "Requests."),
            counter("sequential", Unit::Count, "Of these, begun where the one before ended."),
            counter("io_bytes", Unit::Bytes, "Bytes."),
            counter("queued_ns", Unit::Ns, "Time before they were given to the device, added up."),
            counter("served_ns", Unit::Ns, "Time in the device, added up."),
            gauge("max_ns", Unit::Ns, "Longest, queue and device together."),
            counter("errors", Unit::Count, "Requests that failed."),
        ],
    },
    Measurement {
        name: "s7mpa_reclaim",
        origin: Origin::Window,
        meaning: "What processes did for memory themselves.",
        tags: &[HOST],
        fields: &[
            counter("reclaims", Unit::Count, "Times one had to free memory."),
            counter("reclaim_ns", Unit::Ns, "Time in that."),
            counter("reclaimed_pages", Unit::Count, "Pages freed that way."),
            counter("compactions", Unit::Count, "Times one had to compact memory."),
            counter("compaction_ns", Unit::Ns, "Time in that."),
            counter("throttles", Unit::Count, "Times one was held back for dirty pages."),
            counter("throttled_ns", Unit::Ns, "Time of that."),
            counter("kills", Unit::Count, "Processes killed for memory."),
        ],
    },
    Measurement {
        name: "s7mpa_sockets",
        origin: Origin::Window,
        meaning: "Trouble of TCP and UDP sockets.",
        tags: &[HOST],
        fields: &[
            counter("retransmits", Unit::Count, "Segments sent again."),
            counter("resets", Unit::Count, "Resets sent and received."),
            counter("accept_overflows", Unit::Count, "Connections refused since the accept queue was full."),
            counter("receive_drops", Unit::Count, "Packets dropped since the receive buffer was full."),
        ],
    },
    Measurement {
        name: "s7mpa_softirq",
        origin: Origin::Window,
        meaning: "Soft interrupts by kind.",
        tags: &[HOST, tag("softirq", "Kind, such as `net_rx`.")],
        fields: &[
            counter("count", Unit::Count, "Times run."),
            counter("time_ns", Unit::Ns, "Time in it, all CPUs."),
        ],
    },
    Measurement {
        name: "s7mpa_irq",
        origin: Origin::Window,
        meaning: "Interrupt time of a CPU.",
        tags: &[HOST, tag("cpu", "CPU number.")],
        fields: &[
            counter("hardirq_ns", Unit::Ns, "Time in hard interrupts."),
            counter("softirq_ns", Unit::Ns, "Time in soft interrupts."),
        ],
    },
    Measurement {
        name: "s7mpa_signals",
        origin: Origin::Window,
        meaning: "Signals that end, dump or stop processes.",
        tags: &[HOST, tag("signal", "Its number.")],
        fields: &[counter("count", Unit::Count, "Times.")],
    },
    Measurement {
        name: "s7mpa_locks",
        origin: Origin::Window,
        meaning: "Kernel locks that threads waited for.",
        tags: &[HOST, tag("lock", "Kind, such as `mutex`.")],
        fields: &[counter("count", Unit::Count, "Waits."), counter("waited_ns", Unit::Ns, "Time in them.")],
    },
];
