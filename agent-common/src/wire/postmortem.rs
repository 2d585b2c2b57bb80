//! A post-mortem: why a process ended badly.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::make_clean;

/// Declares the enum, the list of its variants and their names.
macro_rules! causes {
    ($($variant:ident $name:literal $what:literal,)*) => {
        /// What kind of cause it is. In JSON, metrics and text it is its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum CauseClass {
            $(#[doc = $what] $variant,)*
        }

        impl CauseClass {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name: stable, lower case, words joined by `-`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it says, in a few words.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$variant => $what,)*
                }
            }
        }
    };
}

causes! {
    NullPointer "null-pointer" "It used a pointer that is null, or null and a small offset.",
    BadPointer "bad-pointer" "It touched memory that it does not have, or not for this.",
    StackOverflow "stack-overflow" "It used up a thread's stack.",
    Assertion "assertion" "A condition that it checks itself did not hold.",
    Abort "abort" "It ended itself by `abort`.",
    HeapCorruption "heap-corruption" "The allocator or a sanitizer found the heap damaged.",
    IllegalInstruction "illegal-instruction" "The CPU could not carry out an instruction.",
    UncaughtException "uncaught-exception" "An exception that nothing caught.",
    Panic "panic" "A panic of Go, Rust or Swift.",
    OomCgroup "oom-cgroup" "Killed because a control group reached its memory limit.",
    OomHost "oom-host" "Killed because the host ran out of memory.",
    HeapLimit "heap-limit" "It got no more memory from its run time or within its own limit.",
    KilledByProcess "killed-by-process" "Another process sent the signal.",
    KilledByWatchdog "killed-by-watchdog" "Its supervisor ended it because it did not answer.",
    Deadlock "deadlock" "Its threads waited for each other in a circle.",
    Seccomp "seccomp" "A filter refused a system call.",
    ConnectionRefused "connection-refused" "Nothing listens where it wants to connect.",
    NameResolution "name-resolution" "A host name could not be resolved.",
    Timeout "timeout" "A peer, or something that it waited for, did not answer in time.",
    Permission "permission" "It may not do what it tried.",
    NotFound "not-found" "A file or program that it needs does not exist.",
    MissingLibrary "missing-library" "A library, symbol or module that it needs cannot be loaded.",
    ExecFormat "exec-format" "The file is no program for this host.",
    ExecPermission "exec-permission" "The program may not be executed.",
    AddressInUse "address-in-use" "Another process has the address that it wants to listen on.",
    DiskFull "disk-full" "No space, or no quota, is left in a file system.",
    FdLimit "fd-limit" "A limit on descriptors, watches or tasks was reached.",
    CpuLimit "cpu-limit" "It used up its limit of CPU time.",
    FileSizeLimit "file-size-limit" "A file grew to the limit for its size.",
    BrokenPipe "broken-pipe" "The other end of a pipe or connection is gone.",
    ParentDied "parent-died" "It ended with its parent.",
    ConfigError "config-error" "Its configuration or arguments are wrong.",
    BadUpgrade "bad-upgrade" "A package or build that changed just before does not fit.",
    HardwareError "hardware-error" "Memory, a disk or another device is faulty.",
    ByDesign "by-design" "The end is as it is meant to be.",
    Unknown "unknown" "No evidence says why.",
}

impl fmt::Display for CauseClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for CauseClass {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// A class that a newer agent knows is `unknown` here.
impl<'de> Deserialize<'de> for CauseClass {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        Ok(Self::ALL.iter().copied().find(|class| class.name() == name).unwrap_or(Self::Unknown))
    }
}

/// Why a process ended badly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostMortem {
    /// Who.
    pub process: EndedProcess,
    /// How.
    pub ended: End,
    /// Why, most likely.
    pub cause: Cause,
    /// What speaks for it, the strongest first.
    pub evidence: Vec<Proof>,
    /// What else was considered.
    pub ruled_out: Vec<RuledOut>,
    /// Present if it ends like this again and again.
    #[serde(rename = "loop")]
    pub repeats: Option<Loop>,
}

/// The process that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedProcess {
    /// Its number in the host's namespace.
    pub pid: u32,
    /// When it started, boot time.
    pub start_ns: u64,
    /// Its name.
    pub comm: String,
    /// Path of its program.
    pub exe: String,
    /// Its arguments, separated by blanks.
    pub cmdline: String,
    /// systemd's unit.
    pub unit: Option<String>,
    /// Name of the container, else its id.
    pub container: Option<String>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When, Unix time.
    pub at_ns: u64,
    /// What ended it.
    pub kind: EndKind,
    /// The code, if it exited.
    pub code: Option<i32>,
    /// The signal, if one ended it.
    pub signal: Option<u8>,
    /// A core was dumped.
    pub core: bool,
    /// Who sent the signal; `None`: it raised it itself, or the kernel did.
    pub by: Option<Sender>,
}

/// What ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndKind {
    /// It exited with a code.
    Exit,
    /// A signal.
    Signal,
    /// The kernel, for lack of memory.
    Oom,
}

/// Who sent the signal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Its number; 0: the kernel.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Its user.
    pub uid: u32,
}

/// The likely root cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Its class.
    pub class: CauseClass,
    /// Who or what is to blame.
    pub subject: Blamed,
    /// One sentence.
    pub text: String,
    /// 0..=1.
    pub confidence: f64,
}

/// Who or what is to blame. What is not known, or does not fit the kind, is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Blamed {
    /// `process`, `function`, `file`, `library`, `peer`, `cgroup`, `host`, `limit`, `syscall`, `package` or `unit`.
    pub kind: String,
    /// The process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// File, library, program or control group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Address or host name of the other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// systemd's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Function where it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// `file.c:12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// System call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Limit: `nofile`, `memory.max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Package, exception or other thing with a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Something that speaks for the cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Where it comes from.
    pub kind: ProofKind,
    /// What it says.
    pub text: String,
    /// When, Unix time; 0: not known.
    pub at_ns: u64,
    /// Where to read on: `journal:4711`; empty: nowhere.
    #[serde(rename = "ref")]
    pub reference: String,
}

/// Where evidence comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofKind {
    /// The kernel: signal, sender, fault, choice of the OOM killer.
    Kernel,
    /// What the run time left in memory before it aborted.
    Abort,
    /// Its stack.
    Stack,
    /// A system call that failed.
    Syscall,
    /// What it wrote, or a log has.
    Log,
    /// A limit.
    Limit,
    /// A change on the host.
    Change,
}

impl ProofKind {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Abort => "abort",
            Self::Stack => "stack",
            Self::Syscall => "syscall",
            Self::Log => "log",
            Self::Limit => "limit",
            Self::Change => "change",
        }
    }
}

/// A class that was considered and lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuledOut {
    /// The class.
    pub class: CauseClass,
    /// Why it is not the cause.
    pub why_not: String,
}

/// It ends badly again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loop {
    /// Bad ends, this one too.
    pub count: u32,
    /// From the first to this one, seconds.
    pub span_s: u64,
}

impl PostMortem {
    /// With every text cleaned: none holds a character that a terminal obeys or hides.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        self.each_text(make_clean);
        self
    }

    /// Calls `change` with every text that can be foreign.
    pub fn each_text(&mut self, mut change: impl FnMut(&mut String)) {
        let EndedProcess { comm, exe, cmdline, unit, container, .. } = &mut self.process;
        let Blamed {
            kind, comm: name_of, path, peer, unit: unit_of, function, line, call, limit, name, ..
        } = &mut self.cause.subject;
        let sender = self.ended.by.iter_mut().map(|by| &mut by.comm);
        let proofs = self.evidence.iter_mut().flat_map(|proof| [&mut proof.text, &mut proof.reference]);
        let lost = self.ruled_out.iter_mut().map(|lost| &mut lost.why_not);
        let optional = [unit, container, name_of, path, peer, unit_of, function, line, call, limit, name];
        [comm, exe, cmdline, kind, &mut self.cause.text]
            .into_iter()
            .chain(optional.into_iter().flatten())
            .chain(sender)
            .chain(proofs)
            .chain(lost)
            .for_each(&mut change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> PostMortem {
        PostMortem {
            process: EndedProcess { pid: 4711, comm: "wor\u{1b}[2Jker".into(), ..EndedProcess::default() },
            ended: End { at_ns: 9, kind: EndKind::Exit, code: Some(1), signal: None, core: false, by: None },
            cause: Cause {
                class: CauseClass::ConnectionRefused,
                subject: Blamed {
                    kind: "peer".into(),
                    peer: Some("127.0.0.1:5432".into()),
                    ..Blamed::default()
                },
                text: "worker (4711) could not connect\nto 127.0.0.1:5432".into(),
                confidence: 0.9,
            },
            evidence: vec![Proof {
                kind: ProofKind::Syscall,
                text: "connect failed".into(),
                at_ns: 8,
                reference: "\u{202e}".into(),
            }],
            ruled_out: vec![RuledOut { class: CauseClass::Timeout, why_not: "an answer came".into() }],
            repeats: Some(Loop { count: 3, span_s: 20 }),
        }
    }

    #[test]
    fn the_json_is_that_of_the_reference() {
        let json = serde_json::to_value(example().cleaned()).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "process": {"pid": 4711, "start_ns": 0, "comm": "wor\\u{1b}[2Jker", "exe": "", "cmdline": "",
                    "unit": null, "container": null},
                "ended": {"at_ns": 9, "kind": "exit", "code": 1, "signal": null, "core": false, "by": null},
                "cause": {"class": "connection-refused", "subject": {"kind": "peer", "peer": "127.0.0.1:5432"},
                    "text": "worker (4711) could not connect\\nto 127.0.0.1:5432", "confidence": 0.9},
                "evidence": [{"kind": "syscall", "text": "connect failed", "at_ns": 8, "ref": "\\u{202e}"}],
                "ruled_out": [{"class": "timeout", "why_not": "an answer came"}],
                "loop": {"count": 3, "span_s": 20},
            })
        );
        let back: PostMortem = serde_json::from_value(json).expect("a post-mortem");
        assert_eq!(back, example().cleaned());
    }

    #[test]
    fn a_class_of_a_newer_agent_is_unknown_here() {
        assert_eq!(
            serde_json::from_str::<CauseClass>("\"cosmic-ray\"").expect("a class"),
            CauseClass::Unknown
        );
        for class in CauseClass::ALL {
            let json = serde_json::to_string(class).expect("JSON");
            assert_eq!(serde_json::from_str::<CauseClass>(&json).expect("a class"), *class);
        }
    }
}
