//! Interrupt time by CPU.

use crate::assert_abi;

/// Softirq vectors (`NR_SOFTIRQS`).
pub const VECTORS: usize = 10;

/// Names of the vectors, in the order of their numbers (include/linux/interrupt.h).
pub const VECTOR_NAMES: [&str; VECTORS] =
    ["hi", "timer", "net_tx", "net_rx", "block", "irq_poll", "tasklet", "sched", "hrtimer", "rcu"];

/// The one value of a CPU in `IRQS`: sums since load, and what is running. 200 B a CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct IrqCpu {
    /// Softirqs run.
    pub softirqs: [u64; VECTORS],
    /// Time in them, without hard interrupts that came meanwhile.
    pub softirq_ns: [u64; VECTORS],
    /// Device interrupts served.
    pub hardirqs: u64,
    /// Time in their handlers. The timer's and other CPUs' interrupts have none.
    pub hardirq_ns: u64,
    /// Begin of the softirq that runs.
    pub soft_start_ns: u64,
    /// `hardirq_ns` at that moment.
    pub soft_hard_ns: u64,
    /// Begin of the handler that runs.
    pub hard_start_ns: u64,
}
assert_abi!(IrqCpu, size = 200, align = 8, fields = [[u64; 10], [u64; 10], u64, u64, u64, u64, u64]);
