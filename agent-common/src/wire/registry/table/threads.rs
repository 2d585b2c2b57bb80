//! Time and waits of threads.

use super::{COMM, CONTAINER, HOST, IMAGE, NAMESPACE, PID, POD, START, UNIT, counter};
use crate::wire::registry::{Field, Measurement, Origin, Unit};

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
        name: "s7mpa_thread_time",
        origin: Origin::Window,
        meaning: "Where the threads of a process spent their time (absent without scheduler accounting; states without time are absent too). The same processes as in `s7mpa_process`; over all rows it is the host's.",
        tags: &[HOST, PID, START, COMM, CONTAINER, POD, NAMESPACE, IMAGE, UNIT],
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
            counter("blamed_ns", Unit::Ns, "Run-queue wait with a known running process."),
        ],
    },
];
