//! Signals that end, dump or stop a process.

use crate::assert_abi;

/// Entries of `SIGNALS`: (receiver, sender, signal). 2048 × 72 B = 144 KiB.
pub const SIGNALS_MAX: u32 = 2048;

/// Key of `SIGNALS`; the value is how many, a u64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct SignalKey {
    /// Process that gets it.
    pub tgid: u32,
    /// Process that sent it, 0 for the kernel.
    pub sender: u32,
    /// Signal.
    pub signal: u32,
}
assert_abi!(SignalKey, size = 12, align = 4, fields = [u32, u32, u32]);
