//! A process in a window: its resource use, and its state at the end.

use std::sync::Arc;

use agent_common::units::{BootNs, DurNs, Tgid};
use agent_common::wire::finding::Place;
use serde::{Deserialize, Serialize};

/// State of a thread, as the kernel prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TaskState {
    /// `R`: running or on a run queue.
    Running,
    /// `S`: asleep, can be interrupted.
    Sleeping,
    /// `D`: asleep, cannot be interrupted (disk, and much else).
    DiskSleep,
    /// `Z`: ended, not yet reaped.
    Zombie,
    /// `T`: stopped by a signal.
    Stopped,
    /// `t`: stopped by a tracer.
    Traced,
    /// `I`: idle kernel thread.
    Idle,
    /// `X`: being removed.
    Dead,
    /// Anything else (`P` parked, `K` wake-kill, `W`).
    Other,
}

impl TaskState {
    /// The state that the kernel prints as this letter.
    #[must_use]
    pub const fn from_letter(letter: u8) -> Self {
        match letter {
            b'R' => Self::Running,
            b'S' => Self::Sleeping,
            b'D' => Self::DiskSleep,
            b'Z' => Self::Zombie,
            b'T' => Self::Stopped,
            b't' => Self::Traced,
            b'I' => Self::Idle,
            b'X' | b'x' => Self::Dead,
            _ => Self::Other,
        }
    }

    /// The kernel's letter (`?` for [`Self::Other`]).
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Running => 'R',
            Self::Sleeping => 'S',
            Self::DiskSleep => 'D',
            Self::Zombie => 'Z',
            Self::Stopped => 'T',
            Self::Traced => 't',
            Self::Idle => 'I',
            Self::Dead => 'X',
            Self::Other => '?',
        }
    }
}

/// Storage I/O in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskIo {
    /// Bytes fetched from storage.
    pub read_bytes: u64,
    /// Bytes sent to storage (when dirtied), less what was truncated before it got there.
    pub write_bytes: u64,
}

/// Resource use of a process in a window (differences), and its state at the end. Identity: `tgid` + `start_boot_ns`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskSample {
    /// The process.
    pub tgid: Tgid,
    /// Its start, cut to clock ticks (10 ms) by the kernel.
    pub start_boot_ns: BootNs,
    /// Age at the end of the window, if it began inside the window.
    pub born: Option<DurNs>,
    /// Its parent.
    pub parent: Tgid,
    /// Its name.
    pub comm: Arc<str>,
    /// State of its main thread.
    pub state: TaskState,
    /// It is a kernel thread.
    pub kernel: bool,
    /// Its nice value, -20 to 19.
    pub nice: i32,
    /// Real-time priority of its main thread, 1 to 99; 100: `SCHED_DEADLINE`; 0: it has none.
    #[serde(default)]
    pub real_time: u8,
    /// Its threads.
    pub threads: u32,
    /// CPU time in user mode, in ticks of 10 ms.
    pub user: DurNs,
    /// CPU time in kernel mode, in ticks of 10 ms.
    pub system: DurNs,
    /// Time runnable but not running, all threads; `None` on a kernel without `sched_info`.
    pub runq: Option<DurNs>,
    /// Times that a thread of it was switched in; `None` as above.
    pub context_switches: Option<u64>,
    /// Page faults served without I/O.
    pub min_flt: u64,
    /// Page faults that read from storage.
    pub maj_flt: u64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Mapped memory.
    pub virtual_bytes: u64,
    /// Swapped out; `None` for kernel threads and where it cannot be read.
    pub swap_bytes: Option<u64>,
    /// Storage I/O; `None` without permission.
    pub io: Option<TaskIo>,
    /// Open file descriptors; `None` without permission.
    pub fds: Option<u32>,
    /// Limit on them; `None` when unlimited or not readable.
    pub fd_limit: Option<u64>,
    /// Path in the cgroup hierarchy (v2; else that of the memory, systemd or pids hierarchy).
    pub cgroup: Arc<str>,
    /// The cgroup with its CPU quota, where that is another one: one above, or one of another hierarchy (v1).
    #[serde(default)]
    pub cpu_cgroup: Option<Arc<str>>,
    /// Id of its container.
    pub container: Option<Arc<str>>,
    /// What the container's runtime calls it, where its files say.
    #[serde(default)]
    pub labels: Option<Arc<ContainerLabels>>,
    /// systemd's unit of it; of a process in a container none.
    #[serde(default)]
    pub unit: Option<Arc<str>>,
}

/// What a runtime's files say of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerLabels {
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Name of its Kubernetes pod.
    pub pod: Option<Arc<str>>,
    /// Namespace of the pod.
    pub namespace: Option<Arc<str>>,
    /// Its image.
    pub image: Option<Arc<str>>,
}

/// Digits of a container's id that people and tools show.
const SHORT_ID_DIGITS: usize = 12;

/// What a process with this container, these labels and this unit belongs to.
#[must_use]
pub fn place(
    container: Option<&Arc<str>>,
    labels: Option<&Arc<ContainerLabels>>,
    unit: Option<&Arc<str>>,
) -> Place {
    let owned = |text: &Arc<str>| text.as_ref().to_owned();
    let label = |of: fn(&ContainerLabels) -> &Option<Arc<str>>| {
        labels.and_then(|labels| of(labels).as_ref()).map(owned)
    };
    let short = || container.map(|id| id.chars().take(SHORT_ID_DIGITS).collect());
    Place {
        container: label(|labels| &labels.name).or_else(short),
        pod: label(|labels| &labels.pod),
        namespace: label(|labels| &labels.namespace),
        image: label(|labels| &labels.image),
        unit: unit.map(owned),
    }
}

impl Default for TaskSample {
    fn default() -> Self {
        Self {
            tgid: Tgid(0),
            start_boot_ns: BootNs(0),
            born: None,
            parent: Tgid(0),
            comm: "".into(),
            state: TaskState::Sleeping,
            kernel: false,
            nice: 0,
            real_time: 0,
            threads: 1,
            user: DurNs(0),
            system: DurNs(0),
            runq: None,
            context_switches: None,
            min_flt: 0,
            maj_flt: 0,
            rss_bytes: 0,
            virtual_bytes: 0,
            swap_bytes: None,
            io: None,
            fds: None,
            fd_limit: None,
            cgroup: "".into(),
            cpu_cgroup: None,
            container: None,
            labels: None,
            unit: None,
        }
    }
}

impl TaskSample {
    /// What it belongs to.
    #[must_use]
    pub fn place(&self) -> Place {
        place(self.container.as_ref(), self.labels.as_ref(), self.unit.as_ref())
    }
}

/// Resource use of a process over its life at its last reading: windows already have this part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskTotals {
    /// CPU time.
    pub cpu: DurNs,
    /// Minor faults.
    pub min_flt: u64,
    /// Major faults.
    pub maj_flt: u64,
}
