//! The command's end of the control socket.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::protocol::{Failure, Reply, ReplyLine, Request, RequestLine, VERSION, write_line};

/// Why the daemon did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket is not for us.
    #[error("the daemon's socket {} is root's: run this as root (sudo)", path.display())]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the daemon at {} went away", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The daemon is of another version, or it is not our daemon.
    #[error("the daemon at {} answers in another version's words ({why}); use the same `agent` for both", path.display())]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] Failure),
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Client {
    /// Connects. `None`: no daemon runs here (no socket, or one that a dead daemon left).
    pub async fn connect(path: &Path) -> Result<Option<Self>, ClientError> {
        match UnixStream::connect(path).await {
            Ok(stream) => {
                let (read, write) = stream.into_split();
                Ok(Some(Self { path: path.to_owned(), read: BufReader::new(read), write }))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                    Ok(None)
                }
                io::ErrorKind::PermissionDenied => Err(ClientError::Denied { path: path.to_owned() }),
                _ => Err(ClientError::Broken { path: path.to_owned(), source: error }),
            },
        }
    }

    /// Sends a request; [`Self::next`] brings the answer.
    pub async fn send(&mut self, request: Request) -> Result<(), ClientError> {
        let mut text = Vec::new();
        write_line(&mut text, &RequestLine { v: VERSION, request }).map_err(|error| self.broken(error))?;
        self.write.write_all(&text).await.map_err(|error| self.broken(error))
    }

    /// The next answer; `None` at the end of a stream. A refusal is an error.
    pub async fn next(&mut self) -> Result<Option<Reply>, ClientError> {
        let mut text = String::new();
        let read = self.read.read_line(&mut text).await.map_err(|error| self.broken(error))?;
        if read == 0 {
            return Ok(None);
        }
        decode(&self.path, &text).map(Some)
    }

    /// One request, one answer; `enough` ends it early with what there is.
    pub async fn ask(
        &mut self,
        request: Request,
        enough: impl Future<Output = ()>,
    ) -> Result<Reply, ClientError> {
        self.send(request).await?;
        let mut enough_pending = std::pin::pin!(enough);
        let mut stop_sent = false;
        // `next` is not restarted: a line half read would be lost.
        let Self { path, read, write } = self;
        let mut text = String::new();
        let read = {
            let mut reading = std::pin::pin!(read.read_line(&mut text));
            loop {
                tokio::select! {
                    done = &mut reading => break done,
                    () = &mut enough_pending, if !stop_sent => {
                        stop_sent = true;
                        // Closing the writing half is how a client says so; the answer still comes.
                        let _ = write.shutdown().await;
                    }
                }
            }
        };
        match read {
            Ok(0) => {
                Err(ClientError::Broken { path: path.clone(), source: io::ErrorKind::UnexpectedEof.into() })
            }
            Err(source) => Err(ClientError::Broken { path: path.clone(), source }),
            Ok(_) => decode(path, &text),
        }
    }

    fn broken(&self, source: io::Error) -> ClientError {
        ClientError::Broken { path: self.path.clone(), source }
    }
}

/// A reply line. A refusal is an error.
fn decode(path: &Path, text: &str) -> Result<Reply, ClientError> {
    let foreign = |why: String| ClientError::Foreign { path: path.to_owned(), why };
    let reply: ReplyLine = serde_json::from_str(text).map_err(|error| foreign(error.to_string()))?;
    match reply {
        ReplyLine { v, .. } if v != VERSION => Err(foreign(format!("version {v}"))),
        ReplyLine { reply: Reply::Error(failure), .. } => Err(failure.into()),
        ReplyLine { reply, .. } => Ok(reply),
    }
}
