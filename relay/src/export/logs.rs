//! Log lines to another engine: each message of the collector becomes requests of about a megabyte.
//!
//! A message is compressed: what makes requests of it has a thread of its own, before which a few messages wait. The relay's loop
//! waits for nothing here.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use agent_common::settings::relay::{EngineExport, Settings};
use agent_common::text;
use agent_common::units::UnixNs;
use logs::block::{Block, Codec, Header};
use logs::message::{Message, Part};
use logs::{Record, Stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::queue::Queue;
use super::send::{Sender, Target};
use super::{Gauge, Newest, loki, otlp, otlp_logs};

/// Text of a request with [`LINE_BYTES`] a line, besides its last line: a Loki refuses requests beyond 4 MB, and for ever those beyond its limit per second.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// What a line counts with beside its text: its time, its process and its labels are written for each.
const LINE_BYTES: usize = 100;
/// Messages that wait for the thread; each has up to 4 MiB.
const MAX_UNREAD: usize = 4;
/// What a sample is here.
const LINES: &str = "lines";

/// What a receiver of log lines understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Loki's push API.
    Loki,
    /// OTLP over HTTP.
    Otlp,
}

impl LogFormat {
    /// The setting that names the receiver.
    const fn key(self) -> &'static str {
        match self {
            Self::Loki => "export.loki",
            Self::Otlp => "export.otlp_logs",
        }
    }
}

/// Where log lines go.
pub struct LogExporter {
    format: LogFormat,
    newest: Newest,
    unread: mpsc::Sender<Vec<u8>>,
    queue: Arc<Queue>,
    reading: JoinHandle<()>,
    sending: JoinHandle<()>,
}

/// Lines of one stream, oldest first.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) stream: Stream,
    pub(super) records: Vec<Record>,
}

enum Encoder {
    Loki(loki::Encoder),
    Otlp(otlp_logs::Encoder),
}

impl Encoder {
    fn encode(&mut self, lines: &[Lines]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Loki(loki) => loki.encode(lines, Instant::now()),
            Self::Otlp(otlp) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                otlp.encode(lines, UnixNs(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)))
            }
        }
    }
}

impl LogExporter {
    /// Starts those that are configured, on the current runtime. An error is one line.
    pub fn start_all(settings: &Settings) -> Result<Vec<Self>, String> {
        let all = [(LogFormat::Loki, &settings.loki), (LogFormat::Otlp, &settings.otlp_logs)];
        let configured = all.into_iter().filter_map(|(format, export)| Some((format, export.as_ref()?)));
        configured.map(|(format, export)| Self::start(format, export, &settings.host)).collect()
    }

    /// Starts one.
    pub fn start(format: LogFormat, export: &EngineExport, host: &str) -> Result<Self, String> {
        let (path, headers, rejected, encoder): (_, _, fn(&[u8]) -> _, _) = match format {
            LogFormat::Loki => {
                (loki::PATH, loki::HEADERS, loki::rejected, Encoder::Loki(loki::Encoder::new(host)))
            }
            LogFormat::Otlp => (
                otlp_logs::PATH,
                otlp::HEADERS,
                otlp_logs::rejected,
                Encoder::Otlp(otlp_logs::Encoder::new(host)),
            ),
        };
        let sender = Sender::new(&Target {
            key: format.key(),
            what: LINES,
            url: &export.url,
            path,
            token: export.token.as_ref(),
            timeout: export.timeout,
            headers: &headers,
            rejected,
        })?;
        let queue = Arc::new(Queue::new(export.max_bytes));
        let (unread, messages) = mpsc::channel(MAX_UNREAD);
        let reader = Reader { key: format.key(), encoder, codec: Codec::new(), queue: Arc::clone(&queue) };
        let reading = tokio::task::spawn_blocking(move || reader.run(messages));
        let sending = tokio::spawn(sender.run(Arc::clone(&queue)));
        Ok(Self { format, newest: Newest::default(), unread, queue, reading, sending })
    }

    /// What it speaks.
    pub const fn format(&self) -> LogFormat {
        self.format
    }

    /// Takes a message of the collector.
    pub fn message(&mut self, spool: &str, seq: u64, message: &[u8]) {
        if !self.newest.passes(spool, seq) {
            return;
        }
        if let Ok(place) = self.unread.try_reserve() {
            place.send(message.to_vec());
        } else {
            let lines = Message::unpack(message).map_or(1, |message| message.parts.iter().map(count).sum());
            self.queue.left_out(lines);
        }
    }

    /// A handle that tells how it is.
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.queue))
    }

    /// Lets it send what waits, as long as `most`.
    pub async fn close(self, most: Duration) {
        let begun = Instant::now();
        drop(self.unread);
        // The thread reads what waits, a few messages, and ends by itself.
        if tokio::time::timeout(most, self.reading).await.is_err() {
            let key = self.format.key();
            tracing::warn!("{key}: messages of log lines were not read in time; their lines are lost");
        }
        let most = most.saturating_sub(begun.elapsed());
        super::close((self.format.key(), LINES), &self.queue, self.sending, most).await;
    }
}

/// Lines of a block as its header says, which may be damaged.
fn count(part: &Part) -> u64 {
    Header::read(&part.block).map_or(1, |header| u64::from(header.lines))
}

/// Makes requests of messages.
struct Reader {
    key: &'static str,
    encoder: Encoder,
    codec: Codec,
    queue: Arc<Queue>,
}

impl Reader {
    fn run(mut self, mut messages: mpsc::Receiver<Vec<u8>>) {
        while let Some(message) = messages.blocking_recv() {
            self.read(&message);
        }
    }

    fn read(&mut self, message: &[u8]) {
        let key = self.key;
        let message = match Message::unpack(message) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(error = text::chain(&error), "{key}: a message of log lines is damaged");
                return self.queue.left_out(1);
            }
        };
        let (mut request, mut bytes) = (Vec::new(), 0);
        for part in &message.parts {
            let lines = Block::open(&part.block)
                .and_then(|block| Ok((block.header().stream.clone(), block.lines(&mut self.codec)?)));
            let (stream, lines) = match lines {
                Ok(lines) => lines,
                Err(error) => {
                    tracing::error!(error = text::chain(&error), "{key}: a block of log lines is damaged");
                    self.queue.left_out(count(part));
                    continue;
                }
            };
            let mut records = Vec::new();
            for record in lines.iter().map(Record::from) {
                bytes += record.text_bytes() + LINE_BYTES;
                records.push(record);
                if bytes >= MAX_REQUEST_BYTES {
                    request.push(Lines { stream: stream.clone(), records: std::mem::take(&mut records) });
                    self.put(&std::mem::take(&mut request));
                    bytes = 0;
                }
            }
            if !records.is_empty() {
                request.push(Lines { stream, records });
            }
        }
        if !request.is_empty() {
            self.put(&request);
        }
    }

    fn put(&mut self, request: &[Lines]) {
        let lines = request.iter().map(|lines| lines.records.len() as u64).sum();
        match self.encoder.encode(request) {
            Ok(body) => self.queue.push(body, lines),
            Err(error) => {
                let key = self.key;
                tracing::error!(%error, "{key}: log lines cannot be written");
                self.queue.left_out(lines);
            }
        }
    }
}
