//! Log lines as they came from the broker, checked.

use agent_common::varint::Damaged;
use agent_common::wire::head::WindowHead;
use logs::message::MAX_MESSAGE;

use crate::store::headed::{self, HeadedError};

/// Blocks of lines, and the head of their message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sent it, and its number.
    pub head: WindowHead,
    /// They.
    pub lines: logs::message::Message,
}

/// Why a payload has no lines.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It does not begin with a head.
    #[error(transparent)]
    Head(#[from] HeadedError),
    /// Larger than a message may be.
    #[error("too large")]
    TooLarge,
    /// What follows is no message of lines.
    #[error("{0}")]
    Damaged(#[from] Damaged),
}

impl Message {
    /// Reads a payload: the head's line, then the blocks. What is in them is looked at when they are written.
    pub fn from_payload(payload: &[u8]) -> Result<Self, MessageError> {
        let (head, body) = headed::split(payload)?;
        if body.len() > MAX_MESSAGE {
            return Err(MessageError::TooLarge);
        }
        Ok(Self { head, lines: logs::message::Message::unpack(body)? })
    }

    /// The payload of a message (tests, benchmarks).
    pub fn payload(head: &WindowHead, lines: &logs::message::Message) -> Vec<u8> {
        headed::join(head, &lines.pack())
    }
}
