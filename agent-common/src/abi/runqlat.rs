//! Who ran while others waited for the CPU.

use crate::assert_abi;

/// Entries of `BLAME`: (victim, culprit). 8192 × 72 B = 576 KiB.
pub const BLAME_MAX: u32 = 8192;

/// Key of `BLAME`; the value is thread time of the victim, ns, a u64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct BlameKey {
    /// Process whose thread waited.
    pub victim: u32,
    /// Process that ran on that CPU meanwhile.
    pub culprit: u32,
}
assert_abi!(BlameKey, size = 8, align = 4, fields = [u32, u32]);

/// Waiting time of a thread after which who ran meanwhile is charged with it: 1,000 charges a second of waiting.
pub const CHARGE_NS: u64 = 1_000_000;

/// Turns remembered of each CPU.
pub const TURNS: usize = 32;

/// A turn on a CPU: from `since_ns` to the next one's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Turn {
    /// Begin, `CLOCK_MONOTONIC` ns; 0: none yet.
    pub since_ns: u64,
    /// Process; 0: idle.
    pub tgid: u32,
    /// Zero.
    pub pad: u32,
}
assert_abi!(Turn, size = 16, align = 8, fields = [u64, u32, u32]);

/// What a CPU remembers: entry of `CPUS`. Written by this CPU only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Cpu {
    /// Turns so far; the present one is at `turn % TURNS`.
    pub turn: u32,
    /// Thread that runs and whose user stack is wanted ([`super::offcpu::WaitUser`]); 0: none.
    pub wanted: u32,
    /// Waits that were looked at here.
    pub waits: u32,
    /// Thread that runs; 0: idle, or none seen yet.
    pub current: u32,
    /// When the next wait may be looked at.
    pub look_ns: u64,
    /// Who made the last system call of this turn: the address of its user registers, which lie on its own kernel stack.
    /// An odd number: none yet. 0: turns are not seen here, so nobody is noted.
    pub caller: u64,
    /// Process (high half, [`crate::abi::process::numbered`]) and thread of `caller`.
    pub caller_ids: u64,
    /// Zero.
    pub pad2: [u64; 3],
    /// The last turns.
    pub turns: [Turn; TURNS],
}
assert_abi!(
    Cpu,
    size = 576,
    align = 64,
    fields = [u32, u32, u32, u32, u64, u64, u64, [u64; 3], [Turn; TURNS]]
);
