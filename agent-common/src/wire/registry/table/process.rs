//! Processes and their system calls.

use super::{COMM, CONTAINER, HOST, IMAGE, NAMESPACE, PID, POD, START, UNIT, counter, gauge, tag};
use crate::wire::registry::{Measurement, Origin, Unit};

pub(super) static MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "s7mpa_process",
        origin: Origin::Window,
        meaning: "A process: one of the most interesting by CPU, run-queue wait, syscalls, errors, storage I/O, memory and faults. Summed over all rows each counter is exact for the host. Processes that lived and died between two readings count for their nearest living forebear.",
        tags: &[
            HOST,
            PID,
            START,
            COMM,
            tag("cgroup", "Path of its cgroup (absent for `other`)."),
            CONTAINER,
            POD,
            NAMESPACE,
            IMAGE,
            UNIT,
        ],
        fields: &[
            gauge(
                "processes",
                Unit::Count,
                "Processes in this row at the end: 1, more in `other`, 0 when it has ended.",
            ),
            gauge("threads", Unit::Count, "Threads."),
            gauge(
                "state",
                Unit::Letter,
                "State of the main thread as the kernel prints it: R S D Z T t I X, ? for any other (absent for `other`).",
            ),
            counter("user_ns", Unit::Ns, "CPU in user mode."),
            counter("system_ns", Unit::Ns, "CPU in kernel mode."),
            counter(
                "runq_ns",
                Unit::Ns,
                "Time runnable but not running, all threads (absent without `sched_info`).",
            ),
            counter("offcpu_ns", Unit::Ns, "Thread time that was neither on a CPU nor waiting for one."),
            counter(
                "context_switches",
                Unit::Count,
                "Times that a thread of it was switched in (absent without `sched_info`).",
            ),
            counter("min_flt", Unit::Count, "Page faults served without I/O."),
            counter("maj_flt", Unit::Count, "Page faults that read from storage."),
            counter(
                "read_bytes",
                Unit::Bytes,
                "Bytes fetched from storage (absent without the right to know).",
            ),
            counter("write_bytes", Unit::Bytes, "Bytes sent to storage (absent without the right to know)."),
            counter("syscalls", Unit::Count, "Syscalls that returned."),
            counter("syscall_errors", Unit::Count, "Of these, with an errno."),
            counter("syscall_ns", Unit::Ns, "Time in syscalls that returned (absent in the `counts` tier)."),
            gauge(
                "in_flight_age_ns",
                Unit::Ns,
                "Age of the oldest syscall that has not returned (absent when there is none).",
            ),
            gauge("rss_bytes", Unit::Bytes, "Resident memory."),
            gauge("swap_bytes", Unit::Bytes, "Swapped out (absent when not known)."),
            gauge("fds", Unit::Count, "Open file descriptors (absent when not known)."),
            gauge(
                "fd_limit",
                Unit::Count,
                "Limit on them (absent when unlimited or not known, and for `other`).",
            ),
            counter(
                "short_lived",
                Unit::Count,
                "Processes that lived and died between two readings, folded in here.",
            ),
        ],
    },
    Measurement {
        name: "s7mpa_syscall",
        origin: Origin::Window,
        meaning: "What a process of `s7mpa_process` did with one syscall. Summed over all rows the counters are exact for the host.",
        tags: &[
            HOST,
            PID,
            START,
            COMM,
            tag(
                "syscall",
                "Name of the call, `i386:` in front for the 32-bit table; `other` for the sum of the calls without points of their own.",
            ),
        ],
        fields: &[
            counter("count", Unit::Count, "Calls that returned."),
            counter("errors", Unit::Count, "Of these, with an errno."),
            counter(
                "total_ns",
                Unit::Ns,
                "Time in them (absent in the `counts` tier, as are the next three).",
            ),
            gauge("max_ns", Unit::Ns, "Longest."),
            gauge("p50_ns", Unit::Ns, "Median, within 12.5 %."),
            gauge("p99_ns", Unit::Ns, "99th percentile, within 12.5 %."),
        ],
    },
];
