//! Questions: the newest lines that match, counts over time, what came since.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use agent_common::units::DurNs;
use agent_common::varint::Damaged;
use logs::Stream;
use logs::block::{Block, Header};
use logs::filter::CELL_BYTES;
use logs::query::{Blocks, Candidate, Expr, Hit, Limits, Query, Scanner, SearchError, Test};
use rusqlite::blob::Blob;
use rusqlite::{Connection, OptionalExtension as _};

use super::schema::{FILTERS, LINES, time};
use super::{FILTERS_FILE, StoreError};
use crate::store::database::broken;
use crate::store::embedded::sqlite_error;

/// Blocks whose rows are read at once.
const ROWS: i64 = 256;
/// Blocks that one look for new lines reads at most.
const NEW_BLOCKS: i64 = 512;
/// Threads of a search: half of the machine, the other half collects.
const MAX_THREADS: usize = 8;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What lines match, and when.
    pub query: Query,
    /// Only of this host.
    pub host: Option<String>,
}

pub use logs::query::{Answer, Histogram};

/// Connections that read, beside one that writes.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    /// `None`: the filters' file is away; everything is searched.
    filters: Option<Connection>,
    path: PathBuf,
}

impl Reader {
    /// Opens the file beside the writer.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let filters = FILTERS.open_read_only(&path.with_file_name(FILTERS_FILE)).ok();
        Ok(Self { conn: LINES.open_read_only(path)?, filters, path: path.to_owned() })
    }

    /// Hands out the newest lines that match, newest first, at most `lines`, until `emit` ends it or `over` says that the time is.
    pub fn search(
        &self,
        asked: &Asked,
        lines: usize,
        over: &(dyn Fn() -> bool + Sync),
        emit: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<Answer, StoreError> {
        let limits = Limits { lines, threads: threads(), over };
        let _snapshot = self.snapshot()?;
        let mut walk = Walk::new(self, asked);
        logs::query::search(&asked.query, &mut walk, &limits, emit).map_err(|error| self.failed(error))
    }

    /// Counts the lines that match, by step and severity. The query has a beginning and an end.
    pub fn histogram(
        &self,
        asked: &Asked,
        step: DurNs,
        over: &(dyn Fn() -> bool + Sync),
    ) -> Result<Histogram, StoreError> {
        let limits = Limits { lines: usize::MAX, threads: threads(), over };
        let _snapshot = self.snapshot()?;
        let mut walk = Walk::new(self, asked);
        logs::query::histogram(&asked.query, step, &mut walk, &limits).map_err(|error| self.failed(error))
    }

    /// The blocks as they are now, until this is dropped: those that are put together meanwhile would lie where the search has been.
    fn snapshot(&self) -> Result<rusqlite::Transaction<'_>, StoreError> {
        self.conn.unchecked_transaction().map_err(|source| sqlite_error("cannot read", &self.path, source))
    }

    /// The number of the newest block: what comes later has a higher one.
    pub fn newest(&self) -> Result<i64, StoreError> {
        let sql = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'block'), 0)";
        self.conn
            .query_row(sql, [], |row| row.get(0))
            .map_err(|source| sqlite_error("cannot read", &self.path, source))
    }

    /// Lines that match and came after block `after`, oldest first; and the number of the block up to which was looked. Call it at
    /// least each five seconds.
    pub fn since(&self, asked: &Asked, after: i64) -> Result<(Vec<Hit>, i64), StoreError> {
        self.read_since(asked, after).map_err(|source| sqlite_error("cannot read", &self.path, source))
    }

    fn read_since(&self, asked: &Asked, after: i64) -> rusqlite::Result<(Vec<Hit>, i64)> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT id, body FROM block WHERE id > ? AND level = 0 ORDER BY id LIMIT ?")?;
        let mut rows = statement.query((after, NEW_BLOCKS))?;
        let (mut hits, mut last, mut scanner) = (Vec::new(), after, Scanner::default());
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            let Ok(block) = Block::open(row.get_ref(1)?.as_blob()?) else { continue };
            if asked.takes(&block.header().stream) {
                hits.extend(asked.query.hits(&block, usize::MAX, &mut scanner).unwrap_or_default());
            }
        }
        hits.sort_by_key(|hit| (hit.record.at, hit.record.position));
        Ok((hits, last))
    }

    /// The streams that have lines in the time asked for and whose labels can match, with the number of lines in their blocks.
    pub fn streams(&self, asked: &Asked) -> Result<Vec<(Stream, u64)>, StoreError> {
        let Query { from, to, .. } = asked.query;
        let read = || -> rusqlite::Result<Vec<(Stream, u64)>> {
            let mut statement = self.conn.prepare_cached(
                "SELECT labels, sum(lines) FROM block JOIN log ON log.id = block.log
                 WHERE to_ns >= ? AND from_ns < ? GROUP BY log ORDER BY 2 DESC",
            )?;
            let rows = statement.query_map((time(from.0), time(to.0)), |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
            })?;
            rows.map(|row| {
                let (labels, lines) = row?;
                let stream =
                    serde_json::from_str(&labels).map_err(|_| broken(Damaged("the labels of a stream")))?;
                Ok((stream, lines.cast_unsigned()))
            })
            .filter(|row| row.as_ref().map_or(true, |(stream, _)| asked.takes(stream)))
            .collect()
        };
        read().map_err(|source| sqlite_error("cannot read", &self.path, source))
    }

    fn failed(&self, error: SearchError<rusqlite::Error>) -> StoreError {
        match error {
            SearchError::Store(source) => sqlite_error("cannot read", &self.path, source),
            steps @ SearchError::Steps { .. } => StoreError::Rejected { what: steps.to_string() },
        }
    }
}

/// Sources of what this program says itself. It is left out unless a query names a source.
const OWN: [&str; 2] = ["event", "postmortem"];

impl Asked {
    /// A question about lines as they came, unless it names a source itself.
    #[must_use]
    pub fn new(mut query: Query, host: Option<String>) -> Self {
        if !query.expr.names_label("source") {
            for source in OWN {
                let is = Expr::Label { name: "source".to_owned(), test: Test::Is(source.to_owned()) };
                query = query.and(Expr::Not(Box::new(is)));
            }
        }
        Self { query, host }
    }

    /// A question about what came from one source.
    #[must_use]
    pub fn of_source(source: &str, query: Query, host: Option<String>) -> Self {
        let is = Expr::Label { name: "source".to_owned(), test: Test::Is(source.to_owned()) };
        Self { query: query.and(is), host }
    }

    fn takes(&self, stream: &Stream) -> bool {
        let is_host = self.host.as_deref().is_none_or(|host| stream.get("host") == Some(host));
        is_host && self.query.takes(stream)
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().div_ceil(2)).min(MAX_THREADS)
}

/// A row of the index by time.
struct Row {
    id: i64,
    to_ns: i64,
    log: i64,
}

/// The blocks, newest first.
struct Walk<'r> {
    reader: &'r Reader,
    asked: &'r Asked,
    /// Streams that can have an answer, by id, as far as they were looked at.
    takes: std::collections::HashMap<i64, bool>,
    rows: std::vec::IntoIter<Row>,
    /// The last row that was read; after it the next ones come.
    last: Option<(i64, i64)>,
    is_end: bool,
    filter: Option<(i64, Blob<'r>)>,
}

impl<'r> Walk<'r> {
    fn new(reader: &'r Reader, asked: &'r Asked) -> Self {
        let takes = std::collections::HashMap::new();
        Self { reader, asked, takes, rows: Vec::new().into_iter(), last: None, is_end: false, filter: None }
    }

    fn next_row(&mut self) -> rusqlite::Result<Option<Row>> {
        loop {
            if let Some(row) = self.rows.next() {
                return Ok(Some(row));
            }
            if self.is_end {
                return Ok(None);
            }
            let query = &self.asked.query;
            let (to, id) = self.last.unwrap_or((i64::MAX, i64::MAX));
            let rows: Vec<Row> = self
                .reader
                .conn
                .prepare_cached(
                    "SELECT id, to_ns, log FROM block
                     WHERE to_ns >= ?1 AND from_ns < ?2 AND (to_ns, id) < (?3, ?4)
                     ORDER BY to_ns DESC, id DESC LIMIT ?5",
                )?
                .query_map((time(query.from.0), time(query.to.0), to, id, ROWS), |row| {
                    Ok(Row { id: row.get(0)?, to_ns: row.get(1)?, log: row.get(2)? })
                })?
                .collect::<Result<_, _>>()?;
            self.is_end = (rows.len() as i64) < ROWS;
            self.last = rows.last().map(|row| (row.to_ns, row.id));
            self.rows = rows.into_iter();
        }
    }

    /// Whether lines of this stream can be in the answer.
    fn takes(&mut self, log: i64) -> rusqlite::Result<bool> {
        if let Some(known) = self.takes.get(&log) {
            return Ok(*known);
        }
        let labels: Option<String> = self
            .reader
            .conn
            .prepare_cached("SELECT labels FROM log WHERE id = ?")?
            .query_row([log], |row| row.get(0))
            .optional()?;
        let stream = labels.and_then(|labels| serde_json::from_str::<Stream>(&labels).ok());
        let takes = stream.is_some_and(|stream| self.asked.takes(&stream));
        self.takes.insert(log, takes);
        Ok(takes)
    }

    fn candidate(&mut self) -> rusqlite::Result<Option<Candidate<i64>>> {
        while let Some(Row { id, log, .. }) = self.next_row()? {
            if !self.takes(log)? {
                continue;
            }
            let row: Option<(Vec<u8>, i64)> = self
                .reader
                .conn
                .prepare_cached("SELECT coalesce(head, body), filter_bytes FROM block WHERE id = ?")?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((head, filter_bytes)) = row else { continue };
            let Ok(header) = Header::read(&head) else { continue };
            return Ok(Some(Candidate { id, header, filter_bytes: filter_bytes.cast_unsigned() }));
        }
        Ok(None)
    }
}

impl Blocks for Walk<'_> {
    type Id = i64;
    type Error = rusqlite::Error;

    fn next(&mut self) -> Option<Result<Candidate<i64>, rusqlite::Error>> {
        self.candidate().transpose()
    }

    fn filter_cell(&mut self, id: &i64, offset: u64, cell: &mut [u8; CELL_BYTES]) -> rusqlite::Result<()> {
        let reader = self.reader;
        let everything = |cell: &mut [u8; CELL_BYTES]| cell.fill(0xff);
        let Some(filters) = &reader.filters else {
            everything(cell);
            return Ok(());
        };
        if self.filter.as_ref().is_none_or(|(open, _)| open != id) {
            self.filter = filters
                .blob_open(rusqlite::MAIN_DB, "filter", "body", *id, true)
                .ok()
                .map(|blob| (*id, blob));
        }
        let read = self.filter.as_ref().map(|(_, blob)| blob.read_at_exact(cell, offset as usize));
        if !matches!(read, Some(Ok(()))) {
            // It is away: the block is searched.
            everything(cell);
        }
        Ok(())
    }

    fn load(&mut self, id: &i64) -> rusqlite::Result<Option<Vec<u8>>> {
        self.reader
            .conn
            .prepare_cached("SELECT body FROM block WHERE id = ?")?
            .query_row([id], |row| row.get(0))
            .optional()
    }
}
