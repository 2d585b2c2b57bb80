//! The templates of one stream.

use std::collections::{HashMap, HashSet, VecDeque};

use agent_common::units::UnixNs;

use super::hash::{AsIs, hash};
use super::mask::{Kind, Masked};
use super::merge::{Merge, find};
use super::template::{Cell, Template, cells};
use super::{Line, News, PatternId, Seen};
use crate::Severity;

/// Templates of a stream; a program has some hundred log statements. About 1 KiB each.
pub const MAX_PATTERNS: usize = 2_000;
/// Masked lines that lead to their template without a search; about 150 B each.
const MAX_KNOWN_LINES: usize = 8_192;
/// Ids that lead to the pattern which absorbed them, and ids of patterns that were dropped.
const MAX_OLD_IDS: usize = 8_192;
/// New templates in a minute: a search takes some 10 µs. What comes beyond is [`PatternId::OTHER`].
const MAX_BORN_A_MINUTE: u32 = 1_000;
/// Time in which all patterns are new, and none is news.
const LEARNING_NS: u64 = 600_000_000_000;
/// Merges that one new template may set off.
const MAX_MERGES: usize = 8;
const MINUTE_NS: u64 = 60_000_000_000;

#[derive(Debug)]
struct Known {
    text: Box<[u8]>,
    slot: u32,
    id: PatternId,
}

/// Templates of one stream.
#[derive(Debug, Default)]
pub(super) struct PatternSet {
    slots: Vec<Option<Template>>,
    free: Vec<u32>,
    /// Slots by the number of tokens, and those with free text.
    by_len: HashMap<usize, Vec<u32>>,
    open: Vec<u32>,
    known: HashMap<u64, Known, AsIs>,
    led: HashMap<PatternId, PatternId>,
    led_order: VecDeque<PatternId>,
    dropped: HashSet<PatternId>,
    dropped_order: VecDeque<PatternId>,
    first_ns: Option<u64>,
    uses: u64,
    born_minute: u64,
    born: u32,
    pub(super) overflow: u64,
    pub(super) evicted: u64,
    scratch: Vec<Cell>,
}

impl PatternSet {
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.slots.iter().flatten()
    }

    pub(super) fn templates_mut(&mut self) -> impl Iterator<Item = &mut Template> {
        self.slots.iter_mut().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn first_ns(&self) -> Option<u64> {
        self.first_ns
    }

    pub(super) fn set_first_ns(&mut self, first_ns: Option<u64>) {
        self.first_ns = first_ns;
    }

    pub(super) fn old_ids(&self) -> impl Iterator<Item = (PatternId, PatternId)> {
        self.led_order.iter().filter_map(|old| self.led.get(old).map(|new| (*old, *new)))
    }

    /// The pattern that has absorbed this one, else the id itself.
    pub(super) fn current(&self, mut id: PatternId) -> PatternId {
        // Each step leads to a more general text; the bound is for a snapshot that was tampered with.
        for _ in 0..64 {
            match self.led.get(&id) {
                Some(next) => id = *next,
                None => break,
            }
        }
        id
    }

    /// The pattern of a line that is masked already.
    pub(super) fn of(
        &mut self,
        masked: &Masked,
        line: &Line<'_>,
        finish: &mut dyn FnMut(PatternId, u64, u32),
    ) -> Seen {
        let first_ns = *self.first_ns.get_or_insert(line.at.0);
        self.uses += 1;
        let key = hash(&masked.text);
        let known = self.known.get(&key).filter(|known| *known.text == *masked.text).and_then(|known| {
            let template = self.slots.get(known.slot as usize)?.as_ref()?;
            (template.id == known.id).then_some(known.slot)
        });
        let found = known.map(|slot| (slot, false)).or_else(|| self.search(masked, line));
        let Some((slot, born)) = found else {
            self.overflow += 1;
            return Seen { id: PatternId::OTHER, born: false, news: None };
        };
        let Some(template) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return Seen { id: PatternId::OTHER, born: false, news: None };
        };
        template.used = self.uses;
        template.severity = template.severity.min(line.severity);
        let (finished, explodes) = template.counts.add(line.at.0);
        if let Some(finished) = finished {
            finish(template.id, finished.minute, finished.lines);
        }
        let learned = line.at.0.saturating_sub(first_ns) >= LEARNING_NS;
        let news = if born && learned && (line.severity <= Severity::Warning || line.failing) {
            Some(News::New)
        } else if explodes && learned {
            let (lines, mean) = template.counts.rate();
            Some(News::Exploding { lines, mean })
        } else {
            None
        };
        Seen { id: template.id, born, news }
    }

    /// The slot of a line that is not known, and whether its pattern is seen for the first time.
    fn search(&mut self, masked: &Masked, line: &Line<'_>) -> Option<(u32, bool)> {
        let mut line_cells = std::mem::take(&mut self.scratch);
        cells(masked, &mut line_cells);
        let found = self.fitting(&line_cells);
        let result = match found {
            Some(slot) => Some((slot, false)),
            None if self.may_bear(line.at) => {
                let template = Template::of(masked, &line_cells, line.message, line.severity, line.at);
                Some(self.bear(template))
            }
            None => None,
        };
        self.scratch = line_cells;
        if let Some((slot, _)) = result {
            self.know(masked, slot);
        }
        result
    }

    fn fitting(&self, line: &[Cell]) -> Option<u32> {
        let of_len = self.by_len.get(&line.len()).into_iter().flatten();
        of_len.chain(&self.open).copied().find(|slot| {
            self.template(*slot).is_some_and(|template| template.fits(line) && may_cover(template, line))
        })
    }

    fn template(&self, slot: u32) -> Option<&Template> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn may_bear(&mut self, at: UnixNs) -> bool {
        let minute = at.0 / MINUTE_NS;
        if minute != self.born_minute {
            self.born_minute = minute;
            self.born = 0;
        }
        self.born += 1;
        self.born <= MAX_BORN_A_MINUTE
    }

    fn know(&mut self, masked: &Masked, slot: u32) {
        let Some(id) = self.template(slot).map(|template| template.id) else { return };
        if self.known.len() >= MAX_KNOWN_LINES {
            self.known.clear();
        }
        self.known.insert(hash(&masked.text), Known { text: masked.text.as_slice().into(), slot, id });
    }

    /// Adds a template; merges it with those that are the same statement.
    fn bear(&mut self, mut template: Template) -> (u32, bool) {
        let mut born = !self.dropped.contains(&template.id);
        self.absorb_covered(&mut template);
        for _ in 0..MAX_MERGES {
            let merge = find(&template, self.slots.iter().flatten());
            let narrow = template.id;
            match merge {
                Some(Merge::Widen(mask)) => template.widen(mask),
                Some(Merge::Open(before, behind)) => template.open(before, behind),
                None => break,
            }
            // A further value of a statement that is known is no new pattern.
            born = false;
            self.lead(narrow, template.id);
            if !self.absorb_covered(&mut template) && template.id == narrow {
                break;
            }
        }
        (self.put(template), born)
    }

    /// Removes the templates whose lines are all lines of this one.
    fn absorb_covered(&mut self, template: &mut Template) -> bool {
        let covered: Vec<u32> = (0..self.slots.len() as u32)
            .filter(|slot| {
                self.template(*slot).is_some_and(|old| {
                    old.id == template.id
                        || (old.gap.is_none() || old.gap == template.gap)
                            && template.covers(old)
                            && may_cover(template, &old.cells)
                })
            })
            .collect();
        for slot in &covered {
            if let Some(old) = self.take(*slot) {
                template.absorb(&old);
                self.lead(old.id, template.id);
            }
        }
        !covered.is_empty()
    }

    /// Puts a template into a slot; drops the one that was used longest ago if there is no room.
    pub(super) fn put(&mut self, template: Template) -> u32 {
        if self.len() >= MAX_PATTERNS
            && let Some((slot, _)) = (0..self.slots.len() as u32)
                .filter_map(|slot| self.template(slot).map(|template| (slot, template.used)))
                .min_by_key(|(_, used)| *used)
            && let Some(old) = self.take(slot)
        {
            self.evicted += 1;
            self.dropped.insert(old.id);
            self.dropped_order.push_back(old.id);
            if self.dropped_order.len() > MAX_OLD_IDS
                && let Some(oldest) = self.dropped_order.pop_front()
            {
                self.dropped.remove(&oldest);
            }
        }
        self.led.remove(&template.id);
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        if template.gap.is_some() {
            self.open.push(slot);
        } else {
            self.by_len.entry(template.cells.len()).or_default().push(slot);
        }
        if slot as usize == self.slots.len() {
            self.slots.push(Some(template));
        } else if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(template);
        }
        slot
    }

    fn take(&mut self, slot: u32) -> Option<Template> {
        let template = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.open.retain(|open| *open != slot);
        if let Some(slots) = self.by_len.get_mut(&template.cells.len()) {
            slots.retain(|of_len| *of_len != slot);
        }
        Some(template)
    }

    /// From now on the old id stands for the new one.
    pub(super) fn lead(&mut self, old: PatternId, new: PatternId) {
        if old == new {
            return;
        }
        self.led.remove(&new);
        if self.led.insert(old, new).is_none() {
            self.led_order.push_back(old);
        }
        while self.led_order.len() > MAX_OLD_IDS {
            if let Some(oldest) = self.led_order.pop_front() {
                self.led.remove(&oldest);
            }
        }
    }
}

/// Whether a template says enough to take in lines that have words where it has parameters.
fn may_cover(template: &Template, line: &[Cell]) -> bool {
    let words = template.words();
    template.proven
        || words >= 2
        || words == 1 && template.cells.iter().filter(|cell| !cell.is_wild()).count() >= 3
        || template.cells.len() == line.len()
            && template
                .cells
                .iter()
                .zip(line)
                .all(|(own, line)| own.hash == line.hash || line.kind != Kind::Word)
}
