//! Rows of functions as pages that the kernel side can search.

use std::collections::HashMap;

use agent_common::abi::unwind::{PAGE_BITS, Row, Rule, WIDE_RULES, WideRule};

use super::elf::Segment;
use super::frames::{Function, Functions};
use super::rule::Form;

/// Bytes between two functions that are padding, not a function without a description.
const PADDING: u64 = 16;

/// Rows of one file at most: 16 MiB of them here for a while.
const MAX_ROWS: usize = 4 << 20;

/// The unwind table of a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its code: what a mapping of the file is translated by.
    pub segments: Vec<Segment>,
    /// Number of the first page: its address in the file's own address space, in pages.
    pub first_page: u64,
    /// Where in `rows` those of each page begin; one more at the end.
    pub pages: Vec<u32>,
    /// All rows. The first of each page holds from the page's first byte on.
    pub rows: Vec<Row>,
    /// What [`Rule::wide`] of a row is an index of.
    pub wide: Vec<WideRule>,
    /// Functions described.
    pub functions: usize,
}

/// Bytes of code from where a program begins that have no caller: the dynamic linker does not describe its first function.
const ENTRY: u64 = 64;

/// Sorts functions by address, describes what lies between them, and cuts the whole at pages. `entry`: where the program begins.
pub(super) fn pack(mut found: Functions<'_>, segments: Vec<Segment>, entry: u64) -> Table {
    let low = segments.iter().map(|s| s.vaddr).min().unwrap_or(0);
    let high = segments.iter().map(|s| s.vaddr.saturating_add(s.size)).max().unwrap_or(0);
    let mut functions = std::mem::take(&mut found.functions);
    functions.sort_unstable_by_key(|f| (f.start, f.end));
    let mut packer = Packer::new(low);
    let mut done = 0;
    for function in &functions {
        // A function of another one's address is what the linker left of one it dropped.
        if function.start < low.max(done) || function.start >= high {
            continue;
        }
        if packer.table.rows.len() >= MAX_ROWS {
            break;
        }
        let &Function { start, end, .. } = function;
        let mut described = false;
        found.rows(function, |at, form| {
            // One without rows is none.
            if !std::mem::replace(&mut described, true) && start - done >= PADDING {
                packer.gap(done, start, entry);
            }
            if at >= start && at < end.min(high) {
                packer.push(at, form);
            }
        });
        if described {
            done = end.min(high);
            packer.table.functions += 1;
        }
    }
    packer.gap(done, high, entry);
    packer.finish(high, segments)
}

struct Packer {
    table: Table,
    wide: HashMap<WideRule, u32>,
    rule: Rule,
    /// The rule in force came with the address it is in force from.
    last: u64,
}

impl Packer {
    fn new(low: u64) -> Self {
        let first_page = low >> PAGE_BITS;
        let table = Table { first_page, pages: vec![0], ..Table::default() };
        Self { table, wide: HashMap::new(), rule: Rule::GAP, last: first_page << PAGE_BITS }
    }

    /// From `from` to `to` nothing is described.
    fn gap(&mut self, from: u64, to: u64, entry: u64) {
        self.push(from, Form::GAP);
        if entry != 0 && (from..to).contains(&entry) {
            self.push(entry, Form::END);
            self.push(entry.saturating_add(ENTRY).min(to), Form::GAP);
        }
    }

    /// From `at` on, `form` holds. Addresses do not go down.
    fn push(&mut self, at: u64, form: Form) {
        let rule = match form {
            Form::Narrow(rule) => rule,
            Form::Wide(wide) => self.wide(wide),
        };
        if rule == self.rule || at < self.last {
            return;
        }
        self.turn_to(at >> PAGE_BITS);
        let row = Row::new((at & ((1 << PAGE_BITS) - 1)) as u32, rule);
        let begun = self.table.pages.last().is_some_and(|first| (*first as usize) < self.table.rows.len());
        if begun && at == self.last && self.table.rows.last().is_some_and(|r| r.0 >> 20 == row.0 >> 20) {
            // Two rules for one address: the later one holds.
            self.table.rows.pop();
        } else if !begun && row.0 >> 20 != 0 && self.rule != Rule::GAP {
            self.table.rows.push(Row::new(0, self.rule));
        } else if !begun && row.0 >> 20 != 0 {
            self.table.rows.push(Row::new(0, Rule::GAP));
        }
        self.table.rows.push(row);
        self.rule = rule;
        self.last = at;
    }

    /// Ends pages until `page` is the one that rows are put into. Where no rule begins, the one in force goes on.
    fn turn_to(&mut self, page: u64) {
        while self.table.first_page + (self.table.pages.len() as u64 - 1) < page {
            self.end_page();
        }
    }

    fn end_page(&mut self) {
        let begun = self.table.pages.last().is_some_and(|first| (*first as usize) < self.table.rows.len());
        if !begun && self.rule != Rule::GAP {
            self.table.rows.push(Row::new(0, self.rule));
        }
        self.table.pages.push(self.table.rows.len() as u32);
    }

    fn wide(&mut self, rule: WideRule) -> Rule {
        let next = self.wide.len() as u32;
        if next >= WIDE_RULES {
            return self.wide.get(&rule).map_or(Rule::UNSUPPORTED, |index| Rule::wide(*index));
        }
        Rule::wide(*self.wide.entry(rule).or_insert_with(|| {
            self.table.wide.push(rule);
            next
        }))
    }

    fn finish(mut self, high: u64, segments: Vec<Segment>) -> Table {
        let pages = (high.saturating_sub(1) >> PAGE_BITS).saturating_sub(self.table.first_page) + 1;
        while (self.table.pages.len() as u64) <= pages {
            self.end_page();
        }
        self.table.segments = segments;
        self.table.rows.shrink_to_fit();
        self.table
    }
}

impl Table {
    /// Rows of page `index`.
    #[must_use]
    pub fn page(&self, index: usize) -> &[Row] {
        match (self.pages.get(index), self.pages.get(index + 1)) {
            (Some(&first), Some(&end)) => self.rows.get(first as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Number of pages.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.pages.len().saturating_sub(1)
    }

    /// The rule in force at an address of the file, as the kernel side would find it.
    #[must_use]
    pub fn rule(&self, vaddr: u64) -> Rule {
        let Some(page) = (vaddr >> PAGE_BITS).checked_sub(self.first_page) else { return Rule::GAP };
        let rows = self.page(page as usize);
        let at = (vaddr & ((1 << PAGE_BITS) - 1)) as u32;
        let next = rows.partition_point(|row| row.0 >> 20 <= at);
        next.checked_sub(1).map_or(Rule::GAP, |index| rows[index].rule())
    }
}
