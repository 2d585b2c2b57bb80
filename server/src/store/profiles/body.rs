//! Counts of a row: entries as in a block, packed, with the ids of their epoch.

use agent_common::varint::{Bytes, Damaged};
use profile::block::{Entry, Looked, put_entries, take_entries};

/// zstd's own default.
pub(super) const LEVEL: i32 = 3;
/// Most bytes that a row or a part of a dictionary unpacks to.
const MAX_UNPACKED: usize = 64 << 20;

/// Compressed bytes.
pub(super) fn pack(bytes: &[u8]) -> rusqlite::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, LEVEL).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// The bytes behind compressed ones.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, Damaged> {
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= MAX_UNPACKED);
    let size = size.ok_or(Damaged("a frame without a size"))?;
    zstd::bulk::decompress(packed, size).map_err(|_| Damaged("zstd"))
}

/// The entries of both kinds as a row's body.
pub(super) fn encode(cpu: &[Entry], waits: &[Entry]) -> rusqlite::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    put_entries(&mut bytes, false, cpu);
    put_entries(&mut bytes, true, waits);
    pack(&bytes)
}

/// Sizes of the epoch and of the row: what ids are below.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) groups: usize,
    pub(super) nodes: usize,
    pub(super) columns: u32,
    pub(super) rate_hz: u32,
}

/// The entries of a row, of the groups that `wanted` names.
pub(super) fn decode(
    body: &[u8],
    sizes: Sizes,
    wanted: impl Fn(u32) -> bool,
    mut each: impl FnMut(Looked, Entry),
) -> Result<(), Damaged> {
    let bytes = unpack(body)?;
    let mut bytes = Bytes(&bytes);
    let tick_ns = 1_000_000_000 / u64::from(sizes.rate_hz.max(1));
    let Sizes { groups, nodes, columns, .. } = sizes;
    for (looked, tick_ns) in [(Looked::Cpu, Some(tick_ns)), (Looked::Wait, None)] {
        let each = |entry| each(looked, entry);
        take_entries(&mut bytes, tick_ns, (groups, nodes, columns), &wanted, each)?;
    }
    Ok(())
}
