//! An epoch's dictionary: every frame, process and stack of six hours once, or of less where it is full before.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use agent_common::varint::{Bytes, Damaged};
use profile::block::{
    Block, Entry, Group, Interner, Looked, Translated, Trie, put_frames, put_groups, put_nodes, take_frames,
    take_groups, take_nodes,
};
use rusqlite::{Connection, OptionalExtension as _};

use super::body::{pack, unpack};
use super::schema::{broken, time};

/// Length of an epoch; the next one begins at a multiple of it at the latest.
pub(super) const EPOCH: Duration = Duration::from_hours(6);

/// Epochs of these six hours at most: one whose dictionary is full is followed by another. With 400,000 nodes in 1.4 MB each, a week
/// has 235 MB of dictionaries at most; a build that fills one in a quarter of an hour is whole for an hour and a half.
pub(super) const MAX_EPOCHS: i64 = 6;

/// A row ends no later than this after the end of its epoch; what arrives later comes from a spool.
pub(super) const LATE: Duration = Duration::from_hours(1);

/// A row with long columns begins no earlier than this before its epoch's first block: at a full hour.
pub(super) const ROW: Duration = Duration::from_hours(1);

/// A column that is in an epoch begins no earlier than this before it.
pub(super) const COLUMN: Duration = Duration::from_mins(10);

/// What is in a dictionary.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    pub(super) trie: Trie,
    pub(super) groups: Vec<Group>,
}

/// An epoch that is written to.
#[derive(Debug)]
pub(super) struct Epoch {
    pub(super) id: i64,
    interner: Interner,
    groups: Vec<Group>,
    group_ids: HashMap<Group, u32>,
    /// Frames, groups and nodes that are in the database.
    saved: (usize, usize, usize),
    /// When it was last written to.
    pub(super) used: Instant,
}

/// Counts with the ids of an epoch.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) cpu: Vec<Entry>,
    pub(super) waits: Vec<Entry>,
    /// Samples and waits whose stacks were cut.
    pub(super) cut: [u64; 2],
}

/// Start of the six hours of a time.
pub(super) fn start(ns: u64) -> i64 {
    let length = EPOCH.as_nanos() as u64;
    time(ns / length * length)
}

/// Reads a dictionary.
pub(super) fn load(conn: &Connection, epoch: i64) -> rusqlite::Result<Dictionary> {
    let mut all = Dictionary::default();
    let mut depths = Vec::new();
    let mut statement = conn.prepare_cached("SELECT body FROM dictionary WHERE epoch = ? ORDER BY id")?;
    let mut rows = statement.query([epoch])?;
    while let Some(row) = rows.next()? {
        part(&mut all, &mut depths, row.get_ref(0)?.as_blob()?).map_err(broken)?;
    }
    Ok(all)
}

fn part(all: &mut Dictionary, depths: &mut Vec<u16>, body: &[u8]) -> Result<(), Damaged> {
    let bytes = unpack(body)?;
    let mut bytes = Bytes(&bytes);
    all.trie.frames.extend(take_frames(&mut bytes)?);
    all.groups.extend(take_groups(&mut bytes)?);
    take_nodes(&mut bytes, all.trie.frames.len(), &mut all.trie.nodes, depths)
}

impl Epoch {
    /// Start of the epoch that a time belongs to.
    pub(super) fn start_of(conn: &Connection, at_ns: u64) -> rusqlite::Result<i64> {
        let first = start(at_ns);
        let last: Option<i64> = conn
            .prepare_cached("SELECT max(from_ns) FROM epoch WHERE from_ns BETWEEN ? AND ?")?
            .query_row((first, time(at_ns)), |row| row.get(0))?;
        Ok(last.unwrap_or(first))
    }

    /// Whether another epoch may begin at a time: there are few in its six hours, and none begins then. One that a fast clock began
    /// later is not in its way.
    pub(super) fn may_begin(conn: &Connection, at_ns: u64) -> rusqlite::Result<bool> {
        let first = start(at_ns);
        let end = first.saturating_add(time(EPOCH.as_nanos() as u64));
        let (count, begins): (i64, bool) = conn
            .prepare_cached(
                "SELECT count(*), coalesce(max(from_ns = ?3), 0) FROM epoch WHERE from_ns >= ?1 AND from_ns < ?2",
            )?
            .query_row((first, end, time(at_ns)), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(count < MAX_EPOCHS && !begins)
    }

    /// The epoch that begins then, made when it is not there.
    pub(super) fn open(conn: &Connection, from: i64) -> rusqlite::Result<Self> {
        let known = conn
            .prepare_cached("SELECT id FROM epoch WHERE from_ns = ?")?
            .query_row([from], |row| row.get::<_, i64>(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => conn
                .prepare_cached("INSERT INTO epoch(from_ns) VALUES (?) RETURNING id")?
                .query_row([from], |row| row.get(0))?,
        };
        let Dictionary { trie, groups } = load(conn, id)?;
        let saved = (trie.frames.len(), groups.len(), trie.nodes.len());
        let group_ids = groups.iter().cloned().zip(0..).collect();
        Ok(Self { id, interner: Interner::new(trie), groups, group_ids, saved, used: Instant::now() })
    }

    /// The counts of a block with ids of this epoch; what is new gets ids, up to `max_nodes` stacks.
    pub(super) fn counts(&mut self, block: &Block, max_nodes: usize) -> Counts {
        let groups: Vec<u32> = block.groups.iter().map(|group| self.group(group)).collect();
        let mut translated = Translated::new(&block.trie);
        let mut counts = Counts::default();
        for looked in Looked::ALL {
            let mut cut = 0_u64;
            let mut entries: Vec<Entry> = block
                .entries(looked)
                .iter()
                .map(|entry| {
                    let (node, whole) = translated.get(entry.node, &mut self.interner, max_nodes);
                    cut = cut.saturating_add(if whole { 0 } else { entry.samples });
                    Entry { group: groups[entry.group as usize], node, ..*entry }
                })
                .collect();
            sum(&mut entries);
            counts.cut[looked as usize] = cut;
            match looked {
                Looked::Cpu => counts.cpu = entries,
                Looked::Wait => counts.waits = entries,
            }
        }
        counts
    }

    /// Writes what is new.
    pub(super) fn save(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let trie = self.interner.trie();
        let now = (trie.frames.len(), self.groups.len(), trie.nodes.len());
        if now == self.saved {
            return Ok(());
        }
        let (frames, groups, nodes) = self.saved;
        let mut bytes = Vec::new();
        put_frames(&mut bytes, &trie.frames[frames..]);
        put_groups(&mut bytes, &self.groups[groups..]);
        put_nodes(&mut bytes, nodes, &trie.nodes[nodes..]);
        insert(conn, self.id, &bytes)?;
        self.saved = now;
        Ok(())
    }

    fn group(&mut self, group: &Group) -> u32 {
        if let Some(&id) = self.group_ids.get(group) {
            return id;
        }
        let id = self.groups.len() as u32;
        self.groups.push(group.clone());
        self.group_ids.insert(group.clone(), id);
        id
    }
}

fn insert(conn: &Connection, epoch: i64, bytes: &[u8]) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT INTO dictionary(epoch, body) VALUES (?, ?)")?
        .execute((epoch, pack(bytes)?))?;
    Ok(())
}

/// Makes one part of the many of a dictionary: together they take less.
pub(super) fn join(conn: &Connection, epoch: i64) -> rusqlite::Result<()> {
    let all = load(conn, epoch)?;
    let mut bytes = Vec::new();
    put_frames(&mut bytes, &all.trie.frames);
    put_groups(&mut bytes, &all.groups);
    put_nodes(&mut bytes, 0, &all.trie.nodes);
    conn.prepare_cached("DELETE FROM dictionary WHERE epoch = ?")?.execute([epoch])?;
    insert(conn, epoch, &bytes)
}

/// Sorts entries, and adds up those of one group, stack and column.
pub(super) fn sum(entries: &mut Vec<Entry>) {
    entries.sort_unstable_by_key(|entry| (entry.group, entry.node, entry.column));
    entries.dedup_by(|next, sum| {
        let same = (next.group, next.node, next.column) == (sum.group, sum.node, sum.column);
        if same {
            sum.samples = sum.samples.saturating_add(next.samples);
            sum.ns = sum.ns.saturating_add(next.ns);
        }
        same
    });
}
