//! What travels from a host to the store: blocks of lines, each with the source that its positions count in.
//!
//! A line is known by its source and its position there, which rises. The store keeps, of each source, the positions that it
//! has: what a collector sends again after a restart is left out. So a message must not hold a line whose source has a lower
//! position in a later message.

use agent_common::varint::{Bytes, Damaged, put};

/// Bytes of a message at most: the largest block, and some.
pub const MAX_MESSAGE: usize = 4 << 20;
/// Blocks of a message at most.
pub const MAX_PARTS: usize = 1_024;
/// Reasons that a message counts losses for at most, and bytes of one.
const MAX_REASONS: usize = 64;
const MAX_REASON: usize = 64;
/// How a message begins.
const MAGIC: &[u8; 4] = b"s7lm";
const VERSION: u8 = 1;

/// Lines of one stream from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What the positions of the block's lines count in: a file between two cuts, a journal, a boot's kernel messages.
    pub source: u64,
    /// A [block](crate::block).
    pub block: Vec<u8>,
}

/// Blocks of lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// They.
    pub parts: Vec<Part>,
    /// Lines that did not get here since the last message, by reason.
    pub lost: Vec<(String, u64)>,
}

impl Message {
    /// Its bytes.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        put(&mut out, self.parts.len() as u64);
        for part in &self.parts {
            out.extend_from_slice(&part.source.to_le_bytes());
            put(&mut out, part.block.len() as u64);
            out.extend_from_slice(&part.block);
        }
        put(&mut out, self.lost.len() as u64);
        for (reason, count) in &self.lost {
            put(&mut out, reason.len() as u64);
            out.extend_from_slice(reason.as_bytes());
            put(&mut out, *count);
        }
        out
    }

    /// Reads one. The blocks in it are not looked at.
    pub fn unpack(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut bytes = Bytes(bytes);
        if bytes.take(MAGIC.len())? != MAGIC {
            return Err(Damaged("no message of log lines"));
        }
        if bytes.byte()? != VERSION {
            return Err(Damaged("a message of log lines of another version"));
        }
        let count = bytes.count()?;
        if count > MAX_PARTS {
            return Err(Damaged("too many blocks"));
        }
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let source = bytes.take(8)?;
            let source = u64::from_le_bytes(source.try_into().map_err(|_| Damaged("too short"))?);
            let length = bytes.count()?;
            parts.push(Part { source, block: bytes.take(length)?.to_vec() });
        }
        let count = bytes.count()?;
        if count > MAX_REASONS {
            return Err(Damaged("too many reasons"));
        }
        let mut lost = Vec::with_capacity(count);
        for _ in 0..count {
            let length = bytes.count()?;
            if length > MAX_REASON {
                return Err(Damaged("a reason too long"));
            }
            let reason =
                std::str::from_utf8(bytes.take(length)?).map_err(|_| Damaged("a reason that is no text"))?;
            lost.push((reason.to_owned(), bytes.varint()?));
        }
        if bytes.is_empty() { Ok(Self { parts, lost }) } else { Err(Damaged("bytes after the end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            parts: vec![
                Part { source: u64::MAX, block: b"one".to_vec() },
                Part { source: 0, block: vec![7; 300] },
            ],
            lost: vec![("kernel".to_owned(), 3)],
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_packed() {
        assert_eq!(Message::unpack(&message().pack()), Ok(message()));
        assert_eq!(Message::unpack(&Message::default().pack()), Ok(Message::default()));
    }

    #[test]
    fn what_is_cut_or_changed_is_refused_or_another_message() {
        let bytes = message().pack();
        for length in 0..bytes.len() {
            assert!(Message::unpack(&bytes[..length]).is_err());
        }
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                if let Ok(other) = Message::unpack(&changed) {
                    assert_ne!(other, message());
                }
            }
        }
        let many = [&b"s7lm\x01"[..], &[0xff, 0xff, 0xff, 0x7f]].concat();
        assert!(Message::unpack(&many).is_err(), "a count that nothing follows");
    }
}
