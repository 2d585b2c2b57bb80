//! What is known of the end of a process. Times are Unix time unless a name says otherwise.

use serde::{Deserialize, Serialize};

/// All that was seen of one end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Who.
    pub process: Process,
    /// How.
    pub ended: Ended,
    /// The address that it must not touch, for SIGSEGV and SIGBUS.
    pub fault: Option<Fault>,
    /// What the C library, C++'s or Go's run time left in memory before it aborted: glibc's `__abort_msg`.
    pub abort_text: String,
    /// Its stack when the signal was delivered or `exit_group` called with a code that is not 0: leaf first.
    pub stack: Vec<Frame>,
    /// System call that seccomp refused, by name.
    pub seccomp_call: Option<String>,
    /// Its system calls that failed, in the order of their last time; the newest last. Those that fail all the time in any program
    /// (EAGAIN, EINTR, the loader's search for libraries that ended well) are in it too.
    pub failed_calls: Vec<FailedCall>,
    /// The end of what it wrote to stdout and stderr, oldest first.
    pub last_words: Vec<Words>,
    /// Lines of logs by it or about it, oldest first.
    pub lines: Vec<Line>,
    /// Limits, and how much of them it used at the end.
    pub limits: Vec<Limit>,
    /// The kernel's choice for lack of memory.
    pub oom: Option<Oom>,
    /// What changed on the host in the minutes before.
    pub changes: Vec<Change>,
    /// Earlier ends of the same unit, container or, without either, the same program with the same arguments; oldest first.
    pub earlier: Vec<Earlier>,
    /// What its threads waited for when it was killed.
    pub waits: Vec<Wait>,
    /// What could not be seen, in words: `its memory was gone`.
    pub unseen: Vec<String>,
}

/// A process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Its number in the host's namespace.
    pub pid: u32,
    /// When it started, boot time.
    pub start_ns: u64,
    /// When it started.
    pub started_at_ns: u64,
    /// Its name of 15 bytes.
    pub comm: String,
    /// Path of its program.
    pub exe: String,
    /// Its arguments, separated by blanks.
    pub cmdline: String,
    /// systemd's unit.
    pub unit: Option<String>,
    /// Name of the container, else its id.
    pub container: Option<String>,
    /// Its user.
    pub uid: u32,
    /// The process that started it.
    pub parent: Other,
    /// How the parent ended, if it did before this process or in the same moment.
    pub parent_end: Option<ParentEnd>,
}

/// How a parent ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParentEnd {
    /// When.
    pub at_ns: u64,
    /// The code, if it exited.
    pub code: Option<i32>,
    /// The signal, if one ended it.
    pub signal: Option<u8>,
}

/// Another process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Other {
    /// Its number; 0: the kernel.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Its user.
    pub uid: u32,
    /// Its arguments, separated by blanks; empty: not known.
    pub cmdline: String,
    /// The process that started it; 0: not known.
    pub parent_pid: u32,
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// When.
    pub at_ns: u64,
    /// The code, if it exited.
    pub code: Option<i32>,
    /// The signal, if one ended it.
    pub signal: Option<u8>,
    /// The signal's `si_code`.
    pub si_code: i32,
    /// A core was dumped.
    pub core: bool,
    /// Who sent the signal; `None`: it raised it itself, or the kernel did.
    pub by: Option<Other>,
    /// It ran a program that was not found or not executable: what `execve` of its parent's child failed with is then in
    /// [`Facts::failed_calls`], and it had not replaced itself by another program yet.
    pub never_execed: bool,
}

/// A memory access that the kernel refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// Address touched.
    pub addr: u64,
    /// Address of the instruction.
    pub ip: u64,
    /// The stack pointer then.
    pub sp: u64,
    /// It wrote; `None`: not known.
    pub write: Option<bool>,
    /// It tried to run what is there.
    pub fetch: Option<bool>,
    /// What is at the address.
    pub place: Place,
}

/// What lies at an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Place {
    /// Not known.
    #[default]
    Unknown,
    /// Nothing is mapped there.
    Nothing,
    /// Below the lowest address of a stack, within its guard or next to it.
    StackGuard,
    /// A mapping that does not allow this access, or, of SIGBUS, a mapped file whose page could not be had.
    Mapping {
        /// `rw-`, `r-x`, …
        permissions: String,
        /// Path, or the last component of it, or `[heap]`; empty: anonymous memory.
        name: String,
    },
    /// A mapped file, after its end: somebody cut it.
    PastEnd {
        /// Its path, or the last component of it.
        file: String,
    },
}

/// One level of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Frame {
    /// Name of the function, or `[unknown]`.
    pub function: String,
    /// File name of the program or library.
    pub module: String,
    /// `file.c:12`, if known.
    pub line: String,
}

/// A system call that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailedCall {
    /// Its last time.
    pub at_ns: u64,
    /// Name: `openat`.
    pub call: String,
    /// `ENOENT`.
    pub errno: String,
    /// Path that it named.
    pub path: String,
    /// Address that it connected, bound or sent to: `127.0.0.1:5432`, `unix:/run/x`.
    pub peer: String,
    /// How often it failed like this.
    pub count: u64,
    /// For an address in use: who has it.
    pub holder: Option<Other>,
    /// The path exists, looked up after the end; `None`: not looked up. A program that exists and is not found lacks its interpreter.
    pub path_exists: Option<bool>,
}

/// Something that it wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Words {
    /// When.
    pub at_ns: u64,
    /// 1 or 2.
    pub fd: i32,
    /// Text; secrets are replaced.
    pub text: String,
    /// It was longer.
    pub cut: bool,
}

/// A line of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// When.
    pub at_ns: u64,
    /// Syslog's number, 8: not known.
    pub severity: u8,
    /// Text; several lines if they belong together.
    pub text: String,
    /// Where it is: `journal:4711`, `/var/log/app.log:1234`.
    pub reference: String,
    /// No line like it was seen before.
    pub new_pattern: bool,
}

/// A limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limit {
    /// As in `setrlimit`, in lower case: `nofile`, `as`, `cpu`, `data`, `fsize`, `nproc`, `stack`, `memlock`; or `memory.max`, `pids.max`.
    pub name: String,
    /// Used at the end, in the limit's unit.
    pub used: Option<f64>,
    /// The limit; `None`: none.
    pub limit: Option<f64>,
    /// Whose, for a group's: its path.
    pub group: String,
}

/// Killed for lack of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Oom {
    /// The control group whose limit was reached; `None`: the host's memory was used up.
    pub group: Option<String>,
    /// That limit in bytes.
    pub limit_bytes: Option<u64>,
    /// Memory of the process: anonymous, bytes.
    pub anon_bytes: Option<u64>,
    /// The largest process then, if it was another one.
    pub largest: Option<(Other, u64)>,
}

/// A change on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// When.
    pub at_ns: u64,
    /// `package`, `file`, `build`, `sysctl`, `mount`.
    pub kind: String,
    /// What: `/etc/app.conf`, `libssl3 3.0.15 → 3.0.16`.
    pub what: String,
    /// Who, if it was seen.
    pub by: Option<Other>,
}

/// An earlier end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Earlier {
    /// When.
    pub at_ns: u64,
    /// The code.
    pub code: Option<i32>,
    /// The signal.
    pub signal: Option<u8>,
}

/// What a thread waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wait {
    /// The thread.
    pub tid: u32,
    /// In words of the report: `futex`, `disk read`, …
    pub kind: String,
    /// The address or object.
    pub object: String,
    /// Who holds it.
    pub holder_tid: u32,
    /// How long.
    pub for_ns: u64,
}
