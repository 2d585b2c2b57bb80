//! The table of measurements itself.

use super::{Field, Kind, Measurement, Origin, Tag, Unit};

const HOST: Tag = tag("host", "Host name.");
const PID: Tag =
    tag("pid", "Thread-group id; 0 for `other`, the sum of all processes without points of their own.");
const START: Tag = tag(
    "start",
    "Start in ms since boot: with `pid` the identity of the process. 0 when not known, and for `other`.",
);
const COMM: Tag = tag("comm", "Its name.");

const fn tag(name: &'static str, meaning: &'static str) -> Tag {
    Tag { name, meaning }
}

const fn counter(name: &'static str, unit: Unit, meaning: &'static str) -> Field {
    Field { name, unit, kind: Kind::Counter, meaning }
}

const fn gauge(name: &'static str, unit: Unit, meaning: &'static str) -> Field {
    Field { name, unit, kind: Kind::Gauge, meaning }
}

/// Thread time by state ([`crate::abi::sched::State`]), the same for processes and the host.
static STATES: [Field; 31] = [
    counter("lost_ns", Unit::Ns, "Held up: waits for a CPU, storage, memory, locks, sending, connecting."),
    counter("oncpu_ns", Unit::Ns, "Running, in user and kernel mode."),
    counter("runq_woken_ns", Unit::Ns, "Woken, waiting for a CPU."),
    counter("runq_preempted_ns", Unit::Ns, "Preempted, waiting for a CPU."),
    counter("runq_throttled_ns", Unit::Ns, "Runnable, but its CPU quota was used up."),
    counter("disk_read_ns", Unit::Ns, "Read of a file or block device."),
    counter("disk_write_ns", Unit::Ns, "Write to a file or block device."),
    counter("fsync_ns", Unit::Ns, "Waiting for data or a journal to be on storage."),
    counter("writeback_ns", Unit::Ns, "Held back for too many dirty pages."),
    counter("fault_file_ns", Unit::Ns, "Page fault that reads a file."),
    counter("swap_ns", Unit::Ns, "Page fault that reads swap."),
    counter("reclaim_ns", Unit::Ns, "Freeing or compacting memory itself."),
    counter("futex_lock_ns", Unit::Ns, "Futex, on a lock."),
    counter("futex_wait_ns", Unit::Ns, "Futex, on a condition: mostly idle."),
    counter("kernel_lock_ns", Unit::Ns, "Lock of the kernel."),
    counter("file_lock_ns", Unit::Ns, "Lock of a file."),
    counter("ipc_ns", Unit::Ns, "Pipe, local socket, eventfd, message queue, semaphore."),
    counter("net_accept_ns", Unit::Ns, "Waiting for a connection: idle."),
    counter("net_connect_ns", Unit::Ns, "Connecting to a network address."),
    counter("net_recv_ns", Unit::Ns, "Receiving from the network."),
    counter("net_send_ns", Unit::Ns, "Sending to the network."),
    counter("dns_ns", Unit::Ns, "Waiting for an answer of a name server."),
    counter("child_ns", Unit::Ns, "Waiting for a child process."),
    counter("sleep_ns", Unit::Ns, "Timer: idle."),
    counter("poll_ns", Unit::Ns, "Waiting for any of several descriptors: mostly idle."),
    counter("stopped_ns", Unit::Ns, "Stopped or traced."),
    counter("async_io_ns", Unit::Ns, "Waiting for asynchronous I/O."),
    counter("device_ns", Unit::Ns, "Terminal or another character device."),
    counter("interruptible_ns", Unit::Ns, "Blocked, can be interrupted, for no known reason."),
    counter("uninterruptible_ns", Unit::Ns, "Blocked, cannot be interrupted, for no known reason."),
    counter("kernel_idle_ns", Unit::Ns, "A kernel thread without work."),
];

pub(super) static MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "s7mpa_window",
        origin: Origin::Head,
        meaning: "Head of a metrics payload: identity of the window that the points after it belong to.",
        tags: &[
            HOST,
            tag("stream", "The collector's spool, 16 hexadecimal digits: numbers count per stream."),
        ],
        fields: &[
            gauge("seq", Unit::Count, "Number of the window within its stream: 1, 2, 3 … without a gap."),
            gauge("points", Unit::Count, "Points that follow in the payload."),
            gauge("span_ns", Unit::Ns, "Length of the window: divide counters by it for a rate."),
        ],
    },
    Measurement {
        name: "s7mpa_host",
        origin: Origin::Window,
        meaning: "The host as a whole.",
        tags: &[HOST],
        fields: &[
            gauge("load1", Unit::Ratio, "Load average over 1 minute."),
            gauge("load5", Unit::Ratio, "Load average over 5 minutes."),
            gauge("load15", Unit::Ratio, "Load average over 15 minutes."),
            gauge("runnable", Unit::Count, "Threads running or on a run queue."),
            gauge("blocked", Unit::Count, "Threads blocked on storage."),
            gauge("threads", Unit::Count, "Threads on the host."),
            gauge("processes", Unit::Count, "Processes (thread groups) on the host."),
            counter("forks", Unit::Count, "Processes and threads made."),
            counter("processes_started", Unit::Count, "Processes that began."),
            counter("processes_ended", Unit::Count, "Processes that ended."),
            counter(
                "processes_failed",
                Unit::Count,
                "Of these, with an exit code other than 0 or by a signal.",
            ),
            counter("context_switches", Unit::Count, "Context switches."),
            counter("interrupts", Unit::Count, "Interrupts served."),
            gauge("uptime_ns", Unit::Ns, "Time since boot."),
        ],
    },
    Measurement {
        name: "s7mpa_cpu",
        origin: Origin::Window,
        meaning: "Time per CPU and mode. The modes but the guest ones add up to the wall time.",
        tags: &[HOST, tag("cpu", "Number of the CPU, or `all`.")],
        fields: &[
            counter("user_ns", Unit::Ns, "User mode (guests included)."),
            counter("nice_ns", Unit::Ns, "User mode of niced processes."),
            counter("system_ns", Unit::Ns, "Kernel mode."),
            counter("idle_ns", Unit::Ns, "Idle."),
            counter("iowait_ns", Unit::Ns, "Idle while a thread of this CPU waits for storage."),
            counter("irq_ns", Unit::Ns, "Hard interrupts."),
            counter("softirq_ns", Unit::Ns, "Soft interrupts."),
            counter("steal_ns", Unit::Ns, "The hypervisor ran somebody else."),
            counter("guest_ns", Unit::Ns, "Running a guest (part of `user_ns`)."),
            counter("guest_nice_ns", Unit::Ns, "Running a niced guest (part of `nice_ns`)."),
        ],
    },
    Measurement {
        name: "s7mpa_memory",
        origin: Origin::Window,
        meaning: "Memory, swap and paging.",
        tags: &[HOST],
        fields: &[
            gauge("total_bytes", Unit::Bytes, "Memory that the kernel manages."),
            gauge("free_bytes", Unit::Bytes, "Not used for anything."),
            gauge(
                "available_bytes",
                Unit::Bytes,
                "What a new program could get without swapping (the kernel's estimate).",
            ),
            gauge("buffers_bytes", Unit::Bytes, "Block device buffers."),
            gauge("cached_bytes", Unit::Bytes, "Page cache."),
            gauge("anon_bytes", Unit::Bytes, "Anonymous pages."),
            gauge("shmem_bytes", Unit::Bytes, "Shared memory and tmpfs."),
            gauge("slab_bytes", Unit::Bytes, "Kernel slabs."),
            gauge("slab_reclaimable_bytes", Unit::Bytes, "Slabs that can be reclaimed."),
            gauge("dirty_bytes", Unit::Bytes, "Waiting to be written back."),
            gauge("writeback_bytes", Unit::Bytes, "Being written back."),
            gauge("committed_bytes", Unit::Bytes, "Promised to processes."),
            gauge("swap_total_bytes", Unit::Bytes, "Swap space."),
            gauge("swap_free_bytes", Unit::Bytes, "Swap space that is free."),
            counter("swap_in_bytes", Unit::Bytes, "Read in from swap."),
            counter("swap_out_bytes", Unit::Bytes, "Written out to swap."),
            counter("faults", Unit::Count, "Page faults."),
            counter("major_faults", Unit::Count, "Page faults that read from storage."),
            counter(
                "oom_kills",
                Unit::Count,
                "Processes killed for lack of memory (absent before Linux 4.13).",
            ),
        ],
    },
    Measurement {
        name: "s7mpa_disk",
        origin: Origin::Window,
        meaning: "A whole disk that has ever been used (partitions are inside it).",
        tags: &[HOST, tag("device", "Device name.")],
        fields: &[
            counter("reads", Unit::Count, "Reads completed."),
            counter("read_bytes", Unit::Bytes, "Bytes read."),
            counter("read_ns", Unit::Ns, "Time of all reads added up, from queueing to completion."),
            counter("writes", Unit::Count, "Writes completed."),
            counter("write_bytes", Unit::Bytes, "Bytes written."),
            counter("write_ns", Unit::Ns, "Time of all writes added up."),
            counter("flushes", Unit::Count, "Flushes completed (absent before Linux 5.5)."),
            counter("flush_ns", Unit::Ns, "Time of all flushes added up (absent before Linux 5.5)."),
            counter("busy_ns", Unit::Ns, "Time in which at least one request was open."),
            counter(
                "queue_ns",
                Unit::Ns,
                "Open requests × time: divided by the span it is the mean queue length.",
            ),
            gauge("in_flight", Unit::Count, "Open requests."),
        ],
    },
    Measurement {
        name: "s7mpa_net",
        origin: Origin::Window,
        meaning: "A network interface in the agent's network namespace.",
        tags: &[HOST, tag("interface", "Its name.")],
        fields: &[
            counter("rx_bytes", Unit::Bytes, "Bytes received."),
            counter("rx_packets", Unit::Count, "Packets received."),
            counter("rx_errors", Unit::Count, "Receive errors."),
            counter("rx_dropped", Unit::Count, "Packets dropped on receipt."),
            counter("tx_bytes", Unit::Bytes, "Bytes sent."),
            counter("tx_packets", Unit::Count, "Packets sent."),
            counter("tx_errors", Unit::Count, "Send errors."),
            counter("tx_dropped", Unit::Count, "Packets dropped on sending."),
            counter("collisions", Unit::Count, "Collisions."),
        ],
    },
    Measurement {
        name: "s7mpa_pressure",
        origin: Origin::Window,
        meaning: "Pressure stall information: time in which tasks were held up for lack of a resource (absent without PSI).",
        tags: &[HOST, tag("resource", "`cpu`, `memory` or `io`.")],
        fields: &[
            counter("some_ns", Unit::Ns, "At least one task was held up."),
            counter(
                "full_ns",
                Unit::Ns,
                "All tasks that were not idle were held up (absent for `cpu` before Linux 5.13).",
            ),
        ],
    },
    Measurement {
        name: "s7mpa_thread_time",
        origin: Origin::Window,
        meaning: "Where the threads of a process spent their time (absent without scheduler accounting; states without time are absent too). The same processes as in `s7mpa_process`; over all rows it is the host's.",
        tags: &[HOST, PID, START, COMM],
        fields: &STATES,
    },
    Measurement {
        name: "s7mpa_host_time",
        origin: Origin::Window,
        meaning: "Where all threads of the host spent their time.",
        tags: &[HOST],
        fields: &STATES,
    },
    Measurement {
        name: "s7mpa_waits",
        origin: Origin::Window,
        meaning: "Waits that were looked at (absent without scheduler accounting).",
        tags: &[HOST],
        fields: &[
            counter("waits", Unit::Count, "Waits looked at, with their stacks."),
            counter("weight_ns", Unit::Ns, "Blocked time that they stand for."),
            counter("woken", Unit::Count, "Of these, ended by a known thread."),
            counter("blamed_ns", Unit::Ns, "Waits for a CPU with the process known that ran meanwhile."),
        ],
    },
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
            tag("container", "Id of its container, where there is one."),
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
        ],
    },
];
