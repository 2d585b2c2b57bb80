//! Frames: how a message lies in the byte stream.
//!
//! ```text
//! length u32 | kind u8 | 0 0 0 | body        length: of the body; integers are little-endian
//! ```

use crate::le::u32_at;

/// Bytes before the body.
pub const HEADER_BYTES: usize = 8;

/// A whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which message.
    pub kind: u8,
    /// Its content.
    pub body: Vec<u8>,
}

/// Why the bytes are no frame. The stream is of no use after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header announces more than is taken.
    #[error("a frame of {bytes} bytes, more than the {limit} that are taken")]
    TooLarge {
        /// Bytes announced.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The three bytes after the kind are not zero.
    #[error("a frame header with bits that mean nothing")]
    Reserved,
}

/// The bytes of a frame.
pub fn encode(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + length);
    // A frame of 4 GiB cannot be made of what the callers hold; a receiver would refuse it by its length.
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&[kind, 0, 0, 0]);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// Takes bytes as they come and gives back frames. Holds at most one frame and what was read with its end.
#[derive(Debug)]
pub struct Decoder {
    limit: usize,
    buffer: Vec<u8>,
}

impl Decoder {
    /// `limit`: largest body.
    pub const fn new(limit: usize) -> Self {
        Self { limit, buffer: Vec::new() }
    }

    /// Takes bytes that were read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes have come.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((bytes, kind, reserved)) = self.header() else { return Ok(None) };
        if bytes > self.limit {
            return Err(FrameError::TooLarge { bytes, limit: self.limit });
        }
        if reserved != [0; 3] {
            return Err(FrameError::Reserved);
        }
        let end = HEADER_BYTES + bytes;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let rest = self.buffer.split_off(end);
        let mut body = std::mem::replace(&mut self.buffer, rest);
        body.drain(..HEADER_BYTES);
        Ok(Some(Frame { kind, body }))
    }

    /// Bytes that the frame that has begun still lacks, or its header.
    pub fn missing(&self) -> usize {
        match self.header() {
            Some((bytes, ..)) => (HEADER_BYTES + bytes.min(self.limit)).saturating_sub(self.buffer.len()),
            None => HEADER_BYTES - self.buffer.len(),
        }
    }

    /// Bytes of the body, kind, and what is reserved, of the frame that begins the buffer.
    fn header(&self) -> Option<(usize, u8, [u8; 3])> {
        let [_, _, _, _, kind, reserved @ ..] = *self.buffer.first_chunk::<HEADER_BYTES>()?;
        Some((u32_at(&self.buffer, 0)? as usize, kind, reserved))
    }

    /// Bytes that wait for the rest of their frame.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_whole_however_they_are_cut() {
        let mut bytes = Vec::new();
        for n in 0..20_u8 {
            bytes.extend(encode(n, &[&vec![n; usize::from(n) * 7], b"end"]));
        }
        for step in [1, 3, 8, 64, 4096] {
            let mut decoder = Decoder::new(1024);
            let mut frames = Vec::new();
            for part in bytes.chunks(step) {
                decoder.push(part);
                while let Some(frame) = decoder.next_frame().expect("good frames") {
                    frames.push(frame);
                }
            }
            assert_eq!((frames.len(), decoder.pending()), (20, 0));
            assert!(
                frames.iter().enumerate().all(|(n, f)| usize::from(f.kind) == n && f.body.len() == n * 7 + 3)
            );
        }
    }

    #[test]
    fn a_frame_that_is_announced_too_large_is_refused_before_it_comes() {
        let mut decoder = Decoder::new(16);
        decoder.push(&encode(1, &[&[0; 17]])[..HEADER_BYTES]);
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLarge { bytes: 17, limit: 16 }));
        let mut decoder = Decoder::new(16);
        decoder.push(&[0, 0, 0, 0, 1, 1, 0, 0]);
        assert_eq!(decoder.next_frame(), Err(FrameError::Reserved));
    }
}
