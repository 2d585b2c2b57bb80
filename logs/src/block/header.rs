//! The header: what a block says of its lines without any of them being decoded.

use agent_common::units::UnixNs;

use super::bytes::{Input, put, put_text};
use super::{BlockError, MAGIC, MAX_HEADER_BYTES, MAX_LABELS, MAX_LINES, MAX_STREAM_BYTES, VERSION};
use crate::record::{Severity, Stream};

/// What is known of a block's lines without decoding any. Ranges include both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The stream that all its lines are of.
    pub stream: Stream,
    /// How many lines; at least one.
    pub lines: u32,
    /// Bytes of messages, names and values of fields.
    pub text_bytes: u64,
    /// When the oldest line was written.
    pub t0: UnixNs,
    /// When the newest was.
    pub t1: UnixNs,
    /// Bit `1 << severity` for each severity that a line has.
    pub severities: u16,
    /// Least and greatest process; 0 is "not known".
    pub pids: (u32, u32),
    /// Least and greatest position.
    pub positions: (u64, u64),
    /// A message or a field's value has a character that is not ASCII.
    pub non_ascii: bool,
}

impl Header {
    /// Reads the header of a block, without its sections: the first [`MAX_HEADER_BYTES`] of the block suffice.
    pub fn read(bytes: &[u8]) -> Result<Self, BlockError> {
        Ok(Self::split(bytes)?.0)
    }

    /// The bytes of a block's header, which [`Header::read`] takes as it takes the whole block; nothing if that is no block.
    #[must_use]
    pub fn bytes_of(block: &[u8]) -> Option<&[u8]> {
        let (_, _, rest) = Self::split(block).ok()?;
        block.get(..block.len() - rest.len())
    }

    /// The header, what its sections' entries are read from, and the bytes after it.
    pub(super) fn split(bytes: &[u8]) -> Result<(Self, Input<'_>, &[u8]), BlockError> {
        let mut input = Input::new(bytes, "header");
        if bytes.is_empty() || !bytes.starts_with(&MAGIC[..bytes.len().min(4)]) {
            return Err(BlockError::NotABlock);
        }
        input.take(4)?;
        let version = input.byte()?;
        if version != VERSION {
            return Err(BlockError::Version { found: version });
        }
        let length = input.at_most(MAX_HEADER_BYTES, "bytes of header")?;
        let body = input.take(length)?;
        let covered = bytes.len() - input.left();
        let expected = input.u32()?;
        if crc32fast::hash(&bytes[..covered]) != expected {
            return Err(BlockError::Checksum { what: "header" });
        }
        let rest = input.take(input.left())?;
        let mut head = Input::new(body, "header");
        let header = Self::parse(&mut head)?;
        Ok((header, head, rest))
    }

    fn parse(head: &mut Input<'_>) -> Result<Self, BlockError> {
        let flags = head.byte()?;
        if flags > 1 {
            return Err(BlockError::Damaged { what: "unknown flags" });
        }
        let lines = head.at_most(MAX_LINES, "lines")? as u32;
        if lines == 0 {
            return Err(BlockError::Damaged { what: "no line" });
        }
        let text_bytes = head.number()?;
        let mut range = |most: u64| {
            let (least, span) = (head.number()?, head.number()?);
            let greatest = least.checked_add(span).filter(|greatest| *greatest <= most);
            Ok((least, greatest.ok_or(BlockError::Damaged { what: "a range ends beyond its type" })?))
        };
        let (t0, t1) = range(u64::MAX)?;
        let pids = range(u64::from(u32::MAX))?;
        let positions = range(u64::MAX)?;
        let severities = head.number()?;
        if severities == 0 || severities >= 1 << Severity::ALL.len() {
            return Err(BlockError::Damaged { what: "unknown severities" });
        }
        let count = head.at_most(MAX_LABELS, "labels")?;
        let mut labels: Vec<(&str, &str)> = Vec::new();
        let mut stream_bytes = 0;
        for _ in 0..count {
            let (name, value) = (head.text()?, head.text()?);
            stream_bytes += name.len() + value.len() + 2;
            if stream_bytes > MAX_STREAM_BYTES {
                let value = stream_bytes as u64;
                return Err(BlockError::Limit {
                    what: "bytes of labels",
                    value,
                    max: MAX_STREAM_BYTES as u64,
                });
            }
            if value.is_empty() || labels.last().is_some_and(|(last, _)| *last >= name) {
                return Err(BlockError::Damaged { what: "labels are empty or not in order" });
            }
            labels.push((name, value));
        }
        Ok(Self {
            stream: Stream::new(labels),
            lines,
            text_bytes,
            t0: UnixNs(t0),
            t1: UnixNs(t1),
            severities: severities as u16,
            pids: (pids.0 as u32, pids.1 as u32),
            positions,
            non_ascii: flags == 1,
        })
    }

    /// Appends all but the sections' entries.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.non_ascii));
        put(out, u64::from(self.lines));
        put(out, self.text_bytes);
        for (least, greatest) in [
            (self.t0.0, self.t1.0),
            (u64::from(self.pids.0), u64::from(self.pids.1)),
            (self.positions.0, self.positions.1),
        ] {
            put(out, least);
            put(out, greatest.wrapping_sub(least));
        }
        put(out, u64::from(self.severities));
        put(out, self.stream.labels().count() as u64);
        for (name, value) in self.stream.labels() {
            put_text(out, name.as_bytes());
            put_text(out, value.as_bytes());
        }
    }

    /// A block of this header body (with its sections' entries) and these sections.
    pub(super) fn seal(head: &[u8], body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(head.len() + body.len() + 16);
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        put_text(&mut out, head);
        let checksum = crc32fast::hash(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(body);
        out
    }
}

/// Bytes of a stream's labels, as [`MAX_STREAM_BYTES`] counts them.
pub(super) fn stream_bytes(stream: &Stream) -> usize {
    stream.labels().map(|(name, value)| name.len() + value.len() + 2).sum()
}

/// A block with the checksum that its header should have: hostile bytes get behind it so.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut input = Input::new(bytes.get(5..).unwrap_or_default(), "header");
    let Ok(length) = input.at_most(MAX_HEADER_BYTES, "bytes of header") else { return bytes };
    let covered = bytes.len() - input.left() + length;
    if let Some((covered, checksum)) = bytes.split_at_mut_checked(covered)
        && let Some(checksum) = checksum.first_chunk_mut()
    {
        *checksum = crc32fast::hash(covered).to_le_bytes();
    }
    bytes
}
