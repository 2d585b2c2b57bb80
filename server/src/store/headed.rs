//! Payloads of which the first line says whose they are: profiles and log lines.

use agent_common::varint::Damaged;
use agent_common::wire::head::{HeadError, WindowHead};
use agent_common::wire::line::{self, LineError};

/// Bytes of the first line: a head has some 150, and a host's name may be long.
const MAX_HEAD_BYTES: usize = 1_024;

/// Why a payload has no head.
#[derive(Debug, thiserror::Error)]
pub enum HeadedError {
    /// Its first line is malformed.
    #[error(transparent)]
    Line(#[from] LineError),
    /// Its first line is no head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// There is no first line.
    #[error("no head line")]
    NoHead,
}

/// Why a payload is no message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It does not begin with a head.
    #[error(transparent)]
    Head(#[from] HeadedError),
    /// What follows its head is none.
    #[error("{1}")]
    Body(Box<WindowHead>, BodyError),
}

/// Why what follows a head is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than it may be.
    #[error("too large")]
    TooLarge,
    /// It cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// The head of a payload, and what follows it, which has so many bytes at most.
pub(super) fn read<T>(
    payload: &[u8],
    max_body: usize,
    unpack: impl FnOnce(&[u8]) -> Result<T, Damaged>,
) -> Result<(WindowHead, T), MessageError> {
    let (head, body) = split(payload)?;
    let read =
        if body.len() > max_body { Err(BodyError::TooLarge) } else { unpack(body).map_err(Into::into) };
    match read {
        Ok(read) => Ok((head, read)),
        Err(why) => Err(MessageError::Body(Box::new(head), why)),
    }
}

fn split(payload: &[u8]) -> Result<(WindowHead, &[u8]), HeadedError> {
    let begin = &payload[..payload.len().min(MAX_HEAD_BYTES)];
    let end = memchr::memchr(b'\n', begin).ok_or(HeadedError::NoHead)?;
    let (head, body) = payload.split_at(end + 1);
    let first = line::lines(line::text(head)?).next().ok_or(HeadedError::NoHead)??;
    Ok((WindowHead::from_point(&first.to_point())?, body))
}

/// A payload of them.
pub(super) fn join(head: &WindowHead, body: &[u8]) -> Vec<u8> {
    let mut payload = line::encode(&[head.to_point()]).into_bytes();
    payload.extend_from_slice(body);
    payload
}
