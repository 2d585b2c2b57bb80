//! Block requests: how many, how large, how long, for which process.

use crate::assert_abi;

/// `op` of a [`BlockKey`].
pub const OP_READ: u32 = 0;
/// `op` of a [`BlockKey`].
pub const OP_WRITE: u32 = 1;
/// `op` of a [`BlockKey`].
pub const OP_FLUSH: u32 = 2;
/// `op` of a [`BlockKey`]: discard, secure erase, write zeroes.
pub const OP_DISCARD: u32 = 3;

/// Entries of `BLOCKIO`: (process, device, direction). 4096 × 128 B = 512 KiB.
pub const BLOCKIO_MAX: u32 = 4096;
/// Entries of `BLOCK_OPEN`: requests on their way; queue depths of 32 to 1024 a device. 8192 × 104 B = 832 KiB.
pub const BLOCK_OPEN_MAX: u32 = 8192;

/// Key of `BLOCKIO`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct BlockKey {
    /// Process that submitted the request.
    pub tgid: u32,
    /// Disk: `major << 20 | minor`.
    pub dev: u32,
    /// [`OP_READ`] and so on.
    pub op: u32,
}
assert_abi!(BlockKey, size = 12, align = 4, fields = [u32, u32, u32]);

/// Value of `BLOCKIO`: sums since the key was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BlockValue {
    /// Requests completed.
    pub count: u64,
    /// Of these, begun where the one before on the device ended.
    pub sequential: u64,
    /// Bytes.
    pub bytes: u64,
    /// From the making of the request to the device.
    pub queued_ns: u64,
    /// In the device.
    pub served_ns: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Longest of both together in the window `max_window`.
    pub max_ns: u64,
    /// [`super::settings::Settings::window`] that `max_ns` belongs to.
    pub max_window: u32,
    /// Padding.
    pub pad: u32,
}
assert_abi!(BlockValue, size = 64, align = 8, fields = [u64, u64, u64, u64, u64, u64, u64, u32, u32]);

/// Value of `BLOCK_OPEN`: a request on its way. Key: its address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BlockOpen {
    /// Made, `CLOCK_MONOTONIC` ns.
    pub start_ns: u64,
    /// Given to the device, 0 before.
    pub issue_ns: u64,
    /// Bytes completed so far (a request may complete in parts).
    pub bytes: u64,
    /// Who, where, what.
    pub key: BlockKey,
    /// Begins where the request before ended.
    pub sequential: u32,
}
assert_abi!(BlockOpen, size = 40, align = 8, fields = [u64, u64, u64, BlockKey, u32]);
