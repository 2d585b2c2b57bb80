//! Patterns on disk, so that a restart neither learns anew nor takes old patterns for new ones.

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::mask::{Kind, MAX_TOKENS};
use super::set::PatternSet;
use super::template::{Cell, Template};
use super::{MAX_PATTERNS, MAX_STREAMS, PatternId, Patterns};
use crate::{Severity, Stream};

/// Bytes of a pattern's text and example that are read back.
const MAX_TEXT_BYTES: usize = 8_192;
/// Old ids of a stream that are read back.
const MAX_OLD_IDS: usize = 8_192;

/// All that is known of patterns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    streams: Vec<OfStream>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OfStream {
    stream: Stream,
    first_ns: Option<u64>,
    templates: Vec<OfTemplate>,
    old_ids: Vec<(PatternId, PatternId)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OfTemplate {
    text: String,
    /// One letter a token.
    kinds: String,
    gap: Option<usize>,
    proven: bool,
    severity: Severity,
    counts: Counts,
    example: String,
}

const KINDS: [(char, Kind); 5] =
    [('w', Kind::Word), ('f', Kind::Fixed), ('p', Kind::Part), ('*', Kind::Wild), ('=', Kind::Pair)];

impl Patterns {
    /// All that is known, the patterns of a stream by their last use.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let streams = self.sets.iter().map(|(stream, set)| {
            let mut templates: Vec<&Template> = set.templates().collect();
            templates.sort_unstable_by_key(|template| template.used);
            OfStream {
                stream: stream.clone(),
                first_ns: set.first_ns(),
                templates: templates.into_iter().map(OfTemplate::of).collect(),
                old_ids: set.old_ids().collect(),
            }
        });
        Snapshot { streams: streams.collect() }
    }

    /// What a snapshot knows. What is beyond the limits, or does not fit together, is left out.
    #[must_use]
    pub fn restore(snapshot: Snapshot) -> Self {
        let mut patterns = Self::new();
        for of_stream in snapshot.streams.into_iter().take(MAX_STREAMS) {
            let nth = patterns.add(&of_stream.stream);
            let set: &mut PatternSet = &mut patterns.sets[nth].1;
            set.set_first_ns(of_stream.first_ns);
            for template in of_stream.templates.into_iter().take(MAX_PATTERNS).filter_map(OfTemplate::back) {
                set.put(template);
            }
            for (old, new) in of_stream.old_ids.into_iter().take(MAX_OLD_IDS) {
                set.lead(old, new);
            }
        }
        patterns
    }
}

impl OfTemplate {
    fn of(template: &Template) -> Self {
        let letter = |cell: &Cell| {
            KINDS.iter().find(|(_, kind)| *kind == cell.kind).map_or('f', |(letter, _)| *letter)
        };
        Self {
            text: template.text.clone(),
            kinds: template.cells.iter().map(letter).collect(),
            gap: template.gap,
            proven: template.proven,
            severity: template.severity,
            counts: template.counts.clone(),
            example: template.example.clone(),
        }
    }

    fn back(self) -> Option<Template> {
        let kinds: Option<Vec<Kind>> = self
            .kinds
            .chars()
            .map(|letter| KINDS.iter().find(|(known, _)| *known == letter).map(|(_, kind)| *kind))
            .collect();
        let cells: Vec<Cell> =
            self.text.split(' ').zip(kinds?).map(|(word, kind)| Cell::of(word.as_bytes(), kind)).collect();
        let fits = cells.len() == self.text.split(' ').count()
            && cells.len() == self.kinds.chars().count()
            && cells.len() <= MAX_TOKENS
            && self.gap.is_none_or(|gap| gap < cells.len())
            && self.text.len() <= MAX_TEXT_BYTES
            && self.example.len() <= MAX_TEXT_BYTES;
        let before = self.gap.and_then(|gap| self.text.split(' ').nth(gap.checked_sub(1)?));
        let is_open_end = before.is_some_and(|word| word.ends_with(':'));
        fits.then(|| Template {
            id: PatternId::of(&self.text),
            text: self.text,
            cells,
            gap: self.gap,
            is_open_end,
            proven: self.proven,
            severity: self.severity,
            counts: self.counts,
            example: self.example,
            used: 0,
        })
    }
}
