//! What an event is about.

use std::fmt;

use regex::Captures;
use serde::{Deserialize, Serialize};

/// Bytes of a subject's name; a cgroup's path may be long.
const MAX_NAME_BYTES: usize = 256;

/// What kind of thing an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// The host as a whole.
    Host,
    /// A process: its comm, and its PID if the line has it.
    Process,
    /// A disk, a bus address, a port of a controller.
    Device,
    /// A network interface.
    Interface,
    /// A file system, by its device.
    Filesystem,
    /// A systemd unit.
    Unit,
    /// A cgroup, by its path.
    Cgroup,
    /// A kernel module, or a memory module.
    Module,
    /// A CPU, by its number.
    Cpu,
    /// A port that is listened on.
    Port,
    /// Another host.
    Server,
    /// A table or list of the kernel.
    Table,
    /// A page of memory.
    Page,
    /// An interrupt.
    Irq,
    /// A clock.
    Clock,
    /// A function of the kernel.
    Function,
    /// A cache of the kernel's allocator.
    Slab,
    /// Of a newer version.
    #[serde(other)]
    Other,
}

/// Names of the groups in rules' patterns, and what a match of them is.
pub(super) const GROUPS: [(&str, SubjectKind); 17] = [
    ("device", SubjectKind::Device),
    ("interface", SubjectKind::Interface),
    ("filesystem", SubjectKind::Filesystem),
    ("unit", SubjectKind::Unit),
    ("cgroup", SubjectKind::Cgroup),
    ("module", SubjectKind::Module),
    ("cpu", SubjectKind::Cpu),
    ("cpu2", SubjectKind::Cpu),
    ("port", SubjectKind::Port),
    ("server", SubjectKind::Server),
    ("table", SubjectKind::Table),
    ("page", SubjectKind::Page),
    ("irq", SubjectKind::Irq),
    ("clock", SubjectKind::Clock),
    ("function", SubjectKind::Function),
    ("slab", SubjectKind::Slab),
    ("comm", SubjectKind::Process),
];

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// Of which kind.
    pub kind: SubjectKind,
    /// Its name, made harmless; empty for the host.
    pub name: String,
    /// PID of a process; 0: not known.
    #[serde(default)]
    pub pid: u32,
}

impl Subject {
    /// The host.
    pub(super) const HOST: Self = Self { kind: SubjectKind::Host, name: String::new(), pid: 0 };

    pub(super) fn new(kind: SubjectKind, name: &str, pid: u32) -> Self {
        let name = &name[..name.floor_char_boundary(MAX_NAME_BYTES)];
        Self { kind, name: agent_common::text::clean(name), pid }
    }

    /// As the groups of a pattern say.
    pub(super) fn of(captures: &Captures<'_>) -> Self {
        let pid = captures.name("pid").and_then(|pid| pid.as_str().parse().ok()).unwrap_or(0);
        GROUPS
            .iter()
            .find_map(|(group, kind)| captures.name(group).map(|name| Self::new(*kind, name.as_str(), pid)))
            .unwrap_or(Self::HOST)
    }
}

impl fmt::Display for SubjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Process => "process",
            Self::Device => "device",
            Self::Interface => "interface",
            Self::Filesystem => "filesystem",
            Self::Unit => "unit",
            Self::Cgroup => "cgroup",
            Self::Module => "module",
            Self::Cpu => "cpu",
            Self::Port => "port",
            Self::Server => "server",
            Self::Table => "table",
            Self::Page => "page",
            Self::Irq => "irq",
            Self::Clock => "clock",
            Self::Function => "function",
            Self::Slab => "slab",
            Self::Other => "other",
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { kind: SubjectKind::Host, .. } => f.write_str("host"),
            Self { kind, name, pid: 0 } => write!(f, "{kind} {name}"),
            Self { kind, name, pid } => write!(f, "{kind} {name} ({pid})"),
        }
    }
}
