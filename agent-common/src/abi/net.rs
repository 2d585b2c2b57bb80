//! Trouble of sockets: segments sent again, resets, full receive buffers.

use crate::assert_abi;

/// Entries of `NET`: sockets in trouble. 4096 × 104 B = 416 KiB.
pub const NET_MAX: u32 = 4096;
/// Entries of `SOCK_OWNER`: sockets that this host connected. 4096 × 88 B = 352 KiB; an evicted one is looked up by inode.
pub const SOCK_OWNER_MAX: u32 = 4096;

/// Key of `NET`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct NetKey {
    /// The other end: 4 or 16 bytes, network order.
    pub peer: [u8; 16],
    /// Inode of the socket, 0 when it has none (not yet accepted, or closed already).
    pub inode: u32,
    /// Process that connected it, or closed it with a reset; 0 when not seen. Holds where the inode tells nothing.
    pub tgid: u32,
    /// Port at this end, 0 where the kernel chose it for a connection from here.
    pub local_port: u16,
    /// Port at the other end.
    pub peer_port: u16,
    /// `AF_INET` or `AF_INET6`; 0 in the row of those the map had no room for.
    pub family: u16,
    /// Padding.
    pub pad: u16,
}
assert_abi!(NetKey, size = 32, align = 4, fields = [[u8; 16], u32, u32, u16, u16, u16, u16]);

/// Value of `NET`: sums since the key was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NetValue {
    /// Segments sent again.
    pub retransmits: u64,
    /// Resets sent and received.
    pub resets: u64,
    /// Packets dropped at a full receive buffer.
    pub receive_drops: u64,
}
assert_abi!(NetValue, size = 24, align = 8, fields = [u64, u64, u64]);
