//! zstd contexts, and sections: bytes that are compressed if that pays.

use std::io;

use zstd::bulk::{Compressor, Decompressor};

use super::bytes::{Input, put};
use super::text::Parts;
use super::{BlockError, MAX_DECODED_BYTES, MAX_INLINE_BYTES};
use crate::block::filter::Tokens;

/// zstd's level. It matters for text without templates alone: of generated hard text that was compressed as it is, level 1 made 1.40,
/// 3 1.18 and 6 0.60 M lines/s/core of 0.279, 0.284 and 0.262 of the text. With templates all three give 0.165
/// (`examples/blocks_bench.rs`; a loaded machine).
const LEVEL: i32 = 3;

/// Shorter bytes are not compressed: a frame has 9 bytes of its own.
const MIN_COMPRESSED_BYTES: usize = 32;

/// What makes and opens blocks has one, and keeps it: zstd's contexts (about 1 MiB) and the set of
/// tokens (1 MiB, more if a block has more than 80,000 different ones). Each is made when it is first needed.
#[derive(Default)]
pub struct Codec {
    compressor: Option<Compressor<'static>>,
    decompressor: Option<Decompressor<'static>>,
    level: Option<i32>,
    /// Neither compresses nor looks at checksums, so that hostile bytes get behind them.
    #[cfg(any(test, feature = "fuzz"))]
    bare: bool,
    pub(crate) tokens: Tokens,
    pub(super) parts: Parts,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").finish_non_exhaustive()
    }
}

impl Codec {
    /// With nothing allocated yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that compresses at another of zstd's levels than by default; every level is read alike.
    #[must_use]
    pub fn with_level(level: i32) -> Self {
        Self { level: Some(level), ..Self::default() }
    }

    /// One that neither compresses nor looks at the checksums of sections: for tests with hostile bytes.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn bare() -> Self {
        Self { bare: true, ..Self::default() }
    }

    #[cfg(any(test, feature = "fuzz"))]
    fn is_bare(&self) -> bool {
        self.bare
    }

    #[cfg(not(any(test, feature = "fuzz")))]
    #[expect(clippy::unused_self, reason = "tests have another")]
    fn is_bare(&self) -> bool {
        false
    }

    fn compressor(&mut self) -> io::Result<&mut Compressor<'static>> {
        if self.compressor.is_none() {
            let mut made = Compressor::new(self.level.unwrap_or(LEVEL))?;
            made.include_contentsize(false)?;
            made.include_checksum(false)?;
            self.compressor = Some(made);
        }
        self.compressor.as_mut().ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    fn decompressor(&mut self) -> io::Result<&mut Decompressor<'static>> {
        if self.decompressor.is_none() {
            self.decompressor = Some(Decompressor::new()?);
        }
        self.decompressor.as_mut().ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// Appends a section's entry to `head`, and its bytes there or to `body`.
    pub(super) fn put(
        &mut self,
        raw: &[u8],
        head: &mut Vec<u8>,
        body: &mut Vec<u8>,
    ) -> Result<(), BlockError> {
        let start = body.len();
        let mut stored = Stored::Plain;
        if raw.len() >= MIN_COMPRESSED_BYTES && !self.is_bare() {
            // zstd writes into spare capacity, from the start of the vector: so a vector of its own.
            let mut packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(raw.len()));
            let written = self.compressor().and_then(|zstd| zstd.compress_to_buffer(raw, &mut packed));
            written.map_err(|source| BlockError::Compress { source })?;
            if packed.len() < raw.len() {
                body.extend_from_slice(&packed);
                stored = Stored::Zstd;
            }
        }
        if matches!(stored, Stored::Plain) {
            if raw.len() <= MAX_INLINE_BYTES {
                put(head, (raw.len() as u64) << 2 | Stored::Inline as u64);
                head.extend_from_slice(raw);
                return Ok(());
            }
            body.extend_from_slice(raw);
        }
        let written = &body[start..];
        put(head, (written.len() as u64) << 2 | stored as u64);
        if matches!(stored, Stored::Zstd) {
            put(head, raw.len() as u64);
        }
        head.extend_from_slice(&crc32fast::hash(written).to_le_bytes());
        Ok(())
    }

    /// A section's bytes, into `out`, which is emptied first.
    pub(super) fn get(&mut self, section: &Section<'_>, out: &mut Vec<u8>) -> Result<(), BlockError> {
        let what = section.what;
        out.clear();
        if let Some(expected) = section.checksum
            && crc32fast::hash(section.bytes) != expected
            && !self.is_bare()
        {
            return Err(BlockError::Checksum { what });
        }
        if !section.compressed {
            out.extend_from_slice(section.bytes);
            return Ok(());
        }
        out.reserve_exact(section.raw);
        let read = self.decompressor().and_then(|zstd| zstd.decompress_to_buffer(section.bytes, out));
        read.map_err(|source| BlockError::Decompress { what, source })?;
        if out.len() == section.raw {
            Ok(())
        } else {
            Err(BlockError::Damaged { what: "a section's length" })
        }
    }
}

#[derive(Clone, Copy)]
enum Stored {
    /// In the header, whose checksum covers it.
    Inline = 0,
    Plain = 1,
    Zstd = 2,
}

/// Where a section lies, as the header says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'a> {
    what: &'static str,
    compressed: bool,
    checksum: Option<u32>,
    /// Length when decompressed.
    pub(super) raw: usize,
    /// As stored; of a section that is not inline empty until [`Self::locate`].
    bytes: &'a [u8],
    stored: usize,
}

impl<'a> Section<'a> {
    /// Reads an entry. `budget`: bytes that the sections may still have, decompressed.
    pub(super) fn read(
        head: &mut Input<'a>,
        what: &'static str,
        budget: &mut usize,
    ) -> Result<Self, BlockError> {
        let entry = head.number()?;
        let stored = usize::try_from(entry >> 2).map_err(|_| BlockError::Cut { what })?;
        let mut section = Self { what, compressed: false, checksum: None, raw: stored, bytes: &[], stored };
        match entry & 3 {
            0 => {
                section.bytes = head.take(stored)?;
                section.stored = 0;
            }
            kind @ (1 | 2) => {
                section.compressed = kind == 2;
                if section.compressed {
                    section.raw = head.at_most(MAX_DECODED_BYTES, "bytes of a section")?;
                }
                section.checksum = Some(head.u32()?);
            }
            _ => return Err(BlockError::Damaged { what: "a section is stored in no known way" }),
        }
        *budget = budget.checked_sub(section.raw).ok_or(BlockError::Limit {
            what: "bytes of sections or more",
            value: (MAX_DECODED_BYTES + 1) as u64,
            max: MAX_DECODED_BYTES as u64,
        })?;
        Ok(section)
    }

    /// Takes the section's bytes from what follows the header.
    pub(super) fn locate(&mut self, body: &mut Input<'a>) -> Result<(), BlockError> {
        if self.checksum.is_some() {
            self.bytes = body.take(self.stored)?;
        }
        Ok(())
    }
}
