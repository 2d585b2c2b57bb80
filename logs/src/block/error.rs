//! Why a block or a line is refused.

use std::io;

use super::VERSION;

/// Why bytes are no block, or cannot be made one.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// Something else than a block.
    #[error("not a block of log lines")]
    NotABlock,
    /// Made by another version.
    #[error("block of log lines of version {found}; this program reads version {VERSION}")]
    Version {
        /// Its version.
        found: u8,
    },
    /// Bytes are missing.
    #[error("block of log lines ends within its {what}")]
    Cut {
        /// Part that is cut.
        what: &'static str,
    },
    /// Bytes have changed.
    #[error("block of log lines is damaged: wrong checksum of its {what}")]
    Checksum {
        /// Part that has changed.
        what: &'static str,
    },
    /// Contradicts itself.
    #[error("block of log lines is damaged: {what}")]
    Damaged {
        /// What does not fit.
        what: &'static str,
    },
    /// Over a limit of the format.
    #[error("block of log lines has {value} {what}, at most {max}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        value: u64,
        /// How much there may be.
        max: u64,
    },
    /// A section is no zstd frame of the length that the header says.
    #[error("block of log lines is damaged: {what} cannot be decompressed")]
    Decompress {
        /// The section.
        what: &'static str,
        /// What zstd says.
        #[source]
        source: io::Error,
    },
    /// zstd failed: out of memory.
    #[error("log lines cannot be compressed")]
    Compress {
        /// What zstd says.
        #[source]
        source: io::Error,
    },
    /// Blocks of several streams.
    #[error("blocks of two streams cannot be merged")]
    Streams,
}

/// Why a builder does not take a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The block is full: finish it, then push the line again.
    #[error("the block is full")]
    Full,
    /// No block takes this line.
    #[error("a line of {bytes} bytes, or with too many fields; at most {max} bytes")]
    TooLarge {
        /// Bytes of message and fields.
        bytes: usize,
        /// [`super::MAX_LINE_BYTES`].
        max: usize,
    },
}
