//! How much fell into each part of an interval, without the stacks: what a page draws to choose an interval from.

use agent_common::units::{DurNs, UnixNs};
use profile::block::{Block, Entry, Looked, Shown};
use profile::{Mode, Parts};
use rusqlite::{Connection, Row};

use super::super::super::StoreError;
use super::super::body::{self, Sizes};
use super::super::epoch;
use super::super::schema::{broken, time};
use super::super::selection::Selection;
use super::{PINNED, ROWS, Reader, check, epochs, unix};

/// What fell into a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// On-CPU samples.
    pub samples: u64,
    /// Time that they stand for.
    pub oncpu_ns: u64,
    /// Waits that were looked at.
    pub waits: u64,
    /// Time that they stand for.
    pub waited_ns: u64,
}

impl Total {
    fn add(&mut self, looked: Looked, entry: &Entry) {
        let (count, ns) = match looked {
            Looked::Cpu => (&mut self.samples, &mut self.oncpu_ns),
            Looked::Wait => (&mut self.waits, &mut self.waited_ns),
        };
        *count = count.saturating_add(entry.samples);
        *ns = ns.saturating_add(entry.ns);
    }
}

/// Parts of an interval.
struct Parted<'s> {
    selection: &'s Selection,
    step: u64,
    parts: Vec<Total>,
    /// Longest column that was kept.
    longest: u64,
}

impl Parted<'_> {
    /// The part in which each column's middle lies.
    fn places(&mut self, start: UnixNs, column: DurNs, columns: u32) -> Vec<Option<usize>> {
        let place = |nth: u64| {
            let middle = start.0.saturating_add(nth.saturating_mul(column.0)).saturating_add(column.0 / 2);
            let since = middle.checked_sub(self.selection.from.0)?;
            (middle < self.selection.to.0).then_some((since / self.step) as usize)
        };
        let places: Vec<Option<usize>> = (0..u64::from(columns)).map(place).collect();
        if places.iter().any(Option::is_some) {
            self.longest = self.longest.max(column.0);
        }
        places
    }

    fn add(&mut self, place: Option<usize>, looked: Looked, entry: &Entry) {
        if let Some(part) = place.and_then(|place| self.parts.get_mut(place))
            && self.selection.looked.contains(&looked)
        {
            part.add(looked, entry);
        }
    }

    fn add_rows(
        &mut self,
        tx: &Connection,
        shown: &Shown<'_>,
        over: &dyn Fn() -> bool,
    ) -> rusqlite::Result<()> {
        let selection = self.selection;
        for id in epochs(tx, selection)? {
            let dictionary = epoch::load(tx, id)?;
            let wanted: Vec<bool> = dictionary.groups.iter().map(|group| selection.takes(group)).collect();
            let left_out = shown.left_out(&dictionary.trie);
            let mut statement = tx.prepare_cached(ROWS)?;
            let mut rows = statement.query((id, time(selection.to.0), time(selection.from.0)))?;
            while let Some(row) = rows.next()? {
                check(over)?;
                if !selection.takes_host(row.get_ref(0)?.as_str()?) {
                    continue;
                }
                let (columns, rate_hz) = (row.get(3)?, row.get(4)?);
                let column = DurNs(row.get::<_, i64>(2)?.cast_unsigned());
                let places = self.places(unix(row.get(1)?), column, columns);
                if places.iter().all(Option::is_none) {
                    continue;
                }
                let (groups, nodes) = (dictionary.groups.len(), dictionary.trie.nodes.len());
                let each = |looked, entry: Entry| {
                    if !left_out[entry.node as usize] {
                        self.add(places[entry.column as usize], looked, &entry);
                    }
                };
                let takes = |group: u32| wanted[group as usize];
                body::decode(
                    row.get_ref(6)?.as_blob()?,
                    Sizes { groups, nodes, columns, rate_hz },
                    takes,
                    each,
                )
                .map_err(broken)?;
            }
        }
        Ok(())
    }

    fn add_pinned(
        &mut self,
        tx: &Connection,
        shown: &Shown<'_>,
        over: &dyn Fn() -> bool,
    ) -> rusqlite::Result<()> {
        let selection = self.selection;
        let mut statement = tx.prepare_cached(PINNED)?;
        let mut rows = statement.query((time(selection.to.0), time(selection.from.0)))?;
        while let Some(row) = rows.next()? {
            check(over)?;
            if let Some(block) = pinned(row, selection)? {
                let left_out = shown.left_out(&block.trie);
                let places = self.places(block.from, block.column, block.columns);
                for looked in Looked::ALL {
                    for entry in block.entries(looked) {
                        let takes = selection.takes(&block.groups[entry.group as usize]);
                        if takes && !left_out[entry.node as usize] {
                            self.add(places[entry.column as usize], looked, entry);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Reader {
    /// What fell into each part of this length, and the length of the longest column that was kept: no part is known more
    /// finely. `no_idle` leaves out waits for work.
    pub fn totals(
        &self,
        selection: &Selection,
        step: DurNs,
        no_idle: bool,
        over: &dyn Fn() -> bool,
    ) -> Result<(Vec<Total>, DurNs), StoreError> {
        let length = selection.to.0.saturating_sub(selection.from.0);
        let step = step.0.max(1);
        let count = usize::try_from(length.div_ceil(step)).unwrap_or(usize::MAX);
        let parts = vec![Total::default(); count];
        let mut parted = Parted { selection, step, parts, longest: 0 };
        let added = Shown::of(Mode::Wall, no_idle, Parts::Both, |shown| {
            // One snapshot: a row that is pinned meanwhile is seen once.
            let tx = self.conn.unchecked_transaction()?;
            parted.add_rows(&tx, shown, over)?;
            parted.add_pinned(&tx, shown, over)
        });
        added.map_err(|source| self.error(source))?;
        Ok((parted.parts, DurNs(parted.longest)))
    }
}

/// The block of a row, if its host is selected.
pub(super) fn pinned(row: &Row<'_>, selection: &Selection) -> rusqlite::Result<Option<Block>> {
    if !selection.takes_host(row.get_ref(0)?.as_str()?) {
        return Ok(None);
    }
    let bytes = body::unpack(row.get_ref(1)?.as_blob()?).map_err(broken)?;
    Block::decode(&bytes).map(Some).map_err(broken)
}
