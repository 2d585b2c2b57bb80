//! Any interval of any hosts and processes as one graph.

mod totals;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_common::units::{BootNs, DurNs, UnixNs};
use profile::block::{Block, Builder, Entry, Group, Looked, MAX_COLUMNS};
use rusqlite::Connection;

pub use totals::Total;

use super::super::StoreError;
use super::super::embedded::{damaged, sqlite_error};
use super::body::{self, Sizes};
use super::epoch::{self, Dictionary};
use super::schema::{self, broken, time};
use super::selection::{By, Selection};

/// Most stacks of a merged graph, those included on which others stand: further ones are cut to what is known of them.
const MAX_NODES: usize = 1_000_000;
/// Ends of alerts' lives that are listed at most.
const MAX_ALERTS: usize = 1_000;

/// A merged graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The stacks. Its columns begin with `from`.
    pub block: Block,
    /// Hosts that are in it.
    pub hosts: BTreeSet<String>,
    /// Rows that it was made of.
    pub rows: u64,
    /// Start of the first column that is in it, and end of the last: columns are taken as a whole.
    pub span: Option<(UnixNs, UnixNs)>,
}

/// SQL of the epochs that have rows in a time: between bounds of their start, and of their rows' starts and ends.
const EPOCHS: &str = "SELECT id FROM epoch WHERE from_ns < ? AND from_ns > ?
                      AND EXISTS(SELECT 1 FROM block WHERE epoch = epoch.id AND block.from_ns < ? AND block.from_ns > ? AND to_ns > ?)
                      ORDER BY from_ns";
/// SQL of an epoch's rows in a time.
const ROWS: &str = "SELECT host, from_ns, column_ns, columns, rate_hz, counters, body FROM block
                    WHERE epoch = ? AND from_ns < ? AND to_ns > ? ORDER BY from_ns";
/// SQL of what has outlived its epoch, in a time.
const PINNED: &str = "SELECT host, body FROM pinned WHERE from_ns < ? AND to_ns > ? ORDER BY from_ns";

/// What an alert has as evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Whose.
    pub host: String,
    /// The alert.
    pub alert: String,
    /// The stacks before it.
    pub block: Block,
}

/// A connection for questions. It sees what was committed when a question begins.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the file of a store, its own or another process'.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { conn: schema::PROFILES.open_read_only(path)?, path: path.to_owned() })
    }

    /// Hosts that there are profiles of.
    pub fn hosts(&self) -> Result<Vec<String>, StoreError> {
        self.list("SELECT DISTINCT host FROM block UNION SELECT DISTINCT host FROM pinned ORDER BY 1", ())
    }

    /// Start of the oldest column and end of the newest; `None` when there is none.
    pub fn reach(&self) -> Result<Option<(UnixNs, UnixNs)>, StoreError> {
        // An epoch that is being deleted may have no rows any more.
        let sql = "WITH held AS (SELECT id, from_ns FROM epoch WHERE EXISTS(SELECT 1 FROM block WHERE epoch = epoch.id))
            SELECT (SELECT min(from_ns) FROM block WHERE epoch = (SELECT id FROM held ORDER BY from_ns LIMIT 1)),
                   (SELECT max(to_ns) FROM block WHERE epoch = (SELECT id FROM held ORDER BY from_ns DESC LIMIT 1))";
        let both: (Option<i64>, Option<i64>) = self
            .conn
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(|source| self.error(source))?;
        Ok(both.0.zip(both.1).map(|(from, to)| (unix(from), unix(to))))
    }

    /// The graph of what is selected. A column belongs to the time in which its middle lies; where no column's does, those
    /// that overlap it count.
    pub fn merged(&self, selection: &Selection) -> Result<Merged, StoreError> {
        self.merged_until(selection, &|| false)
    }

    /// The same; an error as soon as it is `over`.
    pub fn merged_until(&self, selection: &Selection, over: &dyn Fn() -> bool) -> Result<Merged, StoreError> {
        let merged = self.gather(selection, false, over).map_err(|source| self.error(source))?;
        if merged.span.is_some() {
            return Ok(merged);
        }
        self.gather(selection, true, over).map_err(|source| self.error(source))
    }

    /// What an alert has as evidence; the newest, where several hosts have an alert of this id.
    pub fn evidence(&self, alert: &str) -> Result<Option<Evidence>, StoreError> {
        let sql = "SELECT evidence.host, body FROM evidence_of JOIN evidence ON evidence.id = evidence
                   WHERE alert = ? ORDER BY evidence DESC LIMIT 1";
        let found: Option<(String, Vec<u8>)> = self
            .list_of(sql, [alert], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(|source| self.error(source))?
            .pop();
        let Some((host, packed)) = found else { return Ok(None) };
        let block = body::unpack(&packed).and_then(|bytes| Block::decode(&bytes));
        let block = block.map_err(|source| damaged(&self.path, source))?;
        Ok(Some(Evidence { host, alert: alert.to_owned(), block }))
    }

    /// Alerts that have evidence, the newest first.
    pub fn alerts(&self) -> Result<Vec<String>, StoreError> {
        self.list("SELECT alert FROM evidence_of ORDER BY evidence DESC LIMIT ?", [MAX_ALERTS as i64])
    }

    fn list(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<String>, StoreError> {
        self.list_of(sql, params, |row| row.get(0)).map_err(|source| self.error(source))
    }

    fn list_of<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.conn.prepare_cached(sql)?.query_map(params, |row| read(row))?.collect()
    }

    fn error(&self, source: rusqlite::Error) -> StoreError {
        sqlite_error("cannot read", &self.path, source)
    }

    /// `overlapping`: columns count that overlap the time; otherwise those whose middle lies in it.
    fn gather(
        &self,
        selection: &Selection,
        overlapping: bool,
        over: &dyn Fn() -> bool,
    ) -> rusqlite::Result<Merged> {
        // One snapshot: a row that is rolled meanwhile is seen once.
        let tx = self.conn.unchecked_transaction()?;
        let mut sum = Gathered::new(selection, overlapping);
        let (from, to) = (time(selection.from.0), time(selection.to.0));
        for id in epochs(&tx, selection)? {
            let dictionary = epoch::load(&tx, id)?;
            let wanted: Vec<bool> = dictionary.groups.iter().map(|group| selection.takes(group)).collect();
            let mut entries: HashMap<(Looked, u32, u32, u32), (u64, u64)> = HashMap::new();
            let mut statement = tx.prepare_cached(ROWS)?;
            let mut rows = statement.query((id, to, from))?;
            while let Some(row) = rows.next()? {
                check(over)?;
                let host = row.get_ref(0)?.as_str()?;
                if !selection.takes_host(host) {
                    continue;
                }
                let (start, length) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
                let columns: u32 = row.get(3)?;
                let places = sum.places(unix(start), DurNs(length.cast_unsigned()), columns);
                if places.iter().all(Option::is_none) {
                    continue;
                }
                let rate_hz = row.get(4)?;
                sum.rate_hz = sum.rate_hz.max(rate_hz);
                sum.count(host, row.get_ref(5)?.as_str()?, &places);
                let sizes = Sizes {
                    groups: dictionary.groups.len(),
                    nodes: dictionary.trie.nodes.len(),
                    columns,
                    rate_hz,
                };
                let each = |looked, entry: Entry| {
                    if let Some(column) = places[entry.column as usize] {
                        let key = (looked, entry.group, entry.node, column);
                        let known = entries.entry(key).or_default();
                        *known = (known.0.saturating_add(entry.samples), known.1.saturating_add(entry.ns));
                    }
                };
                let takes = |group: u32| wanted[group as usize];
                body::decode(row.get_ref(6)?.as_blob()?, sizes, takes, each).map_err(broken)?;
            }
            drop(rows);
            sum.add(dictionary, entries);
        }
        let mut statement = tx.prepare_cached(PINNED)?;
        let mut rows = statement.query((to, from))?;
        while let Some(row) = rows.next()? {
            check(over)?;
            if let Some(block) = totals::pinned(row, selection)? {
                sum.add_block(row.get_ref(0)?.as_str()?, &block);
            }
        }
        Ok(sum.finish())
    }
}

/// The epochs that have rows in the time. A dictionary takes some 50 ms to be read.
fn epochs(conn: &Connection, selection: &Selection) -> rusqlite::Result<Vec<i64>> {
    let (from, to) = (selection.from.0, selection.to.0);
    let before = |ns: u64, length: Duration| time(ns.saturating_sub(length.as_nanos() as u64));
    let last = time(to.saturating_add(epoch::COLUMN.as_nanos() as u64));
    let first = before(from, epoch::EPOCH + epoch::LATE);
    let bounds = (last, first, time(to), before(from, epoch::ROW + Duration::from_nanos(1)), time(from));
    conn.prepare_cached(EPOCHS)?.query_map(bounds, |row| row.get(0))?.collect()
}

fn check(over: &dyn Fn() -> bool) -> rusqlite::Result<()> {
    if over() { Err(ended()) } else { Ok(()) }
}

/// As SQLite says that it was told to stop.
fn ended() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT), None)
}

fn unix(ns: i64) -> UnixNs {
    UnixNs(ns.cast_unsigned())
}

/// A graph in the making.
struct Gathered<'s> {
    selection: &'s Selection,
    overlapping: bool,
    builder: Builder,
    /// Length of a column of the answer.
    column: u64,
    hosts: BTreeSet<String>,
    rows: u64,
    rate_hz: u32,
    span: Option<(UnixNs, UnixNs)>,
}

impl<'s> Gathered<'s> {
    fn new(selection: &'s Selection, overlapping: bool) -> Self {
        let columns = selection.columns.clamp(1, MAX_COLUMNS);
        let length = selection.to.0.saturating_sub(selection.from.0).max(1);
        let column = length.div_ceil(u64::from(columns));
        let builder = Builder::new(selection.from, DurNs(column), columns, 0, MAX_NODES);
        Self {
            selection,
            overlapping,
            builder,
            column,
            hosts: BTreeSet::new(),
            rows: 0,
            rate_hz: 0,
            span: None,
        }
    }

    /// The column of the answer for each column of a row; `None` where it is left out.
    fn places(&mut self, start: UnixNs, length: DurNs, columns: u32) -> Vec<Option<u32>> {
        let Selection { from, to, .. } = self.selection;
        let mut places = Vec::with_capacity(columns as usize);
        for column in 0..u64::from(columns) {
            let begin = start.0.saturating_add(column.saturating_mul(length.0));
            let (middle, end) = (begin.saturating_add(length.0 / 2), begin.saturating_add(length.0));
            let inside = if self.overlapping {
                begin < to.0 && end > from.0
            } else {
                (from.0..to.0).contains(&middle)
            };
            places.push(inside.then(|| {
                let span = self.span.get_or_insert((UnixNs(begin), UnixNs(end)));
                *span = (span.0.min(UnixNs(begin)), span.1.max(UnixNs(end)));
                let most = self.selection.columns.clamp(1, MAX_COLUMNS) - 1;
                (middle.saturating_sub(from.0) / self.column).min(u64::from(most)) as u32
            }));
        }
        places
    }

    /// Counts what a row covers: in part, where a part of it is in.
    fn count(&mut self, host: &str, counters: &str, places: &[Option<u32>]) {
        self.rows += 1;
        if !self.hosts.contains(host) {
            self.hosts.insert(host.to_owned());
        }
        let inside = places.iter().flatten().count() as u64;
        let mut all = profile::block::Counters::new();
        super::roll::add_counters(&mut all, counters);
        for count in all.values_mut() {
            *count = (u128::from(*count) * u128::from(inside) / places.len().max(1) as u128) as u64;
        }
        self.builder.add_counters(&all);
    }

    fn group(&self, group: &Group) -> Group {
        match self.selection.by {
            By::Process => group.clone(),
            By::Comm => Group { tgid: 0, start: BootNs(0), ..group.clone() },
        }
    }

    fn add(&mut self, dictionary: Dictionary, sums: HashMap<(Looked, u32, u32, u32), (u64, u64)>) {
        let mut block = Block {
            groups: dictionary.groups.iter().map(|group| self.group(group)).collect(),
            trie: dictionary.trie,
            ..Block::default()
        };
        for ((looked, group, node, column), (samples, ns)) in sums {
            let entry = Entry { group, node, column, samples, ns };
            match looked {
                Looked::Cpu => block.cpu.push(entry),
                Looked::Wait => block.waits.push(entry),
            }
        }
        let wanted = self.selection.looked.clone();
        self.builder.add_block(&block, |looked, entry| wanted.contains(&looked).then_some(entry.column));
    }

    fn add_block(&mut self, host: &str, block: &Block) {
        let places = self.places(block.from, block.column, block.columns);
        if places.iter().all(Option::is_none) {
            return;
        }
        self.count(host, &serde_json::to_string(&block.counters).unwrap_or_default(), &places);
        self.rate_hz = self.rate_hz.max(block.rate_hz);
        let wanted: Vec<bool> = block.groups.iter().map(|group| self.selection.takes(group)).collect();
        let groups: Vec<Group> = block.groups.iter().map(|group| self.group(group)).collect();
        let block = Block { groups, ..block.clone() };
        let looked_at = self.selection.looked.clone();
        self.builder.add_block(&block, |looked, entry| {
            let takes = wanted[entry.group as usize] && looked_at.contains(&looked);
            places[entry.column as usize].filter(|_| takes)
        });
    }

    fn finish(self) -> Merged {
        let block = Block { rate_hz: self.rate_hz, ..self.builder.finish() };
        Merged { block, hosts: self.hosts, rows: self.rows, span: self.span }
    }
}
