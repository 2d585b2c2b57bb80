//! A block as it came from the broker, checked.

use agent_common::varint::Damaged;
use agent_common::wire::head::WindowHead;
use profile::block::{self, Block};

use crate::store::headed::{self, HeadedError};

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
    /// It does not begin with a head.
    #[error(transparent)]
    Head(#[from] HeadedError),
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
        let (head, body) = headed::split(payload)?;
        if body.len() > block::MAX_MESSAGE {
            return Err(MessageError::TooLarge);
        }
        Ok(Self { head, block: block::unpack(body)? })
    }

    /// The payload of a block (tests, benchmarks).
    pub fn payload(head: &WindowHead, packed: &[u8]) -> Vec<u8> {
        headed::join(head, packed)
    }
}
