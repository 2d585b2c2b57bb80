//! Writing messages.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use agent_common::wire::head::WindowHead;
use agent_common::wire::stored::{RangeSet, Stored};
use logs::block::{Block, Builder, Codec, Header};
use logs::message::Part;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::mark::{Mark, Share};
use super::retain::now;
use super::schema::{Streams, count_deleted, load_stored, time};
use super::{Message, Options, Written, arrange, retain};
use crate::store::embedded::pragma;
use crate::store::writer::Upkeep;

/// Streams of lines whose ids are remembered; each has some 200 bytes.
const MAX_KNOWN: usize = 4_096;
/// Time for upkeep after one write: the next write waits for it.
const UPKEEP_TIME: Duration = Duration::from_millis(100);
/// When nothing was left to do, upkeep is looked for again after this.
const IDLE: Duration = Duration::from_secs(1);

/// The connections that write, and what they remember.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) filters: Connection,
    pub(super) options: Options,
    pub(super) codec: Codec,
    /// Ids of the streams of lines, by host and labels.
    known: BTreeMap<(String, String), i64>,
    /// `PRAGMA data_version`: another one when another process has written, which may have deleted streams.
    version: i64,
    pub(super) upkeep: Upkeep,
}

impl Writer {
    pub(super) fn new(conn: Connection, filters: Connection, options: Options) -> Self {
        Self {
            conn,
            filters,
            options,
            codec: Codec::new(),
            known: BTreeMap::new(),
            version: 0,
            upkeep: Upkeep::default(),
        }
    }

    /// Ids of streams are looked for again: some may be gone.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    pub(super) fn write(&mut self, messages: &[Message]) -> rusqlite::Result<Written> {
        let result = self.try_write(messages);
        if result.is_err() || self.known.len() > MAX_KNOWN {
            // What was added in a transaction that was rolled back is not there.
            self.known.clear();
        }
        result
    }

    fn try_write(&mut self, messages: &[Message]) -> rusqlite::Result<Written> {
        let mut written = Written::default();
        let version = pragma(&self.conn, "data_version")?;
        if std::mem::replace(&mut self.version, version) != version {
            self.known.clear();
        }
        let Self { conn, codec, known, .. } = self;
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut streams = Streams::default();
        let mut into = Into { tx: &tx, codec, known };
        for Message { head, lines } in messages {
            let Some(stored) = streams.insert(&tx, head)? else {
                written.duplicates += 1;
                continue;
            };
            written.messages += 1;
            into.message(head, (&lines.parts, stored), &mut written)?;
            for (reason, count) in &lines.lost {
                count_deleted(&tx, &format!("lines not collected: {reason}"), *count)?;
            }
        }
        streams.save(&tx)?;
        tx.commit()?;
        Ok(written)
    }

    pub(super) fn stored(&mut self, host: &str, stream: &str) -> rusqlite::Result<Stored> {
        Ok(Stored::new(stream, &load_stored(&self.conn, (host, stream))?))
    }

    /// Puts together and deletes for some time. What fails here is a warning: the lines are stored.
    pub(super) fn do_upkeep(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < UPKEEP_TIME && self.upkeep.is_due() {
            match self.step() {
                Ok(true) => self.upkeep.succeeded(),
                Ok(false) => {
                    self.upkeep.succeeded();
                    self.upkeep.pause(IDLE);
                }
                Err(source) => {
                    self.upkeep
                        .failed(format!("cannot put log lines together, or delete old ones: {source}"));
                }
            }
        }
    }

    /// One step of upkeep; says whether it did something.
    fn step(&mut self) -> rusqlite::Result<bool> {
        let now = now();
        Ok(arrange::arrange(self, now)? || retain::retain(self, now)?)
    }

    pub(super) fn settle(&mut self) -> rusqlite::Result<()> {
        while self.step()? {}
        Ok(())
    }

    pub(super) fn close(self) -> rusqlite::Result<()> {
        let closed = self.filters.close().map_err(|(_, source)| source);
        self.conn.close().map_err(|(_, source)| source).and(closed)
    }
}

/// A transaction that takes messages.
struct Into<'w> {
    tx: &'w Transaction<'w>,
    codec: &'w mut Codec,
    known: &'w mut BTreeMap<(String, String), i64>,
}

impl Into<'_> {
    /// Takes a message's blocks. `stored`: the messages of its spool, with this one.
    fn message(
        &mut self,
        head: &WindowHead,
        (parts, stored): (&[Part], &RangeSet),
        written: &mut Written,
    ) -> rusqlite::Result<()> {
        // Of each source what was stored before this message, and what is in it: lines of one source may lie in several blocks.
        let mut sources: BTreeMap<u64, (Mark, Option<(u64, u64)>)> = BTreeMap::new();
        for Part { source, block: bytes } in parts {
            let block = Block::open(bytes).and_then(|block| block.verify(self.codec).map(|()| block));
            // In the name of another host, or of none: who searches by host would not find it.
            let own = |block: &Block<'_>| block.header().stream.get("host") == Some(&head.host);
            let Some(block) = block.ok().filter(own) else {
                written.damaged += 1;
                continue;
            };
            let (mark, span) = match sources.entry(*source) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert((Mark::load(self.tx, (&head.host, *source))?, None)),
            };
            let header = block.header();
            let (first, last) = header.positions;
            *span = Some(span.map_or((first, last), |(least, most)| (least.min(first), most.max(last))));
            let new = match mark.share((first, last)) {
                Share::Nothing => {
                    self.insert(&head.host, header, bytes)?;
                    header.lines
                }
                Share::All => 0,
                Share::Some => match rest(&block, mark, self.codec) {
                    Ok(Some(New { header, bytes })) => {
                        self.insert(&head.host, &header, &bytes)?;
                        header.lines
                    }
                    Ok(None) => 0,
                    Err(_) => {
                        written.damaged += 1;
                        continue;
                    }
                },
            };
            written.lines += u64::from(new);
            written.known_lines += u64::from(header.lines - new);
        }
        for (source, (mut mark, span)) in sources {
            if let Some(span) = span {
                mark.add(head, stored, span);
                mark.save(self.tx, (&head.host, source))?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, host: &str, header: &Header, body: &[u8]) -> rusqlite::Result<()> {
        let labels = serde_json::to_string(&header.stream).unwrap_or_default();
        let key = (host.to_owned(), labels);
        let log = if let Some(id) = self.known.get(&key) {
            *id
        } else {
            let id = stream_id(self.tx, &key.0, &key.1)?;
            self.known.insert(key, id);
            id
        };
        insert(self.tx, log, 0, header, (body, 0)).map(|_| ())
    }
}

fn stream_id(tx: &Transaction<'_>, host: &str, labels: &str) -> rusqlite::Result<i64> {
    let known = tx
        .prepare_cached("SELECT id FROM log WHERE host = ? AND labels = ?")?
        .query_row([host, labels], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    tx.prepare_cached("INSERT INTO log(host, labels) VALUES (?, ?)")?.execute([host, labels])?;
    Ok(tx.last_insert_rowid())
}

/// Adds a block, which has a filter of so many bytes. Returns its id.
pub(super) fn insert(
    conn: &Connection,
    log: i64,
    level: i64,
    header: &Header,
    (body, filter_bytes): (&[u8], usize),
) -> rusqlite::Result<i64> {
    let head = (level > 0).then(|| Header::bytes_of(body)).flatten();
    conn.prepare_cached(
        "INSERT INTO block(
             log, level, from_ns, to_ns, lines, text_bytes, filter_bytes, came_ns, head, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(rusqlite::params![
        log,
        level,
        time(header.t0.0),
        time(header.t1.0),
        header.lines,
        time(header.text_bytes),
        filter_bytes as i64,
        now(),
        head,
        body,
    ])?;
    Ok(conn.last_insert_rowid())
}

/// A block made of what is new in one that came.
struct New {
    header: Header,
    bytes: Vec<u8>,
}

/// The lines of a block that are not stored, as a block.
fn rest(
    block: &Block<'_>,
    mark: &Mark,
    codec: &mut Codec,
) -> Result<Option<New>, Box<dyn std::error::Error>> {
    let lines = block.lines(codec)?;
    let mut builder = Builder::new(block.header().stream.clone())?;
    for line in lines.iter().filter(|line| !mark.has(line.position)) {
        builder.push(&line.into())?;
    }
    let Some(bytes) = builder.finish(codec)? else { return Ok(None) };
    Ok(Some(New { header: Header::read(&bytes)?, bytes }))
}
