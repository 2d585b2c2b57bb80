//! The task of the connection to one relay. Its input is hostile: the relay parses data from the network.
//!
//! Frames are at most 16 KiB ([`MAX_TO_PRIVILEGED`]), some hundreds a second ([`Budget`]), of known form, in turn, and
//! acknowledge only what was sent. Anything else ends the connection, and with it the relay. What is written waits in the
//! outbox, which is bounded: a relay that does not read costs windows, which are counted, and no memory.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_common::pair::{
    Answer, ApiState, Decoder, Frame, FrameError, FromRelay, Hello, MAX_TO_PRIVILEGED, MessageError,
    Question, Ready, Stream, ToRelay, VERSION,
};
use agent_common::settings::BrokerAccess;
use agent_common::settings::relay::Settings;
use agent_common::wire::finding::Alert;
use agent_common::wire::silence::MAX_SILENCES;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};

use super::budget::Budget;
use super::questions::Questions;
use super::{START_TIMEOUT, Shared, first, lock};
use crate::outbox::NeverSent;

/// Most frames that the relay may send at once. After a broker was away, the relay acknowledges all open alerts of a host within a
/// second or two.
const MAX_FRAMES_BURST: u32 = 2048;
/// Frames a second that refill the burst.
const FRAMES_PER_S: u32 = 256;
/// Least time between two answers to the same question of the relay.
const MIN_ANSWER_INTERVAL: Duration = Duration::from_secs(5);
/// Longest text from the relay that is shown.
const MAX_TEXT_CHARS: usize = 1000;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The socket.
    #[error("its socket: {0}")]
    Io(#[from] io::Error),
    /// Bytes that are no frame.
    #[error("it breaks the protocol: {0}")]
    Frame(#[from] FrameError),
    /// A frame that is no message.
    #[error("it breaks the protocol: {0}")]
    Message(#[from] MessageError),
    /// An acknowledgement of nothing.
    #[error("it breaks the protocol: {0}")]
    NeverSent(#[from] NeverSent),
    /// A message that does not belong there.
    #[error("it breaks the protocol: a message out of turn")]
    OutOfTurn,
    /// More than its budget.
    #[error("it breaks the protocol: more than {FRAMES_PER_S} messages a second")]
    Flood,
    /// No first message.
    #[error("no message within {START_TIMEOUT:?}")]
    Silent,
    /// It cannot work.
    #[error("{0}")]
    Failed(String),
}

/// Reads the broker's credentials again.
pub(super) type ReadBroker = dyn Fn() -> io::Result<BrokerAccess> + Send + Sync;

/// The task of one connection.
pub(super) struct Talk {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) broker: Arc<ReadBroker>,
    /// Gets the first message.
    pub(super) started: Option<oneshot::Sender<Result<Ready, String>>>,
    /// Gets the alerts of rules.
    pub(super) alerts: mpsc::Sender<Alert>,
}

impl Talk {
    /// Runs until the relay ends (`Ok`) or breaks the protocol.
    pub(super) async fn run(mut self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Broken> {
        let settings = self.settings.clone();
        let hello = ToRelay::Hello(Box::new(Hello { version: VERSION, settings })).encode();
        let mut frames = Frames::new();
        let greeting = async {
            stream.write_all(&hello).await?;
            frames.next(&mut stream).await
        };
        let message = tokio::time::timeout(START_TIMEOUT, greeting).await.map_err(|_| Broken::Silent)??;
        let Some(frame) = message else { return Ok(()) };
        let ready = first(FromRelay::decode(&frame)?)?;
        let started = self.started.take();
        if let (Some(_), Ok(ready)) = (&started, &ready) {
            // It is the first one: windows go on where its spool left off. Later relays go on with ours.
            let mut outbox = lock(&self.shared.outbox);
            outbox.go_on(Stream::Metrics, ready.windows.clone(), ready.next_seq);
            outbox.go_on(Stream::Profile, ready.profiles.clone(), ready.next_profile);
            outbox.go_on(Stream::Log, ready.logs.clone(), ready.next_log);
        }
        let failed = ready.as_ref().err().cloned();
        if let Some(started) = started {
            // The receiver may have timed out.
            let _ = started.send(ready);
        }
        if let Some(why) = failed {
            return Err(Broken::Failed(why));
        }
        // They were for another one, and are in the settings.
        lock(&self.shared.control).clear();
        lock(&self.shared.outbox).connected();
        lock(&self.shared.figures).connected = true;
        let (read, write) = tokio::io::split(stream);
        let ended = tokio::select! {
            ended = self.read(frames, read) => ended,
            ended = self.write(write) => ended,
        };
        lock(&self.shared.outbox).disconnected();
        *lock(&self.shared.api) = ApiState::default();
        // The next one says which there are.
        self.shared.silences.set(Vec::new());
        let figures = &mut *lock(&self.shared.figures);
        figures.connected = false;
        for (lost_before, spool) in [
            (&mut figures.lost_before, &mut figures.sink.spool),
            (&mut figures.profiles_lost_before, &mut figures.sink.profiles),
            (&mut figures.logs_lost_before, &mut figures.sink.logs),
        ] {
            *lost_before = lost_before.saturating_add(std::mem::take(&mut spool.dropped).total());
        }
        ended
    }

    async fn read(&self, mut frames: Frames, mut read: impl AsyncRead + Unpin) -> Result<(), Broken> {
        let mut budget = Budget::new(MAX_FRAMES_BURST, FRAMES_PER_S, Instant::now());
        let mut answered: Option<Instant> = None;
        let mut questions = Questions::new(Instant::now());
        let mut silences = Vec::new();
        while let Some(frame) = frames.next(&mut read).await? {
            if !budget.take(Instant::now()) {
                return Err(Broken::Flood);
            }
            match FromRelay::decode(&frame)? {
                FromRelay::Ack(ack) => lock(&self.shared.outbox).ack(&ack)?,
                FromRelay::Figures(mut figures) => {
                    figures.error = figures.error.map(|error| shown(&error));
                    figures.error_kind = figures.error_kind.map(|kind| shown(&kind));
                    figures.broker = shown(&figures.broker);
                    lock(&self.shared.figures).sink = *figures;
                }
                FromRelay::Api(state) => {
                    let shown = |text: Option<String>| text.map(|text| shown(&text));
                    *lock(&self.shared.api) = ApiState {
                        url: shown(state.url),
                        fingerprint: shown(state.fingerprint),
                        problem: shown(state.problem),
                    };
                }
                FromRelay::Question(Question::Broker) => {
                    // More often than that it gets no answer.
                    if answered.is_none_or(|at| at.elapsed() >= MIN_ANSWER_INTERVAL) {
                        answered = Some(Instant::now());
                        self.answer().await;
                    }
                }
                FromRelay::Question(Question::Live(question)) => questions.ask(&self.shared, question),
                FromRelay::Alert(alert) => {
                    // Foreign, and perhaps forged: it is shown, and handed to alerts.exec as text.
                    if alert.of_rule.is_none() {
                        return Err(Broken::OutOfTurn);
                    }
                    if self.alerts.try_send(*alert).is_err() {
                        tracing::warn!("alerts of rules come too fast: one is not shown");
                    }
                }
                FromRelay::Silences(part) => {
                    silences.extend(part.silences);
                    silences.truncate(MAX_SILENCES);
                    if !part.more {
                        let now = (crate::clock::unix().0 / 1_000_000_000) as i64;
                        self.shared.silences.set_foreign(std::mem::take(&mut silences), now);
                    }
                }
                FromRelay::Ready(_) | FromRelay::Failed(_) => return Err(Broken::OutOfTurn),
            }
        }
        Ok(())
    }

    async fn answer(&self) {
        let broker = Arc::clone(&self.broker);
        // The operator's files may lie on a disk that hangs.
        let read = tokio::task::spawn_blocking(move || broker()).await;
        let answer = match read {
            Ok(Ok(access)) => Answer::Broker(access),
            Ok(Err(error)) => Answer::Failed(error.to_string()),
            Err(error) => Answer::Failed(error.to_string()),
        };
        lock(&self.shared.control).push(ToRelay::Answer(Box::new(answer)).encode());
        self.shared.wake.notify_one();
    }

    /// Sends items as they come. Ends only with an error.
    async fn write(&self, mut write: impl AsyncWrite + Unpin) -> Result<(), Broken> {
        let mut said_goodbye = false;
        loop {
            let woken = self.shared.wake.notified();
            let control = std::mem::take(&mut *lock(&self.shared.control));
            for frame in control {
                write.write_all(&frame).await?;
            }
            let item = lock(&self.shared.outbox).next_to_send();
            if let Some(item) = item {
                write.write_all(&item.encode()).await?;
                continue;
            }
            let closing = *lock(&self.shared.closing);
            if let Some(within) = closing
                && !said_goodbye
            {
                said_goodbye = true;
                let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
                write.write_all(&ToRelay::Close { within_ms }.encode()).await?;
            }
            woken.await;
        }
    }
}

/// A foreign text, of bounded length and on one line.
pub(super) fn shown(text: &str) -> String {
    agent_common::text::clean(&text.chars().take(MAX_TEXT_CHARS).collect::<String>())
}

/// Frames as they come.
#[derive(Debug)]
struct Frames {
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Frames {
    fn new() -> Self {
        Self { decoder: Decoder::new(MAX_TO_PRIVILEGED), buffer: vec![0; MAX_TO_PRIVILEGED] }
    }

    /// The next frame; `None` at the end. Cancel-safe.
    async fn next(&mut self, read: &mut (impl AsyncRead + Unpin)) -> Result<Option<Frame>, Broken> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame));
            }
            match read.read(&mut self.buffer).await {
                Ok(0) => return Ok(None),
                Ok(read) => self.decoder.push(&self.buffer[..read]),
                // A process that was killed with unread bytes in its socket.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
