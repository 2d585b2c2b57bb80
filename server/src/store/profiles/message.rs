//! A block as it came from the broker, checked.

use agent_common::wire::head::WindowHead;
use profile::block::{self, Block};

use crate::store::headed::{self, MessageError};

/// A block and the head of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sent it, and its number.
    pub head: WindowHead,
    /// The stacks.
    pub block: Block,
}

impl Message {
    /// Reads a payload: the head's line, then the packed block.
    pub fn from_payload(payload: &[u8]) -> Result<Self, MessageError> {
        let (head, block) = headed::read(payload, block::MAX_MESSAGE, block::unpack)?;
        Ok(Self { head, block })
    }

    /// In place of one that cannot be read.
    pub fn unreadable(head: WindowHead) -> Self {
        Self { head, block: Block::default() }
    }

    /// The payload of a block (tests, benchmarks).
    pub fn payload(head: &WindowHead, packed: &[u8]) -> Vec<u8> {
        headed::join(head, packed)
    }
}
