//! Unwind tables in kernel memory, one for each file content.

use std::collections::HashMap;
use std::time::Instant;

use agent_common::abi::unwind::{KIND_WIDE, PAGES, Page, Row, Rule, SLAB_ROWS, SLABS, WIDE_RULES, WideRule};
use flamegraphs::unwind::{Segment, Table};

use super::extents::Extents;
use crate::bpf::UnwindMaps;

/// A table, by the order in which they were loaded: never the same twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TableId(u64);

/// What is known of a loaded table.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Index in `UNWIND_PAGES` of the first page.
    first: u32,
    pages: u32,
    /// Slab, start, length.
    rows: Vec<(u32, u32, u32)>,
    pub(super) first_page: u64,
    pub(super) segments: Vec<Segment>,
    /// Processes that have it mapped.
    users: u32,
    idle_since: Instant,
}

impl Loaded {
    /// Index of the page of address 0 of the file.
    pub(super) fn page_zero(&self) -> u32 {
        self.first.wrapping_sub(self.first_page as u32)
    }

    pub(super) fn page_count(&self) -> u32 {
        self.pages
    }
}

/// All tables.
#[derive(Debug)]
pub(super) struct Tables {
    loaded: HashMap<TableId, Loaded>,
    next: u64,
    pages: Extents,
    slabs: Vec<Option<Extents>>,
    wide: HashMap<WideRule, u32>,
    pub(super) evicted: u64,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self {
            loaded: HashMap::new(),
            next: 0,
            pages: Extents::new(PAGES),
            slabs: (0..SLABS).map(|_| None).collect(),
            wide: HashMap::new(),
            evicted: 0,
        }
    }

    /// Copies a table to where the kernel side finds it. `None`: there is no room, not even without the tables that no
    /// process uses.
    pub(super) fn load(&mut self, maps: &mut UnwindMaps, table: &Table, now: Instant) -> Option<TableId> {
        let loaded = self.place(maps, table, now).or_else(|| {
            self.evict_idle(maps, now);
            self.place(maps, table, now)
        })?;
        let id = TableId(self.next);
        self.next += 1;
        self.loaded.insert(id, loaded);
        Some(id)
    }

    fn place(&mut self, maps: &mut UnwindMaps, table: &Table, now: Instant) -> Option<Loaded> {
        let pages = u32::try_from(table.page_count()).ok()?;
        let mut loaded = Loaded {
            first: self.pages.take(pages, now)?,
            pages,
            rows: Vec::new(),
            first_page: table.first_page,
            segments: table.segments.clone(),
            users: 0,
            idle_since: now,
        };
        let mut page = 0;
        while page < table.page_count() {
            // As many pages as fit into a slab.
            let begin = table.pages[page];
            let end = table.pages[page + 1..].partition_point(|end| end - begin <= SLAB_ROWS) + page;
            let len = table.pages[end] - begin;
            let Some((slab, start)) = (end > page).then(|| self.rows(maps, len, now)).flatten() else {
                self.release(&loaded, now);
                return None;
            };
            if len > 0 {
                loaded.rows.push((slab, start, len));
            }
            let rows: Vec<Row> = table.rows[begin as usize..][..len as usize]
                .iter()
                .map(|row| self.global(maps, table, *row))
                .collect();
            maps.put_rows(slab, start, &rows);
            for page in page..end {
                let (first, end) = (table.pages[page], table.pages[page + 1]);
                let place = slab * SLAB_ROWS + start + (first - begin);
                maps.put_page(loaded.first + page as u32, Page { first: place, count: end - first });
            }
            page = end;
        }
        Some(loaded)
    }

    /// Room for rows, in a new slab where the others have none.
    fn rows(&mut self, maps: &mut UnwindMaps, len: u32, now: Instant) -> Option<(u32, u32)> {
        for (number, slab) in self.slabs.iter_mut().enumerate() {
            if let Some(start) = slab.as_mut().and_then(|slab| slab.take(len, now)) {
                return Some((number as u32, start));
            }
        }
        let number = self.slabs.iter().position(Option::is_none)?;
        if let Err(error) = maps.make_slab(number as u32) {
            tracing::warn!(%error, "no memory for unwind tables");
            return None;
        }
        let mut slab = Extents::new(SLAB_ROWS);
        let start = slab.take(len, now)?;
        self.slabs[number] = Some(slab);
        Some((number as u32, start))
    }

    /// The table's own numbers of wide rules become those of all tables.
    fn global(&mut self, maps: &mut UnwindMaps, table: &Table, row: Row) -> Row {
        let rule = row.rule();
        if rule.kind() != KIND_WIDE {
            return row;
        }
        let next = self.wide.len() as u32;
        let index = table.wide.get(rule.index() as usize).and_then(|wide| {
            if let Some(known) = self.wide.get(wide) {
                return Some(*known);
            }
            (next < WIDE_RULES).then(|| {
                maps.put_rule(next, *wide);
                self.wide.insert(*wide, next);
                next
            })
        });
        let rule = index.map_or(Rule::UNSUPPORTED, Rule::wide);
        Row::new(row.0 >> agent_common::abi::unwind::RULE_BITS, rule)
    }

    pub(super) fn get(&self, id: TableId) -> Option<&Loaded> {
        self.loaded.get(&id)
    }

    pub(super) fn used_by_one_more(&mut self, id: TableId) {
        if let Some(loaded) = self.loaded.get_mut(&id) {
            loaded.users += 1;
        }
    }

    pub(super) fn used_by_one_less(&mut self, id: TableId, now: Instant) {
        if let Some(loaded) = self.loaded.get_mut(&id) {
            loaded.users -= 1;
            loaded.idle_since = now;
        }
    }

    /// Drops the tables that no process uses, those idle for longest first: half of them, one at least.
    pub(super) fn evict_idle(&mut self, maps: &mut UnwindMaps, now: Instant) {
        let idle = self.loaded.iter().filter(|(_, loaded)| loaded.users == 0);
        let mut idle: Vec<(Instant, TableId)> = idle.map(|(id, loaded)| (loaded.idle_since, *id)).collect();
        idle.sort_unstable();
        for (_, id) in idle.iter().take(idle.len().div_ceil(2)) {
            if let Some(loaded) = self.loaded.remove(id) {
                for page in loaded.first..loaded.first + loaded.pages {
                    maps.put_page(page, Page::default());
                }
                self.release(&loaded, now);
                self.evicted += 1;
            }
        }
    }

    fn release(&mut self, loaded: &Loaded, now: Instant) {
        self.pages.give(loaded.first, loaded.pages, now);
        for &(slab, start, len) in &loaded.rows {
            if let Some(Some(slab)) = self.slabs.get_mut(slab as usize) {
                slab.give(start, len, now);
            }
        }
    }

    /// Gives slabs without rows back to the kernel.
    pub(super) fn trim(&mut self, maps: &mut UnwindMaps, now: Instant) {
        for (number, slab) in self.slabs.iter_mut().enumerate() {
            if slab.as_mut().is_some_and(|slab| slab.is_idle(now)) {
                *slab = None;
                maps.drop_slab(number as u32);
            }
        }
    }

    /// Tables, rows, slabs.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let rows = self.slabs.iter().flatten().map(|slab| u64::from(slab.used())).sum();
        let slabs = self.slabs.iter().flatten().count() as u64;
        (self.loaded.len() as u64, rows, slabs)
    }
}
