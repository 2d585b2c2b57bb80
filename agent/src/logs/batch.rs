//! Lines on their way into a message: a block for each source and stream.

use std::collections::BTreeMap;
use std::time::Instant;

use logs::block::{Builder, Codec, PushError};
use logs::event::Origin;
use logs::message::{Message, Part};
use logs::{Record, Stream};

use super::watch::Watch;

/// Text of a message, that of fields included: its blocks are in memory.
const FULL_BYTES: usize = 512 << 10;
/// Blocks of a message; each is in memory. The lines that one file gives at once may add some hundred more, for each tag and pipe one: they
/// stay below [`logs::message::MAX_PARTS`], beyond which the server refuses a message.
const MAX_PARTS: usize = 256;

/// What a message is about beside its lines.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Of each source up to where it was read: what is before that need not be read again once the message is safe.
    pub(super) upto: BTreeMap<u64, u64>,
    /// Lines in it.
    pub(super) lines: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Batch {
    open: BTreeMap<(u64, Stream), Builder>,
    done: Vec<Part>,
    lost: BTreeMap<&'static str, u64>,
    sent: Sent,
    bytes: usize,
    begun: Option<Instant>,
    codec: Codec,
    watch: Watch,
}

impl Batch {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            open: BTreeMap::new(),
            done: Vec::new(),
            lost: BTreeMap::new(),
            sent: Sent::default(),
            bytes: 0,
            begun: None,
            codec: Codec::new(),
            watch,
        }
    }

    /// Looks at a line, and adds it.
    pub(super) fn line(
        &mut self,
        source: u64,
        stream: &Stream,
        record: &Record,
        origin: Origin,
        now: Instant,
    ) {
        self.watch.line(stream, record, origin);
        self.push(source, stream, record, now);
    }

    /// Looks at a line alone.
    pub(super) fn look(&mut self, stream: &Stream, record: &Record, origin: Origin) {
        self.watch.line(stream, record, origin);
    }

    /// Adds what was found in lines.
    pub(super) fn add_found(&mut self, now: Instant) {
        for (source, stream, record) in self.watch.take(now) {
            self.push(source, &stream, &record, now);
        }
    }

    /// Adds a line of a source. Positions of a source must rise.
    pub(super) fn push(&mut self, source: u64, stream: &Stream, record: &Record, now: Instant) {
        self.begun.get_or_insert(now);
        let mut pushed = self.try_push(source, stream, record);
        if pushed == Err(PushError::Full) {
            self.end_block(source, stream);
            pushed = self.try_push(source, stream, record);
        }
        match pushed {
            Ok(()) => {
                // Of a line of JSON most is in its fields.
                self.bytes += record.text_bytes() + 32;
                self.sent.lines += 1;
            }
            Err(_) => self.lose("too long", 1),
        }
    }

    fn try_push(&mut self, source: u64, stream: &Stream, record: &Record) -> Result<(), PushError> {
        let key = (source, stream.clone());
        if let Some(builder) = self.open.get_mut(&key) {
            return builder.push(record);
        }
        let Ok(builder) = Builder::new(key.1.clone()) else {
            return Err(PushError::TooLarge { bytes: 0, max: 0 });
        };
        let builder = self.open.entry(key).or_insert(builder);
        builder.push(record)
    }

    fn end_block(&mut self, source: u64, stream: &Stream) {
        if let Some(mut builder) = self.open.remove(&(source, stream.clone())) {
            self.finish(source, &mut builder);
        }
    }

    fn finish(&mut self, source: u64, builder: &mut Builder) {
        match builder.finish(&mut self.codec) {
            Ok(Some(block)) => self.done.push(Part { source, block }),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "log lines cannot be compressed");
                self.lose("not compressed", 1);
            }
        }
    }

    /// A source was read up to here.
    pub(super) fn upto(&mut self, source: u64, position: u64, now: Instant) {
        self.begun.get_or_insert(now);
        self.sent.upto.insert(source, position);
    }

    /// Lines that are not there, and why.
    pub(super) fn lose(&mut self, why: &'static str, lines: u64) {
        if lines > 0 {
            *self.lost.entry(why).or_default() += lines;
        }
    }

    /// It is time for a message.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= FULL_BYTES || self.open.len() + self.done.len() >= MAX_PARTS
    }

    /// When its first line came; `None`: nothing is in it.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.begun
    }

    /// The message.
    pub(super) fn take(&mut self) -> (Message, Sent) {
        for ((source, _), mut builder) in std::mem::take(&mut self.open) {
            self.finish(source, &mut builder);
        }
        self.bytes = 0;
        self.begun = None;
        let lost = std::mem::take(&mut self.lost).into_iter().map(|(why, count)| (why.to_owned(), count));
        let message = Message { parts: std::mem::take(&mut self.done), lost: lost.collect() };
        (message, std::mem::take(&mut self.sent))
    }
}
