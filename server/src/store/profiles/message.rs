//! A block as it came from the broker, checked.

use agent_common::varint::Damaged;
use agent_common::wire::head::{HeadError, WindowHead};
use agent_common::wire::line::{self, LineError};
use profile::block::{self, Block};

/// A block and the head of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sent it, and its number.
    pub head: WindowHead,
    /// The stacks.
    pub block: Block,
}

/// Why a payload is no block.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Its first line is malformed.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Its first line is no head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// There is no first line.
    #[error("no head line")]
    NoHead,
    /// Larger than a block may be.
    #[error("too large")]
    TooLarge,
    /// What follows is no block.
    #[error("{0}")]
    Damaged(#[from] Damaged),
}

impl Message {
    /// Reads a payload: the head's line, then the packed block.
    pub fn from_payload(payload: &[u8]) -> Result<Self, MessageError> {
        /// A head has some 150 bytes; a host's name may be long.
        const MAX_HEAD: usize = 1_024;
        let end =
            payload.iter().take(MAX_HEAD).position(|byte| *byte == b'\n').ok_or(MessageError::NoHead)?;
        let (head, body) = payload.split_at(end + 1);
        if body.len() > block::MAX_MESSAGE {
            return Err(MessageError::TooLarge);
        }
        let first = line::lines(line::text(head)?).next().ok_or(MessageError::NoHead)??;
        let head = WindowHead::from_point(&first.to_point())?;
        Ok(Self { head, block: block::unpack(body)? })
    }

    /// The payload of a block (tests, benchmarks).
    pub fn payload(head: &WindowHead, packed: &[u8]) -> Vec<u8> {
        let mut payload = line::encode(&[head.to_point()]).into_bytes();
        payload.extend_from_slice(packed);
        payload
    }
}
