//! Payloads of which the first line says whose they are: profiles and log lines.

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

/// The head of a payload, and what follows it.
pub(super) fn split(payload: &[u8]) -> Result<(WindowHead, &[u8]), HeadedError> {
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
