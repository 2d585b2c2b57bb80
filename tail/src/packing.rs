//! Files that rotation has compressed.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Bytes that a compressed file gives at once. Each time it is unpacked from its beginning.
const PACKED_BYTES: usize = 8 << 20;
/// Most bytes that are unpacked to find a place: a bomb costs a second of the file's owner.
const MAX_UNPACKED: u64 = 4 << 30;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// What a name tells of.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// At most `most` bytes from an offset of the unpacked text.
    pub(crate) fn read(self, file: File, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        if offset > MAX_UNPACKED {
            return Ok(Vec::new());
        }
        let mut unpacked: Box<dyn io::Read> = match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(file))),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
        };
        let skipped = io::copy(&mut unpacked.by_ref().take(offset), &mut io::sink())?;
        let mut bytes = Vec::new();
        if skipped == offset {
            unpacked.take(most.min(PACKED_BYTES) as u64).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
}
