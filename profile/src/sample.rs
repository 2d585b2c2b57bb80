//! One sampled stack, as addresses.

use std::sync::Arc;

use agent_common::abi::python::PythonFrame;
use agent_common::units::MonoNs;
use serde::{Deserialize, Serialize};

/// A stack of addresses with its weight. Frames are leaf first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When it was taken; 0: not known.
    #[serde(rename = "at_ns")]
    pub at: MonoNs,
    /// Process (thread group).
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// Task name.
    pub comm: Arc<str>,
    /// Kernel addresses, leaf first; empty in user mode.
    pub kernel: Box<[u64]>,
    /// User addresses, leaf first, and behind them Python frames ([`PythonFrame`]), leaf first; empty for kernel threads.
    pub user: Box<[u64]>,
    /// What it stands for: samples, or ns.
    pub weight: u64,
}

/// A stack with what stands on top of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stacked {
    /// The stack.
    pub sample: Sample,
    /// Name of the process, where it is known: its threads may be called otherwise, each time.
    pub process: Option<Arc<str>>,
    /// A frame on top of the leaf: why it waits.
    pub reason: Option<Arc<str>>,
    /// The stack that ended the wait; its weight does not count.
    pub waker: Option<Sample>,
    /// Name of the waker's process.
    pub waker_process: Option<Arc<str>>,
    /// What the process belongs to: a container, a service. [`crate::Roots::Group`] puts it below.
    pub group: Option<Arc<str>>,
}

impl From<Sample> for Stacked {
    fn from(sample: Sample) -> Self {
        Self { sample, process: None, reason: None, waker: None, waker_process: None, group: None }
    }
}

/// The address to look a frame up by, for the frame at `index` of a leaf-first stack.
///
/// All but the leaf are return addresses: they point behind the call, and when the call is the last
/// instruction of a function (it never returns) that is already the next function. A Python frame is its own.
#[must_use]
pub fn lookup_addr(index: usize, addr: u64) -> u64 {
    if index == 0 || PythonFrame::of(addr).is_some() { addr } else { addr.saturating_sub(1) }
}
