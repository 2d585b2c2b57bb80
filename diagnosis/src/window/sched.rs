//! Where threads spent the window, what they waited for and who ended it.

use std::net::IpAddr;
use std::sync::Arc;

use agent_common::abi::sched::State;
use agent_common::units::{DurNs, MonoNs, Tgid, Tid};
use profile::Sample;
use serde::{Deserialize, Serialize};

use super::SyscallAbi;

/// One process' thread time in a window: for every thread alive the states add up to the time it was alive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessTimes {
    /// Process.
    pub tgid: Tgid,
    /// Its name.
    pub comm: Arc<str>,
    /// Sum over its threads, those that ended included; states without time left out, ascending.
    pub states: Vec<(State, DurNs)>,
    /// Threads that changed state in the window, or ran or were ready throughout.
    pub threads: Vec<ThreadTimes>,
    /// Threads that stayed in one wait throughout, by state. Their time is in `states`.
    pub resting: Vec<(State, u32)>,
    /// Oldest wait that is still open at the end of the window and not idle ([`State::is_idle`]).
    pub oldest: Option<OpenWait>,
}

/// One thread's time in a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadTimes {
    /// Thread.
    pub tid: Tid,
    /// Its own name, where it is known.
    pub comm: Arc<str>,
    /// States without time left out, ascending. They add up to the time it was alive in the window.
    pub states: Vec<(State, DurNs)>,
    /// Switches away because it blocked.
    pub voluntary: u64,
    /// Switches away because somebody else had to run.
    pub preempted: u64,
    /// What it is in at the end; `None` when it has ended.
    pub now: Option<OpenWait>,
}

/// A state that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWait {
    /// Thread.
    pub tid: Tid,
    /// The state.
    pub state: State,
    /// For how long already (at least: it may have begun before the agent).
    pub age: DurNs,
    /// The system call it is in.
    pub syscall: Option<(SyscallAbi, u16)>,
    /// Its first argument (futex address, descriptor).
    pub arg: u64,
}

/// A wait that was looked at: taken when a thread's blocked time crosses a quantum, so that each ns of waiting has the
/// same chance, long or short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// When it ended, or the end of the window.
    pub at: MonoNs,
    /// It has not ended, and holds its thread up: a lock with a known owner is waited for, or an answer. `weight` is its part
    /// of this window, and it has no stacks.
    #[serde(default)]
    pub open: bool,
    /// Process at the other end of what is waited for, where it was looked for: `open` ones have no waker.
    #[serde(default)]
    pub peer: Option<Tgid>,
    /// Process.
    pub tgid: Tgid,
    /// Thread.
    pub tid: Tid,
    /// Thread's name.
    pub comm: Arc<str>,
    /// What it was accounted as.
    pub accounted: State,
    /// What it was, by the functions on its kernel stack.
    pub state: State,
    /// The system call it was in; `None` in a page fault or a kernel thread.
    pub syscall: Option<(SyscallAbi, u16)>,
    /// Its length.
    pub waited: DurNs,
    /// Blocked time of the thread that it stands for.
    pub weight: DurNs,
    /// What it waited for.
    pub target: WaitTarget,
    /// Who ended it; `None` when an interrupt did, or nobody's doing.
    pub waker: Option<Waker>,
    /// Kernel stack of the waiting thread, addresses, leaf first.
    pub kernel: Box<[u64]>,
    /// User stack, leaf first; empty where it could not be taken.
    pub user: Box<[u64]>,
}

impl Wait {
    /// The stack of the waiting thread. It weighs the time that the wait stands for.
    #[must_use]
    pub fn sample(&self) -> Sample {
        Sample {
            at: self.at,
            tgid: self.tgid.0,
            tid: self.tid.0,
            comm: Arc::clone(&self.comm),
            kernel: self.kernel.clone(),
            user: self.user.clone(),
            weight: self.weight.0,
        }
    }
}

/// The thread that ended a wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waker {
    /// Process.
    pub tgid: Tgid,
    /// Thread.
    pub tid: Tid,
    /// Its name.
    pub comm: Arc<str>,
    /// It has waited for the same futex word itself, and for no other one since.
    #[serde(default)]
    pub takes_turns: bool,
    /// It ended a poll by closing its end, or by its own end; of other waits it is not asked.
    #[serde(default)]
    pub closes: bool,
    /// Its kernel stack, leaf first.
    pub kernel: Box<[u64]>,
    /// Its user stack, leaf first.
    pub user: Box<[u64]>,
}

impl Waker {
    /// Its stack, without a time and without a weight.
    #[must_use]
    pub fn sample(&self) -> Sample {
        Sample {
            at: MonoNs(0),
            tgid: self.tgid.0,
            tid: self.tid.0,
            comm: Arc::clone(&self.comm),
            kernel: self.kernel.clone(),
            user: self.user.clone(),
            weight: 0,
        }
    }
}

/// What a wait was for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WaitTarget {
    /// Not known, or nothing to name.
    #[default]
    None,
    /// A futex word.
    Futex {
        /// Address in the process.
        addr: u64,
        /// Thread that owns the lock, where the word or the lock says so.
        owner: Option<Tid>,
    },
    /// A futex word of a lock whose owner has ended with it: nobody will unlock it.
    Orphaned {
        /// Address in the process.
        addr: u64,
        /// The thread that there was.
        owner: Tid,
    },
    /// A file, directory, block or character device.
    File {
        /// Device number of the file system (`major << 20 | minor`, as the kernel keeps it).
        dev: u32,
        /// Inode.
        inode: u64,
    },
    /// A pipe or FIFO.
    Pipe {
        /// Inode.
        inode: u64,
    },
    /// An answer of the process that serves a file system (FUSE).
    FileServer {
        /// Number of the connection; 0 where that is not known.
        connection: u32,
    },
    /// A local socket.
    Unix {
        /// Process at the other end, where it is known: who made it.
        peer: Option<Tgid>,
        /// Whether this end was connected to; `None` where that is not known.
        #[serde(default)]
        serves: Option<bool>,
    },
    /// A network socket.
    Socket {
        /// `IPPROTO_*`.
        protocol: u16,
        /// Port at this end.
        local_port: u16,
        /// The other end; `None` when not connected.
        peer: Option<(IpAddr, u16)>,
    },
}

/// A wait for a lock on a file that had not ended when the window did, or tries for one that another process had then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLockRow {
    /// Who waits.
    pub waiter: Tgid,
    /// It does not wait: it tries, is refused, and tries again.
    #[serde(default)]
    pub tried: bool,
    /// Who holds the lock.
    pub holder: Tgid,
    /// Device number of the file's file system (`major << 20 | minor`).
    pub dev: u32,
    /// Its inode.
    pub inode: u64,
}

/// A process of which every thread waits, without a time-out, for another one of the same process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standstill {
    /// Process.
    pub tgid: Tgid,
    /// Its threads.
    pub threads: u32,
    /// For how long already (at least).
    pub age: DurNs,
    /// It was seen to run, and has no use for a signal: nothing but its end is left to it.
    pub stopped: bool,
}

/// A process that a cgroup keeps frozen at the end of a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenRow {
    /// Process.
    pub tgid: Tgid,
    /// The cgroup that was told to freeze: its own, or one above it.
    pub cgroup: Arc<str>,
    /// The file that it was told in: `…/cgroup.freeze` (v2) or `…/freezer.state` (v1).
    pub file: Arc<str>,
    /// For how long nothing of it has moved already (at least).
    pub age: DurNs,
}

/// The claim of a thread to a CPU, of threads that compete for one while others of their process wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadPriority {
    /// Process.
    pub tgid: Tgid,
    /// Thread.
    pub tid: Tid,
    /// `priority` of `/proc/PID/task/TID/stat`: 20 and the nice value, below 0 with real-time priority. Less is more claim.
    pub priority: i32,
}

/// Time that one process' threads waited for a CPU while another process ran on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunqBlame {
    /// Who waited.
    pub victim: Tgid,
    /// Who ran.
    pub culprit: Tgid,
    /// Thread time of the victim.
    pub waited: DurNs,
}
