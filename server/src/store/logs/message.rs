//! Log lines as they came from the broker, checked.

use agent_common::wire::head::WindowHead;
use logs::message::MAX_MESSAGE;

use crate::store::headed::{self, MessageError};

/// Blocks of lines, and the head of their message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sent it, and its number.
    pub head: WindowHead,
    /// They.
    pub lines: logs::message::Message,
}

impl Message {
    /// Reads a payload: the head's line, then the blocks. What is in them is looked at when they are written.
    pub fn from_payload(payload: &[u8]) -> Result<Self, MessageError> {
        let (head, lines) = headed::read(payload, MAX_MESSAGE, logs::message::Message::unpack)?;
        Ok(Self { head, lines })
    }

    /// In place of one that cannot be read: what was in it is counted as lost.
    pub fn unreadable(head: WindowHead) -> Self {
        let lost = vec![("a message that cannot be read".to_owned(), 1)];
        Self { head, lines: logs::message::Message { parts: Vec::new(), lost } }
    }

    /// The payload of a message (tests, benchmarks).
    pub fn payload(head: &WindowHead, lines: &logs::message::Message) -> Vec<u8> {
        headed::join(head, &lines.pack())
    }
}
