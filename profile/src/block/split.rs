//! Blocks as messages: compressed, and in parts where one is too large.

use agent_common::varint::Damaged;

use super::{Block, Entry, Looked};

/// Largest message. A minute of a busy host with two CPUs has some 50 KiB.
pub const MAX_MESSAGE: usize = 256 << 10;
/// Largest block behind one: what a message unpacks to at most.
const MAX_UNPACKED: usize = 8 << 20;
/// zstd's own default.
const LEVEL: i32 = 3;

/// The messages of a block, each at most `most` bytes; each is a block by itself, and they add up to it. A block of one entry
/// that is larger still is left out.
#[must_use]
pub fn pack(block: &Block, most: usize) -> Vec<Vec<u8>> {
    if let Some(packed) = pack_whole(block, most) {
        return vec![packed];
    }
    let entries = block.cpu.len() + block.waits.len();
    if entries < 2 {
        return Vec::new();
    }
    let half = entries / 2;
    let place = |looked: Looked, entry: &Entry| match looked {
        Looked::Cpu => block.cpu.partition_point(|other| other < entry),
        Looked::Wait => block.cpu.len() + block.waits.partition_point(|other| other < entry),
    };
    let mut first = block.only(|looked, entry| place(looked, entry) < half);
    first.counters.clone_from(&block.counters);
    let second = block.only(|looked, entry| place(looked, entry) >= half);
    let mut all = pack(&first, most);
    all.extend(pack(&second, most));
    all
}

/// The one message of a block; `None`: it would be larger than `most` bytes.
#[must_use]
pub fn pack_whole(block: &Block, most: usize) -> Option<Vec<u8>> {
    let bytes = block.encode();
    if bytes.len() > MAX_UNPACKED {
        return None;
    }
    let packed = zstd::bulk::compress(&bytes, LEVEL).ok()?;
    (packed.len() <= most).then_some(packed)
}

/// The block of a message. The message may be hostile.
pub fn unpack(message: &[u8]) -> Result<Block, Damaged> {
    let bytes = zstd::bulk::decompress(message, unpacked_size(message)?).map_err(|_| Damaged("zstd"))?;
    Block::decode(&bytes)
}

/// What the frame says it holds, if that may be: so much is reserved for it.
fn unpacked_size(message: &[u8]) -> Result<usize, Damaged> {
    let size = zstd::zstd_safe::get_frame_content_size(message).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= MAX_UNPACKED);
    size.ok_or(Damaged("a frame without a size, or too large"))
}
