//! From messages to templates and variables.

use std::collections::HashMap;

use super::pack::{Bits, pack};
use super::{
    HEX, MAX_COLUMNS, MAX_HEX, MAX_PADDED, MIN_HEX, MIN_LINES, MIN_LINES_PER_TEMPLATE, NUMBER, OTHER, PADDED,
    Parts, SAMPLE_LINES, UPPER_HEX,
};
use crate::block::END;
use crate::block::bytes::{put, put_text};
use crate::block::numbers::put_index;

const DIGIT: u8 = 1;
const LOWER: u8 = 2;
const UPPER: u8 = 4;
const LETTER: u8 = 8;

/// What each byte is: a digit, a letter that is a hexadecimal digit, another letter, or nothing of these.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => LOWER,
            b'A'..=b'F' => UPPER,
            b'g'..=b'z' | b'G'..=b'Z' => LETTER,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// A column: the variables of one place of one template.
enum Column {
    Numbers(Vec<u64>),
    Hex(Vec<u8>),
    Others(Vec<u8>),
}

/// A variable of the line that is being read: where it lies in the text, and what it is if it is a number.
struct Variable {
    kind: u8,
    start: usize,
    end: usize,
    number: u64,
}

#[derive(Default)]
struct Templates {
    known: HashMap<u64, u16>,
    /// Each with the first of its columns.
    all: Vec<(Vec<u8>, usize)>,
    columns: Vec<Column>,
    /// Per line its template.
    index: Vec<u16>,
}

/// The parts of messages, each of which ends with [`END`]; nothing if templates would not pay.
pub(crate) fn split(text: &[u8], lines: usize) -> Option<Parts> {
    if lines < MIN_LINES {
        return None;
    }
    let mut templates = Templates::default();
    let (mut template, mut variables) = (Vec::new(), Vec::new());
    let mut start = 0;
    for end in memchr::memchr_iter(END, text) {
        read(text, start, end, &mut template, &mut variables);
        templates.add(text, &template, &variables)?;
        start = end + 1;
        let lines = templates.index.len();
        if lines % SAMPLE_LINES == 0 && templates.all.len() * MIN_LINES_PER_TEMPLATE > lines {
            return None;
        }
    }
    if templates.all.len() * MIN_LINES_PER_TEMPLATE > lines {
        return None;
    }
    Some(templates.parts())
}

/// Takes a line apart.
fn read(text: &[u8], start: usize, end: usize, template: &mut Vec<u8>, variables: &mut Vec<Variable>) {
    template.clear();
    variables.clear();
    let class = |at: usize| CLASSES[usize::from(text[at])];
    let (mut at, mut copied) = (start, start);
    while at < end {
        let first = class(at);
        if first == 0 {
            at += 1;
            continue;
        }
        // A run of letters and digits.
        let (run, mut classes, mut changes, mut last) = (at, first, 0, first);
        at += 1;
        while at < end {
            let next = class(at);
            if next == 0 {
                break;
            }
            changes += u32::from((last ^ next) & DIGIT != 0);
            classes |= next;
            last = next;
            at += 1;
        }
        if classes & DIGIT == 0 {
            continue;
        }
        let length = at - run;
        let hex = match classes {
            _ if !(MIN_HEX..=MAX_HEX).contains(&length) => None,
            classes if classes == DIGIT | LOWER => Some(HEX),
            classes if classes == DIGIT | UPPER => Some(UPPER_HEX),
            // Longer than any number, or padded: not worth a kind of its own.
            DIGIT if length > MAX_PADDED => Some(HEX),
            _ => None,
        };
        if let Some(kind) = hex {
            template.extend_from_slice(&text[copied..run]);
            template.extend([kind, length as u8]);
            variables.push(Variable { kind, start: run, end: at, number: 0 });
            copied = at;
        } else if changes > 2 {
            template.extend_from_slice(&text[copied..run]);
            template.push(OTHER);
            variables.push(Variable { kind: OTHER, start: run, end: at, number: 0 });
            copied = at;
        } else {
            copied = digits(text, run, at, copied, template, variables);
        }
    }
    template.extend_from_slice(&text[copied..end]);
}

/// The numbers of a run; its letters stay in the template. Says up to where the text is in the template now.
fn digits(
    text: &[u8],
    start: usize,
    end: usize,
    mut copied: usize,
    template: &mut Vec<u8>,
    variables: &mut Vec<Variable>,
) -> usize {
    let mut at = start;
    while at < end {
        if !text[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let first = at;
        let mut number = 0_u64;
        while at < end && text[at].is_ascii_digit() {
            number = number.wrapping_mul(10).wrapping_add(u64::from(text[at] - b'0'));
            at += 1;
        }
        let length = at - first;
        if length > MAX_PADDED {
            continue;
        }
        template.extend_from_slice(&text[copied..first]);
        let kind = if text[first] == b'0' && length > 1 {
            template.extend([PADDED, length as u8]);
            PADDED
        } else {
            template.push(NUMBER);
            NUMBER
        };
        variables.push(Variable { kind, start: first, end: at, number });
        copied = at;
    }
    copied
}

impl Templates {
    /// Adds a line; nothing if two templates have one hash, or there are too many columns.
    fn add(&mut self, text: &[u8], template: &[u8], variables: &[Variable]) -> Option<()> {
        let is_last = self.index.last().copied().filter(|last| self.all[usize::from(*last)].0 == template);
        let number = if let Some(last) = is_last {
            last
        } else {
            let next = self.all.len() as u16;
            let found = *self.known.entry(crate::block::filter::hash_of(template)).or_insert(next);
            if found == next {
                self.all.push((template.to_vec(), self.columns.len()));
                self.columns.extend(variables.iter().map(|variable| match variable.kind {
                    NUMBER | PADDED => Column::Numbers(Vec::new()),
                    OTHER => Column::Others(Vec::new()),
                    _ => Column::Hex(Vec::new()),
                }));
            }
            if self.all[usize::from(found)].0 != template || self.columns.len() > MAX_COLUMNS {
                return None;
            }
            found
        };
        self.index.push(number);
        let columns = &mut self.columns[self.all[usize::from(number)].1..];
        for (column, variable) in columns.iter_mut().zip(variables) {
            match column {
                Column::Numbers(values) => values.push(variable.number),
                Column::Hex(values) => put_hex(&text[variable.start..variable.end], values),
                Column::Others(values) => {
                    values.extend_from_slice(&text[variable.start..variable.end]);
                    values.push(END);
                }
            }
        }
        Some(())
    }

    fn parts(self) -> Parts {
        let mut parts = Parts::default();
        put(&mut parts.templates, self.all.len() as u64);
        for (template, _) in &self.all {
            put_text(&mut parts.templates, template);
        }
        let mut bits = Bits::default();
        for column in &self.columns {
            match column {
                Column::Numbers(values) => pack(values, &mut parts.templates, &mut bits),
                Column::Hex(values) => bits.put_bytes(values),
                Column::Others(values) => parts.others.extend_from_slice(values),
            }
        }
        parts.numbers = bits.finish();
        put_index(&mut parts.index, &self.index, self.all.len());
        parts
    }
}

/// Two digits a byte; a last one alone has a byte.
fn put_hex(digits: &[u8], out: &mut Vec<u8>) {
    // Of `0`–`9` the low four bits are the number, of letters 9 less.
    let of = |digit: u8| (digit & 0xf) + 9 * (digit >> 6);
    out.extend(digits.chunks(2).map(|pair| of(pair[0]) << 4 | pair.get(1).map_or(0, |low| of(*low))));
}
