//! Thread time by state, waits with their targets and wakers.

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
    /// Switches away because another thread had to run.
    pub preempted: u64,
    /// Its state at the end; `None` when it has ended.
    pub now: Option<OpenWait>,
}

/// A wait that is open at the end of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWait {
    /// Thread.
    pub tid: Tid,
    /// The state.
    pub state: State,
    /// Its age (a lower bound: it may have begun before the agent).
    pub age: DurNs,
    /// The system call it is in.
    pub syscall: Option<(SyscallAbi, u16)>,
    /// Its first argument (futex address, descriptor).
    pub arg: u64,
}

/// A recorded wait. A wait is recorded when the thread's blocked time crosses a quantum, so that each ns of waiting, in long and
/// short waits, has the same chance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// When it ended, or the end of the window.
    pub at: MonoNs,
    /// It has not ended: a wait for a lock with a known owner, or for an answer. `weight` is its part of this window, and it has no
    /// stacks.
    #[serde(default)]
    pub open: bool,
    /// Process at the other end of an `open` wait, where it is known: open waits have no waker.
    #[serde(default)]
    pub peer: Option<Tgid>,
    /// Process.
    pub tgid: Tgid,
    /// Thread.
    pub tid: Tid,
    /// Thread's name.
    pub comm: Arc<str>,
    /// The state under which the kernel side accounted it.
    pub accounted: State,
    /// Its state by the functions on its kernel stack.
    pub state: State,
    /// The system call it was in; `None` in a page fault or a kernel thread.
    pub syscall: Option<(SyscallAbi, u16)>,
    /// Its length.
    pub waited: DurNs,
    /// Blocked time of the thread that this record stands for.
    pub weight: DurNs,
    /// What it waited for.
    pub target: WaitTarget,
    /// The thread that ended it; `None` for an interrupt or a time-out.
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
    /// It ended a poll by closing its end, or by its exit. False for other waits.
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

/// The target of a wait.
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
    /// A futex word of a lock whose owner has ended: no thread will unlock it.
    Orphaned {
        /// Address in the process.
        addr: u64,
        /// The ended thread.
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
        /// Process at the other end, where it is known: the one that created the socket.
        peer: Option<Tgid>,
        /// True for the server's end; `None` where that is not known.
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

/// An open wait for a file lock at the end of the window, or tries for one that another process holds then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLockRow {
    /// The waiting process.
    pub waiter: Tgid,
    /// It does not wait: it tries, is refused, and tries again.
    #[serde(default)]
    pub tried: bool,
    /// The holder.
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
    /// Its age (a lower bound).
    pub age: DurNs,
    /// The agent has seen it run, and it has no signal handlers of its own: it can only be killed.
    pub stopped: bool,
}

/// A process that a cgroup keeps frozen at the end of a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenRow {
    /// Process.
    pub tgid: Tgid,
    /// The frozen cgroup: its own, or one above it.
    pub cgroup: Arc<str>,
    /// The file that freezes and thaws it: `…/cgroup.freeze` (v2) or `…/freezer.state` (v1).
    pub file: Arc<str>,
    /// Time since any of its threads ran (a lower bound).
    pub age: DurNs,
}

/// Priority of a thread that competes for a CPU while others of its process wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadPriority {
    /// Process.
    pub tgid: Tgid,
    /// Thread.
    pub tid: Tid,
    /// `priority` of `/proc/PID/task/TID/stat`: 20 plus the nice value, below 0 with real-time priority. Lower is more urgent.
    pub priority: i32,
}

/// Time that one process' threads waited for a CPU while another process ran on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunqBlame {
    /// The waiting process.
    pub victim: Tgid,
    /// The process that ran.
    pub culprit: Tgid,
    /// Thread time of the victim.
    pub waited: DurNs,
}
