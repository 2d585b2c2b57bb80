//! One template: tokens, of which some may be anything.

use agent_common::units::UnixNs;

use super::PatternId;
use super::counts::Counts;
use super::hash::hash;
use super::mask::{Kind, Masked, WILD};
use super::words::is_level;
use crate::Severity;

/// What stands for several words of free text.
const WILD_WORDS: &str = "<**>";
/// Words that free text may have.
const MAX_FREE_WORDS: usize = 24;
/// Bytes of the example that a pattern keeps.
const MAX_EXAMPLE_BYTES: usize = 512;

/// A token, as templates compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) hash: u64,
    pub(super) kind: Kind,
    /// Has letters that the program wrote: tells statements apart.
    pub(super) solid: bool,
}

impl Cell {
    pub(super) fn of(token: &[u8], kind: Kind) -> Self {
        let letters = token.iter().filter(|b| b.is_ascii_alphabetic() || **b >= 0x80).count();
        let is_level = is_level(token);
        let solid = letters >= 2 && kind != Kind::Wild && !token.starts_with(b"<") && !is_level;
        let kind = if is_level && kind == Kind::Word { Kind::Fixed } else { kind };
        Self { hash: hash(token), kind, solid }
    }

    pub(super) fn is_wild(self) -> bool {
        self.kind == Kind::Wild
    }

    /// Whether a template with this cell fits a line with `other`.
    fn fits(self, other: Self) -> bool {
        self.is_wild() && matches!(other.kind, Kind::Wild | Kind::Word | Kind::Part)
            || self.hash == other.hash
    }
}

/// Whether these cells are free text without doubt: words, or hardly more than a parameter.
fn is_free(cells: &[Cell]) -> bool {
    cells.len() <= 2 || cells.iter().all(|cell| cell.kind == Kind::Word)
}

/// The cells of a masked line.
pub(super) fn cells(masked: &Masked, into: &mut Vec<Cell>) {
    into.clear();
    into.extend(masked.tokens.iter().map(|token| Cell::of(masked.bytes(token), token.kind)));
}

/// A template, and what was seen of it.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pub(super) id: PatternId,
    /// Tokens with a blank between them.
    pub(super) text: String,
    pub(super) cells: Vec<Cell>,
    /// Tokens before and behind free text of any number of words; `cells` has the free text as one.
    pub(super) gap: Option<usize>,
    /// The free text stands behind a colon: it may be a whole message, with parameters of its own.
    pub(super) is_open_end: bool,
    /// Variants have shown which words are parameters.
    pub(super) proven: bool,
    /// The gravest that a line of it was.
    pub(super) severity: Severity,
    pub(super) counts: Counts,
    /// The first line.
    pub(super) example: String,
    /// When it was used last, as the set counts.
    pub(super) used: u64,
}

impl Template {
    pub(super) fn of(masked: &Masked, cells: &[Cell], message: &str, severity: Severity, at: UnixNs) -> Self {
        let text = String::from_utf8_lossy(&masked.text).into_owned();
        let line = message.lines().next().unwrap_or_default();
        Self {
            id: PatternId::of(&text),
            text,
            cells: cells.to_vec(),
            gap: None,
            is_open_end: false,
            proven: false,
            severity,
            counts: Counts::new(at.0),
            example: line[..line.floor_char_boundary(MAX_EXAMPLE_BYTES)].to_owned(),
            used: 0,
        }
    }

    /// Words that are not parameters.
    pub(super) fn words(&self) -> usize {
        self.cells.iter().filter(|cell| cell.solid).count()
    }

    /// Whether a line with these cells is one of this template.
    pub(super) fn fits(&self, line: &[Cell]) -> bool {
        let pairwise = |own: &[Cell], line: &[Cell]| own.iter().zip(line).all(|(own, line)| own.fits(*line));
        let Some(gap) = self.gap else {
            return self.cells.len() == line.len() && pairwise(&self.cells, line);
        };
        let behind = self.cells.len() - gap - 1;
        line.len() > gap + behind
            && line.len() - gap - behind <= MAX_FREE_WORDS
            && pairwise(&self.cells[..gap], line)
            && pairwise(&self.cells[gap + 1..], &line[line.len() - behind..])
    }

    /// Whether all lines of another template are surely lines of this one. What has more structure than free text stays apart,
    /// unless it stands behind a colon.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let free = self.gap.and_then(|gap| {
            other.cells.get(gap..(other.cells.len() + gap + 1).checked_sub(self.cells.len())?)
        });
        self.fits(&other.cells) && (self.is_open_end || free.is_none_or(is_free))
    }

    /// With the cells of `mask` as parameters.
    pub(super) fn widen(&mut self, mask: u64) {
        let words: Vec<&str> = self.text.split(' ').collect();
        let mut text = String::with_capacity(self.text.len());
        for (nth, word) in words.iter().enumerate() {
            if nth > 0 {
                text.push(' ');
            }
            if mask & 1_u64.checked_shl(nth as u32).unwrap_or(0) == 0 {
                text.push_str(word);
                continue;
            }
            let core = word.trim_end_matches([',', ':', ';', '.', '!', '?', ')', ']']);
            let wild = format!("<*>{}", &word[core.len()..]);
            text.push_str(&wild);
            if let Some(cell) = self.cells.get_mut(nth) {
                *cell = Cell::of(wild.as_bytes(), Kind::Wild);
            }
        }
        self.rename(text);
        self.join();
    }

    /// Makes parameters side by side free text: with other values they may be more or fewer words.
    fn join(&mut self) {
        let words: Vec<&str> = self.text.split(' ').collect();
        let is_bare = |nth: usize| matches!(words.get(nth), Some(&("<*>" | "<*>,")));
        let Some(start) = (0..self.cells.len())
            .find(|nth| is_bare(*nth) && self.cells.get(nth + 1).is_some_and(|cell| cell.is_wild()))
        else {
            return;
        };
        let end = (start..self.cells.len()).find(|nth| !is_bare(*nth)).unwrap_or(self.cells.len());
        let end = end + usize::from(self.cells.get(end).is_some_and(|cell| cell.is_wild()));
        if self.gap.is_none() {
            self.open(start, self.cells.len() - end);
        }
    }

    /// With free text between the first `before` and the last `behind` tokens.
    pub(super) fn open(&mut self, before: usize, behind: usize) {
        let words: Vec<&str> = self.text.split(' ').collect();
        if words.len() != self.cells.len() || before + behind >= words.len() {
            return;
        }
        let head = words[..before].iter().copied();
        let tail = words[words.len() - behind..].iter().copied();
        let text = head.chain([WILD_WORDS]).chain(tail).collect::<Vec<_>>().join(" ");
        self.cells.splice(before..self.cells.len() - behind, [Cell::of(WILD, Kind::Wild)]);
        self.gap = Some(before);
        self.is_open_end = words[before.saturating_sub(1)].ends_with(':');
        self.rename(text);
    }

    fn rename(&mut self, text: String) {
        self.id = PatternId::of(&text);
        self.text = text;
        self.proven = true;
    }

    /// Takes over what was seen of a template that this one covers.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.counts.absorb(&other.counts);
        self.severity = self.severity.min(other.severity);
        self.used = self.used.max(other.used);
    }
}
