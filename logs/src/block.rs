//! Blocks: the lines of one stream, compressed by column, as they are sent and kept.
//!
//! ```text
//! "s7lb" 1  length  header                                               CRC-32   sections
//!                   lines, t0, t1, severities, pids, positions, stream,           each compressed by itself,
//!                   and per section: how it is stored, length, CRC-32             decoded when a query needs it
//! ```
//!
//! Lines lie by time, then by position. Text columns end each value with the byte 0xFF, which UTF-8 never has: a search runs over
//! the whole column, and no match reaches into the next line. A section of up to [`MAX_INLINE_BYTES`] lies in the header: a block
//! of one line has 56 bytes more than its text and labels.
//!
//! A block comes from another host and may be hostile. [`Block::open`] reads the header alone; [`Block::verify`] decodes all.
//! Whatever the bytes are, neither panics, nor holds more than [`MAX_DECODED_BYTES`] of sections and twice that of messages.
//!
//! Messages of few templates are kept as these and their variables (`text`); others as they are.

mod build;
mod bytes;
mod codec;
mod error;
mod fields;
pub mod filter;
mod header;
mod lines;
mod merge;
mod numbers;
mod open;
mod text;

pub use build::{Builder, Finished};
pub use codec::Codec;
pub use error::{BlockError, PushError};
pub use fields::{Column, Fields};
pub use header::Header;
pub use lines::{Line, Lines};
pub use merge::{Merged, merge};
pub use numbers::Pids;
pub use open::{Block, Messages};

/// How a block begins.
pub const MAGIC: [u8; 4] = *b"s7lb";
/// The version of the format that this program writes, and the only one that it reads.
pub const VERSION: u8 = 1;

/// Lines of a block at most. More compress no better, and a search of few lines would decompress more.
pub const MAX_LINES: usize = 8192;
/// Text of a block at most (messages, names and values of fields); one line alone may have more.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// Text of one line at most: twice the 1 MiB at which sources cut a message, for its fields.
pub const MAX_LINE_BYTES: usize = 2 << 20;
/// Names of fields with a column of their own; the others share one.
pub const MAX_NAMED_FIELDS: usize = 64;
/// Values of fields in a block at most: 4 bytes each while the block is decoded, so 2 MiB.
pub const MAX_FIELD_VALUES: usize = MAX_LINES * MAX_NAMED_FIELDS;
/// Names and values of a stream's labels at most: they lie in every header.
pub const MAX_STREAM_BYTES: usize = 16 << 10;
/// Labels of a stream at most; there are eight names.
pub const MAX_LABELS: usize = 64;
/// Header at most: the labels, and 80 sections with what they have inline.
pub const MAX_HEADER_BYTES: usize = 64 << 10;
/// All sections of a block, decompressed, at most. The builder's own limits sum to less than 4 MiB.
pub const MAX_DECODED_BYTES: usize = 8 << 20;
/// A section of at most so many bytes lies in the header: a checksum and a length of its own would be a tenth of it.
pub const MAX_INLINE_BYTES: usize = 48;
/// Decoded text that one [`merge`] takes at most, as all its blocks are decoded at once.
pub const MAX_MERGE_BYTES: usize = 32 << 20;

/// Ends each value of a text column. UTF-8 never has this byte.
pub const END: u8 = 0xFF;

/// What a fuzz target runs: these bytes are opened, decoded, searched and merged, and do no harm. Checksums do not count. `search`
/// says whether it went well; see [`crate::query::fuzz_search`].
///
/// # Panics
///
/// If that is not so.
#[cfg(feature = "fuzz")]
pub(crate) fn fuzz(bytes: &[u8], search: impl Fn(&Block<'_>, &mut Codec) -> bool) {
    let mut codec = Codec::bare();
    let bytes = header::sealed(bytes.to_vec());
    let Ok(block) = Block::open(&bytes) else { return };
    assert!(block.decoded_bytes() <= 2 * MAX_DECODED_BYTES);
    let sound = block.verify(&mut codec).is_ok();
    let lines = block.lines(&mut codec);
    assert!(lines.is_ok() || !sound, "a verified block decodes");
    if let Ok(lines) = lines {
        assert_eq!(lines.iter().count(), block.header().lines as usize);
    }
    assert!(search(&block, &mut codec) || !sound, "a verified block is searched");
    assert!(block.filter(&mut codec).is_ok() || !sound, "a verified block has a filter");
    let merged = merge(std::slice::from_ref(&block), &mut codec);
    assert!(merged.is_ok() || !sound, "a verified block is merged");
    for one in merged.into_iter().flatten() {
        let again = Block::open(&one.bytes).expect("what merge makes opens");
        again.verify(&mut codec).expect("what merge makes is sound");
    }
}

#[cfg(test)]
mod tests;
