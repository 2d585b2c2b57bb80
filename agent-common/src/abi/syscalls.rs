//! Syscall accounting: a sparse latency histogram keyed by (process, call, CPU, latency bucket, errno).
//!
//! One hash entry holds what one CPU saw of one (tgid, syscall, outcome, bucket). No two CPUs share an entry,
//! so its counters never bounce between caches, and only combinations that happened cost memory.

use crate::assert_abi;

/// Key of the `SYSCALLS` map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct SyscallKey {
    /// Process of the caller ([`crate::abi::process::numbered`]): a number that is used again is another process.
    pub process: u32,
    /// Syscall number of the ABI in `flags`.
    pub nr: u16,
    /// CPU the call returned on.
    pub cpu: u16,
    /// Latency bucket ([`bucket_of`]), or [`UNTIMED`].
    pub bucket: u8,
    /// [`FLAG_COMPAT`].
    pub flags: u8,
    /// The errno that the call returned; 0: it worked.
    pub errno: u16,
}
assert_abi!(SyscallKey, size = 12, align = 4, fields = [u32, u16, u16, u8, u8, u16]);

impl SyscallKey {
    /// The key as it lies in memory on a little-endian machine: its first eight bytes and its last four.
    #[must_use]
    #[inline(always)]
    pub const fn words(&self) -> (u64, u32) {
        (
            self.process as u64 | (self.nr as u64) << 32 | (self.cpu as u64) << 48,
            self.bucket as u32 | (self.flags as u32) << 8 | (self.errno as u32) << 16,
        )
    }
}

/// Value of the `SYSCALLS` map. Cumulative while the key lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SyscallValue {
    /// Calls that returned.
    pub count: u64,
    /// Time between entry and exit, ns; 0 where untimed.
    pub total_ns: u64,
    /// Longest call, ns; 0 where untimed.
    pub max_ns: u64,
}
assert_abi!(SyscallValue, size = 24, align = 8, fields = [u64, u64, u64]);

/// A slot of the write-back cache in front of `SYSCALLS`: the key a CPU counts at the moment.
///
/// Its counts are not yet in `SYSCALLS`; they are added there when another key takes the slot. `seq` is odd while
/// that happens, so that a reader sees either the old or the new key with its own counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct SyscallCache {
    /// Whose counts these are; `count` 0: nobody's.
    pub key: SyscallKey,
    /// Even: settled. Changes whenever the key does.
    pub seq: u32,
    /// Counts since the key took the slot.
    pub value: SyscallValue,
    /// Zero: one slot fills one cache line.
    pub pad: [u64; 3],
}
assert_abi!(SyscallCache, size = 64, align = 64, fields = [SyscallKey, u32, SyscallValue, [u64; 3]]);

/// Slots of the write-back cache a CPU: 256 × 64 B = 16 KiB a CPU.
pub const CACHE_SLOTS: u32 = 256;

/// Slot of a key within its CPU's part of the cache.
#[must_use]
#[inline(always)]
pub const fn cache_slot(key: &SyscallKey) -> u32 {
    // Neighbouring calls and buckets of a process fall into different slots, and what fails into another one than what
    // works; processes are spread by the multiplier (2^32 / golden ratio).
    let mixed = key.process.wrapping_mul(0x9e37_79b9) >> 16;
    (mixed
        ^ (key.nr as u32).wrapping_mul(7)
        ^ (key.bucket as u32)
        ^ ((key.errno as u32) ^ ((key.errno as u32) >> 8)).wrapping_mul(0x9d))
        & (CACHE_SLOTS - 1)
}

/// One thread's call in flight: slot `tid % ENTRY_SLOTS` of the `SYSCALL_ENTRY` array.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SyscallEntry {
    /// Entry time, `CLOCK_MONOTONIC` ns; 0 when nothing is in flight.
    pub start_ns: u64,
    /// The thread in this slot.
    pub tid: u32,
    /// Its thread group.
    pub tgid: u32,
    /// Syscall number.
    pub nr: u16,
    /// [`FLAG_COMPAT`].
    pub flags: u16,
    /// Zero.
    pub pad: u32,
}
assert_abi!(SyscallEntry, size = 24, align = 8, fields = [u64, u32, u32, u16, u16, u32]);

/// The call used the 32-bit table (`int 0x80` or a 32-bit process): `nr` is an i386 number.
pub const FLAG_COMPAT: u8 = 1;

/// Bucket of calls that were counted but not timed.
pub const UNTIMED: u8 = 255;

/// Four buckets an octave: a bucket is at most 25 % wide, its geometric middle at most 11.9 % off.
const SUB_BITS: u32 = 2;

/// Index of the highest set bit of a value that is not 0.
///
/// BPF has no instruction for it and the compiler's expansion is a chain of 30 operations; these branches go the
/// same way for calls of the same length.
#[inline(always)]
const fn highest_bit(mut ns: u64) -> u32 {
    let mut bit = 0;
    if ns >> 32 != 0 {
        ns >>= 32;
        bit += 32;
    }
    if ns >> 16 != 0 {
        ns >>= 16;
        bit += 16;
    }
    if ns >> 8 != 0 {
        ns >>= 8;
        bit += 8;
    }
    if ns >> 4 != 0 {
        ns >>= 4;
        bit += 4;
    }
    if ns >> 2 != 0 {
        ns >>= 2;
        bit += 2;
    }
    bit + (ns >> 1) as u32
}

/// Bucket of a latency. Exact for 0..=3 ns, then four buckets an octave; `u64::MAX` falls into 251.
#[must_use]
#[inline(always)]
pub const fn bucket_of(ns: u64) -> u8 {
    if ns < 4 {
        return ns as u8;
    }
    let msb = highest_bit(ns);
    let sub = (ns >> (msb - SUB_BITS)) & 3;
    (((msb - 1) << SUB_BITS) as u64 + sub) as u8
}

/// Lower bound (inclusive) of a bucket, ns. `bucket` is at most 251.
#[must_use]
pub const fn bucket_floor(bucket: u8) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let msb = (bucket as u32 >> SUB_BITS) + 1;
    let sub = bucket as u64 & 3;
    (4 | sub) << (msb - SUB_BITS)
}

/// Value that stands for a bucket: the geometric middle of its bounds, ns. At most 11.9 % from any member.
#[cfg(feature = "std")]
#[must_use]
pub fn bucket_middle(bucket: u8) -> u64 {
    if bucket < 4 {
        return u64::from(bucket);
    }
    let low = bucket_floor(bucket) as f64;
    let high = if bucket >= 251 { u64::MAX as f64 } else { bucket_floor(bucket + 1) as f64 };
    (low * high).sqrt() as u64
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_key_are_its_bytes() {
        let key =
            SyscallKey { process: 0x0403_0201, nr: 0x0605, cpu: 0x0807, bucket: 9, flags: 10, errno: 0x0c0b };
        let (low, high) = key.words();
        assert_eq!((low.to_le_bytes(), high.to_le_bytes()), ([1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11, 12]));
    }

    #[test]
    fn what_fails_is_in_another_slot_than_what_works() {
        let slot =
            |errno| cache_slot(&SyscallKey { process: 7, nr: 1, bucket: 40, errno, ..SyscallKey::default() });
        // EINTR EAGAIN ENOMEM EMFILE ENOSPC EPIPE ECONNRESET EINPROGRESS ERESTARTSYS
        for errno in [4, 11, 12, 24, 28, 32, 104, 115, 512] {
            assert_ne!(slot(errno), slot(0), "{errno}");
        }
    }

    #[test]
    fn buckets_are_contiguous_and_hold_their_floor() {
        for bucket in 0..=251u8 {
            assert_eq!(bucket_of(bucket_floor(bucket)), bucket);
            if bucket > 0 {
                assert_eq!(bucket_of(bucket_floor(bucket) - 1), bucket - 1);
            }
        }
        assert_eq!(bucket_of(u64::MAX), 251);
    }

    #[test]
    fn the_middle_is_within_an_eighth_of_every_member() {
        for ns in (1..100_000u64).chain((0..60).map(|s| (1u64 << s) + (1 << s) / 3)) {
            let middle = bucket_middle(bucket_of(ns)) as f64;
            assert!((middle - ns as f64).abs() <= ns as f64 * 0.125, "{ns} ns is shown as {middle}");
        }
    }
}
