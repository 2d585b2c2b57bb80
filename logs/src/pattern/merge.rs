//! Which templates are one statement whose parameters look like words.
//!
//! A single pair of lines does not tell `user alice` from `link down`: how many variants there are does. Few variants of a
//! word stay templates of their own; many make it a parameter.

use super::mask::Kind;
use super::template::Template;

/// Variants of one word that make it a parameter, by the number of the other words: the fewer, the weaker the likeness.
const VARIANTS: [usize; 5] = [10, 10, 6, 4, 4];
/// Tokens other than parameters that a line without words must have, so that its form alone makes it one statement.
const MIN_FORM: usize = 4;
/// As many more, where the first word of a line differs: it is what mostly tells statements apart.
const MORE_FOR_FIRST: usize = 2;
/// Words that may differ at once.
const MAX_DIFFERENT: u32 = 4;
/// Variants where several words differ, besides three for each.
const VARIANTS_OF_SEVERAL: usize = 3;
/// From so many variants on, each value may be seen once.
const MANY_VARIANTS: usize = 24;
/// Variants of free text behind a colon, elsewhere, and where one or two words are all that stays.
const FREE_BEHIND_COLON: usize = 4;
const FREE_ELSEWHERE: usize = 8;
const FREE_BEHIND_LITTLE: usize = 12;
/// So many times the variants make text free that has a word in common: it may be two texts.
const MANY_NEEDED: usize = 4;
/// Words of a name, where variants have shown that one word is a parameter.
const MAX_NAME_WORDS: usize = 4;
/// Lines of a variant of free text: it rarely comes again.
const RARE_LINES: u64 = 2;
/// Templates that a new one is compared with closely, and ways in which they may differ: what a hostile stream costs.
const MAX_ALIKE: usize = 256;
const MAX_MASKS: usize = 64;
/// Tokens before and behind free text that are compared.
const MAX_AROUND_FREE: usize = 16;

/// What a new template has in common with older ones.
pub(super) enum Merge {
    /// The cells of the mask are parameters.
    Widen(u64),
    /// Free text lies behind the first and before the last tokens of these numbers.
    Open(usize, usize),
}

/// Cells in which both differ, if they may be one statement.
fn difference(new: &Template, old: &Template) -> Option<u64> {
    if old.gap != new.gap || new.cells.len() != old.cells.len() {
        return None;
    }
    let mut mask = 0_u64;
    for (nth, (new, old)) in new.cells.iter().zip(&old.cells).enumerate() {
        if new.hash == old.hash || new.is_wild() && old.is_wild() {
            continue;
        }
        let may_differ = |kind| matches!(kind, Kind::Word | Kind::Wild);
        if !may_differ(new.kind) || !may_differ(old.kind) {
            return None;
        }
        mask |= 1_u64.checked_shl(nth as u32)?;
    }
    Some(mask)
}

/// How `new` and some of `others` are to be merged, if they are.
pub(super) fn find<'a>(new: &Template, others: impl Iterator<Item = &'a Template> + Clone) -> Option<Merge> {
    let alike: Vec<(u64, &Template)> = others
        .clone()
        .filter_map(|old| difference(new, old).map(|mask| (mask, old)))
        .filter(|(mask, _)| mask.count_ones() <= MAX_DIFFERENT)
        .take(MAX_ALIKE)
        .collect();
    let mut masks: Vec<u64> = alike.iter().map(|(mask, _)| *mask).collect();
    masks.sort_unstable_by_key(|mask| (mask.count_ones(), *mask));
    masks.dedup();
    masks
        .into_iter()
        .take(MAX_MASKS)
        .find(|mask| are_values(new, &alike, *mask))
        .map(Merge::Widen)
        .or_else(|| free_text(new, others))
}

/// Whether the words at `mask` take so many values that they are parameters.
fn are_values(new: &Template, alike: &[(u64, &Template)], mask: u64) -> bool {
    let is_in = |nth: usize| mask & (1 << nth) != 0;
    let words = new.cells.iter().enumerate().filter(|(nth, cell)| cell.solid && !is_in(*nth)).count();
    let within: Vec<&Template> =
        alike.iter().filter(|(differs, _)| differs & !mask == 0).map(|(_, old)| *old).collect();
    // One of them is general already: the others are its lines.
    let is_known = |nth: usize| new.cells[nth].is_wild() || within.iter().any(|old| old.cells[nth].is_wild());
    let unknown: Vec<usize> = (0..new.cells.len()).filter(|nth| is_in(*nth) && !is_known(*nth)).collect();
    let count = within.len() + 1;
    match unknown[..] {
        [] => words >= 2 || words == 1 && count > VARIANTS[1],
        [at] => {
            // What stands behind a colon is mostly a value.
            let words = words + usize::from(ends_with_colon(new, at));
            let form = new.cells.iter().filter(|cell| !cell.is_wild()).count() - 1;
            if words == 0 && form < MIN_FORM {
                return false;
            }
            let needed = VARIANTS[words.min(VARIANTS.len() - 1)];
            let needed = if at == 0 { needed.saturating_add(MORE_FOR_FIRST) } else { needed };
            count >= needed
        }
        _ => {
            let values_repeat = unknown.iter().all(|at| {
                let mut values: Vec<u64> = within.iter().map(|old| old.cells[*at].hash).collect();
                values.push(new.cells[*at].hash);
                values.sort_unstable();
                values.dedup();
                values.len() > 2 && values.len() * 10 <= count * 7
            });
            words >= 2
                && new.cells.len() >= 2 * unknown.len()
                && count >= VARIANTS_OF_SEVERAL + 3 * unknown.len()
                && (values_repeat || count >= MANY_VARIANTS && words >= 3)
        }
    }
}

/// Whether the token before this one ends with a colon.
fn ends_with_colon(template: &Template, at: usize) -> bool {
    template.text.split(' ').nth(at.wrapping_sub(1)).is_some_and(|word| word.ends_with(':'))
}

/// A template with the same beginning and end.
struct Alike<'a> {
    old: &'a Template,
    /// Tokens in common before and behind.
    before: usize,
    behind: usize,
    len: usize,
    /// First word in which they differ.
    first: u64,
    is_rare: bool,
}

/// Whether lines with one beginning and end have free text of different lengths between them.
fn free_text<'a>(new: &Template, others: impl Iterator<Item = &'a Template>) -> Option<Merge> {
    if new.gap.is_some() {
        return None;
    }
    let cells = &new.cells;
    let alike: Vec<Alike<'_>> = others
        .filter(|old| old.gap.is_none() && old.cells.first() == cells.first())
        .filter_map(|old| {
            let room = cells.len().min(old.cells.len());
            let before = cells
                .iter()
                .zip(&old.cells)
                .take(MAX_AROUND_FREE.min(room))
                .take_while(|(a, b)| a == b)
                .count();
            let behind = cells
                .iter()
                .rev()
                .zip(old.cells.iter().rev())
                .take(MAX_AROUND_FREE.min(room - before))
                .take_while(|(a, b)| a == b)
                .count();
            let free = |template: &Template, may_be_wild: bool| {
                let end = template.cells.len() - behind;
                let is_free = |kind| kind == Kind::Word || may_be_wild && kind == Kind::Wild;
                before < end && template.cells[before..end].iter().all(|cell| is_free(cell.kind))
            };
            (free(new, false) && free(old, true)).then(|| Alike {
                old,
                before,
                behind,
                len: old.cells.len(),
                first: old.cells[before].hash,
                is_rare: old.counts.lines <= RARE_LINES,
            })
        })
        .take(MAX_ALIKE)
        .collect();
    let mut around: Vec<(usize, usize)> = alike.iter().map(|alike| (alike.before, alike.behind)).collect();
    around.sort_unstable_by_key(|(before, behind)| (usize::MAX - before - behind, *before));
    around.dedup();
    around
        .into_iter()
        .take(MAX_AROUND_FREE)
        .find(|(before, behind)| {
            let (before, behind) = (*before, *behind);
            let within = || alike.iter().filter(|alike| alike.before >= before && alike.behind >= behind);
            let words = cells[..before]
                .iter()
                .chain(&cells[cells.len() - behind..])
                .filter(|cell| cell.solid)
                .count();
            let is_colon = ends_with_colon(new, before);
            let needed = match words {
                0 => return false,
                2.. if is_colon => FREE_BEHIND_COLON,
                1 if is_colon && before >= 3 => FREE_BEHIND_COLON + 2,
                1 | 2 => FREE_BEHIND_LITTLE,
                _ => FREE_ELSEWHERE,
            };
            // A name of several words, where others are one word.
            let is_name = |old: &Template| {
                old.proven && old.cells.len() == before + behind + 1 && old.cells[before].is_wild()
            };
            if words >= 3
                && cells.len() - before - behind <= MAX_NAME_WORDS
                && within().any(|alike| is_name(alike.old))
            {
                return true;
            }
            let count = within().count();
            // What a program says itself comes again; free text does not.
            let is_said_once = within().filter(|alike| alike.is_rare).count() * 4 >= count * 3;
            // Sentences of a program begin with few words, free text with any.
            let mut firsts: Vec<u64> =
                within().filter(|alike| alike.before == before).map(|alike| alike.first).collect();
            firsts.sort_unstable();
            firsts.dedup();
            let is_any = firsts.len() * if words >= 3 || is_colon { 3 } else { 2 } >= count;
            count + 1 >= needed
                && is_any
                && (count >= needed * MANY_NEEDED
                    || !has_anchor(new, before, behind, &within().map(|alike| alike.old), count))
                && (words >= 3
                    || is_colon && (words >= 2 || before >= 3)
                    || is_said_once && before + behind >= 3)
                && within().any(|alike| alike.len != cells.len())
        })
        .map(|(before, behind)| Merge::Open(before, behind))
}

/// Whether most variants have a word in common where free text is supposed: it is not free.
fn has_anchor<'a>(
    new: &Template,
    before: usize,
    behind: usize,
    others: &(impl Iterator<Item = &'a Template> + Clone),
    count: usize,
) -> bool {
    new.cells[before..new.cells.len() - behind].iter().any(|word| {
        let has = |old: &&Template| old.cells[before..old.cells.len() - behind].contains(word);
        others.clone().filter(has).count() * 5 > count * 3
    })
}
