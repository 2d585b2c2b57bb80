//! What this kernel and these permissions allow: one verdict a program.

use aya::programs::ProgramError;
use serde::Serialize;

/// How a program fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Loaded and attached.
    Works,
    /// This kernel lacks what it needs.
    Unsupported,
    /// The kernel could, but this process may not.
    Denied,
    /// It should have worked.
    Broken,
}

/// The verdict on one program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Program name in the object.
    pub program: &'static str,
    /// What it is for: a word of the vocabulary.
    pub feature: &'static str,
    /// How it fared.
    pub state: State,
    /// The kernel's answer, empty when it works.
    pub detail: String,
    /// What is lost without it.
    pub lost: &'static str,
}

/// Program, feature, what is lost without it.
pub(super) const PROGRAMS: [(&str, &str, &str); 44] = [
    ("process_fork", "process", "short-lived processes and the children of a filtered one"),
    ("process_exec", "process", "names of short-lived processes"),
    ("process_exit", "process", "exit codes, and the CPU time of processes shorter than a window"),
    ("syscall_exit", "syscalls", "cheap syscall accounting: the checked variant is used"),
    ("syscall_enter", "syscalls", "cheap syscall accounting: the checked variant is used"),
    ("syscall_exit_r", "syscalls", "syscall counts and errors"),
    ("syscall_enter_r", "syscalls", "syscall times and calls in flight"),
    ("block_start", "blockio", "block requests: who made them, and how long they took"),
    ("block_insert", "blockio", "the process behind requests that pass a scheduler"),
    ("block_issue", "blockio", "time of block requests in queue and device"),
    ("block_merge", "blockio", "requests merged into others: they look as if they hung"),
    ("block_complete", "blockio", "block requests"),
    ("reclaim_begin", "memory", "direct reclaim"),
    ("reclaim_end", "memory", "direct reclaim"),
    ("cg_reclaim_begin", "memory", "reclaim at a cgroup's limit"),
    ("cg_reclaim_end", "memory", "reclaim at a cgroup's limit"),
    ("compact_begin", "memory", "compaction"),
    ("compact_end", "memory", "compaction"),
    ("dirty_throttle", "memory", "who is held back for dirty pages"),
    ("oom_victim", "memory", "who is killed for memory"),
    ("softirq_entry", "irq", "softirq time by vector"),
    ("softirq_exit", "irq", "softirq time by vector"),
    ("hardirq_entry", "irq", "time in device interrupts"),
    ("hardirq_exit", "irq", "time in device interrupts"),
    ("signal_sent", "signals", "who sent a signal that ended a process"),
    ("signal_ends", "endings", "stacks without frame pointers of processes that a signal ends"),
    ("signal_ends_r", "endings", "stacks and fault addresses of processes that a signal ends"),
    ("process_ends", "endings", "stacks without frame pointers of processes that exit with a code"),
    (
        "process_ends_r",
        "endings",
        "stacks of processes that exit with a code while system calls are not timed",
    ),
    ("lock_begin", "locks", "waits for kernel locks, and who held them"),
    ("lock_end", "locks", "waits for kernel locks, and who held them"),
    ("sock_state", "net", "the owner of a socket that is closed already"),
    ("tcp_retransmit", "net", "retransmits by process and peer"),
    ("tcp_reset_sent", "net", "resets by process and peer"),
    ("tcp_reset_recv", "net", "resets by process and peer"),
    ("udp_queue_fail", "net", "datagrams dropped at a full receive buffer"),
    ("sock_queue_full", "net", "packets dropped at a full raw socket"),
    ("sched_switch", "sched", "thread states: where each thread's time goes and what it waits for"),
    ("sched_waking", "sched", "wakers' user stacks without frame pointers: those are one frame deep"),
    ("sched_waking_r", "sched", "the time threads wait for a CPU after they were woken, and who woke them"),
    ("sched_wakeup_new", "sched", "the first wait for a CPU of a new thread"),
    ("task_rename", "sched", "new names of threads"),
    (
        "oncpu_sample",
        "oncpu",
        "user stacks without frame pointers: those are one frame deep; frames of Python",
    ),
    ("oncpu_sample_r", "oncpu", "on-CPU samples and flame graphs"),
];

impl Verdict {
    pub(super) fn new(program: &'static str, result: Result<(), &ProgramError>) -> Self {
        // SANITY: callers pass names from PROGRAMS.
        let (_, feature, lost) =
            PROGRAMS.into_iter().find(|p| p.0 == program).unwrap_or((program, "unknown", "unknown"));
        let (state, detail) = match result {
            Ok(()) => (State::Works, String::new()),
            Err(e) => (state_of(e), chain(e)),
        };
        Self { program, feature, state, detail, lost }
    }
}

/// The first two numbers of a kernel's release, `6.1.0-50-cloud-amd64`; 0 for those that are not there.
pub(crate) fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Kernel since which a BPF function can be an argument.
const BPF_CALLBACKS_SINCE: (u32, u32) = (5, 13);

fn state_of(error: &ProgramError) -> State {
    let io = match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            // A helper that this kernel does not have yet: `unknown func bpf_…`, 5.10 `invalid func unknown#…`. A function as
            // an argument: a function too many.
            let log = verifier_log.to_string();
            let no_callbacks = log.contains("func_info doesn't match")
                && std::fs::read_to_string("/proc/sys/kernel/osrelease")
                    .is_ok_and(|release| version(&release) < BPF_CALLBACKS_SINCE);
            if log.contains("unknown func") || log.contains("invalid func unknown") || no_callbacks {
                return State::Unsupported;
            }
            // The verifier only speaks when it has read the program: a refusal then is our defect.
            if io_error.raw_os_error() == Some(libc::EACCES) || verifier_log.to_string().len() > 200 {
                return State::Broken;
            }
            io_error
        }
        ProgramError::SyscallError(e) => &e.io_error,
        _ => return State::Broken,
    };
    match io.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => State::Denied,
        Some(libc::EINVAL | libc::ENOENT | libc::ENOSYS | libc::EOPNOTSUPP | libc::ENODEV | libc::E2BIG) => {
            State::Unsupported
        }
        _ => State::Broken,
    }
}

/// The error with its causes on one line; of a verifier log the last lines.
fn chain(error: &ProgramError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > 6 {
        return format!("{} … {}", lines[0], lines[lines.len() - 5..].join(" | "));
    }
    text.replace('\n', " | ")
}

/// Loads and attaches every program once and reports how each fared. For `agent doctor`.
pub fn probe_verdicts() -> Result<Vec<Verdict>, crate::bpf::StartError> {
    let mut probes = super::Probes::load(&super::LoadSpec { endings: true, ..super::LoadSpec::default() })?;
    probes.attach_endings();
    probes.attach_process();
    probes.attach_syscalls(true);
    probes.attach_sched();
    probes.attach_sampling(97);
    probes.attach_resources();
    Ok(probes.verdicts().to_vec())
}
