//! Ground truth: workloads with a fault of which class and culprit are known, and what the agent says of them.
//!
//! A case runs well for some seconds, then its fault is put in. It is void when what its victim gets done does not fall
//! by [`run::FALL`]. What the rules say is judged as a user would see it: the alerts that open, and the findings of the
//! last seconds, worst first.

pub mod beside;
pub mod cases;
pub mod ground;
pub mod load;
pub mod recorded;
pub mod run;
pub mod score;
pub mod stage;
pub mod watch;

/// A case: data.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// One word or two.
    pub name: &'static str,
    /// What it needs around it.
    pub needs: &'static [Need],
    /// Who plays; the first is the victim.
    pub cast: &'static [Role],
    /// What goes wrong.
    pub fault: Fault,
    /// Classes that are right; the first is the one that is expected. None: it must stay silent.
    pub class: &'static [&'static str],
    /// Culprits that are right.
    pub culprit: &'static [Whose],
    /// Classes that would lead astray.
    pub forbidden: &'static [&'static str],
    /// What it does to the victim.
    pub harm: Harm,
}

impl Case {
    /// Nothing is wrong: it must stay silent.
    #[must_use]
    pub const fn is_decoy(&self) -> bool {
        self.class.is_empty()
    }
}

/// What the fault does to the victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// It gets less done: else the case is void.
    Throughput,
    /// None before a limit is reached.
    Later,
}

/// What is made for a case and removed after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A network namespace, in which all of the cast are.
    Network,
    /// A disk of so many MiB: `{disk}`.
    Disk(u64),
    /// A file system of so many MiB on a disk of its own: `{mount}`, `{disk}`.
    Mount(u64),
    /// A file of so many MiB in the case's directory: `{file}`.
    File(u64),
    /// Swap on compressed memory, MiB.
    Swap(u64),
    /// A cgroup for the first of the cast.
    Cgroup,
    /// The same, with a memory limit from the start, MiB.
    Limit(u64),
    /// A FIFO: `{fifo}`.
    Fifo,
    /// A directory to mount a file system on that a process serves: `{point}`.
    Point,
}

/// One of the cast.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// The name of the process.
    pub name: &'static str,
    /// A role of `actor` with its arguments, or a program of the system: `/…`. `{…}` stand for what the case needs.
    pub line: &'static str,
    /// The CPU it is bound to.
    pub cpu: Option<usize>,
    /// Its nice value.
    pub nice: i32,
    /// It comes with the fault.
    pub late: bool,
    /// How many of it.
    pub count: usize,
}

impl Role {
    /// One that is there from the start and runs where it likes.
    #[must_use]
    pub const fn new(name: &'static str, line: &'static str) -> Self {
        Self { name, line, cpu: None, nice: 0, late: false, count: 1 }
    }

    /// It comes with the fault.
    #[must_use]
    pub const fn late(self) -> Self {
        Self { late: true, ..self }
    }

    /// Bound to a CPU.
    #[must_use]
    pub const fn on(self, cpu: usize) -> Self {
        Self { cpu: Some(cpu), ..self }
    }

    /// With a nice value.
    #[must_use]
    pub const fn nice(self, nice: i32) -> Self {
        Self { nice, ..self }
    }

    /// So many of it.
    #[must_use]
    pub const fn times(self, count: usize) -> Self {
        Self { count, ..self }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Nothing: a decoy.
    None,
    /// This one does it badly.
    Spoils(&'static str),
    /// The late ones come.
    Comes,
    /// The cgroup is frozen.
    Freeze,
    /// CPU quota of the cgroup, µs in 100 ms.
    Quota(u64),
    /// Memory limit of the cgroup, MiB.
    Memory(u64),
    /// Limit for reading the disk (or that of the file), bytes a second.
    ReadBytes(u64),
    /// Dirty pages that the disk may have, MiB; and the late ones come.
    Dirty(u64),
    /// Rules for the packets of the network namespace.
    Packets(&'static str),
}

/// A culprit.
#[derive(Debug, Clone, Copy)]
pub enum Whose {
    /// One of the cast.
    Role(&'static str),
    /// The process whose number one of the cast has reported through its meter.
    Told(&'static str),
    /// A process of this name.
    Comm(&'static str),
    /// A thread, of whichever process.
    Thread,
    /// The cgroup of the case.
    Cgroup,
    /// The disk of the case, or that of its files.
    Disk,
    /// The process that listens on this port.
    Peer(u16),
}
