//! This end of the socket pair.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;

use agent_common::pair::{Decoder, FrameError, FromRelay, HEADER_BYTES, MAX_TO_RELAY, MessageError, ToRelay};
use agent_common::settings::relay::Settings;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Error of reading a message.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The socket.
    #[error("the socket pair")]
    Io(#[from] io::Error),
    /// The byte stream.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// Error of the first message.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// It cannot be read.
    #[error("no settings from the daemon (this command is started by `agent run` alone)")]
    Pair(#[from] PairError),
    /// It is another message.
    #[error("the daemon's first message is not its greeting")]
    NotHello,
}

/// Reads the settings, before there is a runtime or a log.
pub fn accept(stream: &UnixStream) -> Result<Settings, HelloError> {
    let mut stream = stream;
    let mut read = || -> Result<ToRelay, PairError> {
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header)?;
        let mut decoder = Decoder::new(MAX_TO_RELAY);
        decoder.push(&header);
        loop {
            if let Some(frame) = decoder.next_frame()? {
                return Ok(ToRelay::decode(&frame)?);
            }
            // One byte after the other would do as well: it happens once. Not more than the frame has may be taken.
            let mut rest = vec![0; decoder.missing()];
            stream.read_exact(&mut rest)?;
            decoder.push(&rest);
        }
    };
    match read()? {
        ToRelay::Hello(hello) => Ok(hello.settings),
        _ => Err(HelloError::NotHello),
    }
}

/// Both directions of the socket. In a tokio runtime.
pub(super) fn split(stream: UnixStream) -> io::Result<(Reader, Writer)> {
    stream.set_nonblocking(true)?;
    let (read, write) = tokio::net::UnixStream::from_std(stream)?.into_split();
    let reader = Reader { half: read, decoder: Decoder::new(MAX_TO_RELAY), buffer: vec![0; READ_BYTES] };
    Ok((reader, Writer { half: write }))
}

/// Messages from the collector.
pub(super) struct Reader {
    half: OwnedReadHalf,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Reader {
    /// The next message; `None` at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<ToRelay>, PairError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(ToRelay::decode(&frame)?));
            }
            match self.half.read(&mut self.buffer).await? {
                0 => return Ok(None),
                read => self.decoder.push(&self.buffer[..read]),
            }
        }
    }
}

/// Messages to the collector.
pub(super) struct Writer {
    half: OwnedWriteHalf,
}

impl Writer {
    pub(super) async fn send(&mut self, message: &FromRelay) -> io::Result<()> {
        self.half.write_all(&message.encode()).await
    }
}
