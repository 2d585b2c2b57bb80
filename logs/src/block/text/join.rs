//! From templates and variables to messages.

use super::pack::{Packed, get_bytes};
use super::{HEX, MAX_COLUMNS, MAX_HEX, MAX_PADDED, NUMBER, OTHER, PADDED, Parts, UPPER_HEX};
use crate::block::bytes::Input;
use crate::block::numbers::read_index;
use crate::block::{BlockError, END, MAX_LINES};

const WRONG: BlockError = BlockError::Damaged { what: "templates and variables of messages do not fit" };

/// Text of up to so many bytes is copied as if it had so many.
const SHORT_BYTES: usize = 16;
/// A number or hexadecimal digits have at most so many bytes.
const SLACK_BYTES: usize = 80;

/// A variable of a template. Its column is read from the front.
#[derive(Debug)]
enum Variable {
    /// A number, with leading zeros up to so many digits.
    Number {
        packed: Packed,
        digits: usize,
        at: u64,
    },
    Hex {
        length: usize,
        letters: &'static [u8; 16],
        at: u64,
    },
    Other {
        at: usize,
    },
}

/// Text, and the variable behind it.
#[derive(Debug)]
struct Piece {
    /// Where the text lies in the template.
    start: usize,
    end: usize,
    variable: Variable,
}

struct Template<'a> {
    text: &'a [u8],
    /// Where it lies in the section.
    start: usize,
    pieces: Vec<Piece>,
    /// Where the text behind the last variable begins.
    tail: usize,
    lines: u64,
}

/// Puts the messages of `lines` lines into `out`, each ended by [`END`]: `bytes` at most.
pub(crate) fn join(parts: &Parts, lines: usize, bytes: usize, out: &mut Vec<u8>) -> Result<(), BlockError> {
    let mut source = parts.templates.clone();
    source.resize(source.len() + SHORT_BYTES, 0);
    let mut head = Input::new(&parts.templates, "templates");
    let mut templates = Vec::new();
    for _ in 0..head.at_most(MAX_LINES, "templates")? {
        let length = head.at_most(parts.templates.len(), "bytes of a template")?;
        let start = parts.templates.len() - head.left();
        templates.push(Template { text: head.take(length)?, start, pieces: Vec::new(), tail: 0, lines: 0 });
    }
    let mut index = Input::new(&parts.index, "templates of lines");
    let of_line = read_index(&mut index, lines, templates.len())?;
    index.end()?;
    for line in 0..lines {
        let template = of_line.get(line).map_or(0, |at| usize::from(*at));
        templates.get_mut(template).ok_or(WRONG)?.lines += 1;
    }
    let (mut bit, mut other) = (0, 0);
    let mut columns = 0;
    for template in &mut templates {
        template.read(&mut head, &parts.others, &mut bit, &mut other, MAX_COLUMNS - columns)?;
        columns += template.pieces.len();
    }
    head.end()?;
    if other != parts.others.len() {
        return Err(WRONG);
    }
    // Room for what is written before the length is looked at.
    out.resize(bytes + SLACK_BYTES, 0);
    let mut at = 0;
    for line in 0..lines {
        let template = of_line.get(line).map_or(0, |at| usize::from(*at));
        at = templates.get_mut(template).ok_or(WRONG)?.write(&source, parts, bytes, out, at)?;
    }
    out.truncate(at);
    Ok(())
}

impl Template<'_> {
    /// Finds the variables, and where their columns begin: `bit` of the numbers, `other` of the texts.
    fn read(
        &mut self,
        head: &mut Input<'_>,
        others: &[u8],
        bit: &mut u64,
        other: &mut usize,
        most: usize,
    ) -> Result<(), BlockError> {
        let mut at = 0;
        while let Some(byte) = self.text.get(at).copied() {
            if byte < NUMBER {
                at += 1;
                continue;
            }
            if self.pieces.len() == most {
                return Err(WRONG);
            }
            let end = at;
            let length = usize::from(self.text.get(at + 1).copied().unwrap_or(0));
            let (variable, taken) = match byte {
                NUMBER | PADDED => {
                    let packed = Packed::read(head)?;
                    let variable = Variable::Number {
                        digits: if byte == PADDED { length } else { 0 },
                        at: *bit,
                        packed,
                    };
                    if byte == PADDED && !(1..=MAX_PADDED).contains(&length) {
                        return Err(WRONG);
                    }
                    if let Variable::Number { packed, .. } = &variable {
                        *bit += u64::from(packed.width()) * self.lines;
                    }
                    (variable, 1 + usize::from(byte == PADDED))
                }
                HEX | UPPER_HEX if (1..=MAX_HEX).contains(&length) => {
                    let letters = if byte == HEX { b"0123456789abcdef" } else { b"0123456789ABCDEF" };
                    let start = *bit;
                    *bit += 8 * length.div_ceil(2) as u64 * self.lines;
                    (Variable::Hex { length, letters, at: start }, 2)
                }
                OTHER => {
                    let start = *other;
                    for _ in 0..self.lines {
                        let rest = others.get(*other..).ok_or(WRONG)?;
                        *other += memchr::memchr(END, rest).ok_or(WRONG)? + 1;
                    }
                    (Variable::Other { at: start }, 1)
                }
                _ => return Err(WRONG),
            };
            self.pieces.push(Piece { start: self.tail, end, variable });
            at += taken;
            self.tail = at;
        }
        Ok(())
    }

    /// Writes the next line of this template at `at`, and says where it ends.
    #[inline]
    fn write(
        &mut self,
        source: &[u8],
        parts: &Parts,
        bytes: usize,
        out: &mut [u8],
        mut at: usize,
    ) -> Result<usize, BlockError> {
        for piece in &mut self.pieces {
            at = put_text(source, self.start + piece.start, piece.end - piece.start, bytes, out, at)?;
            let room: &mut [u8; SLACK_BYTES] =
                out.get_mut(at..).and_then(|out| out.first_chunk_mut()).ok_or(WRONG)?;
            match &mut piece.variable {
                Variable::Number { packed, digits, at: bit } => {
                    let number = packed.get(&parts.numbers, *bit)?;
                    *bit += u64::from(packed.width());
                    at += put_number(number, *digits, room);
                }
                Variable::Hex { length, letters, at: bit } => {
                    let mut packed = [0; MAX_HEX / 2];
                    let count = length.div_ceil(2);
                    let packed = packed.get_mut(..count).ok_or(WRONG)?;
                    get_bytes(&parts.numbers, *bit, packed)?;
                    *bit += 8 * count as u64;
                    for (byte, out) in packed.iter().zip(room.chunks_exact_mut(2)) {
                        out[0] = letters[usize::from(*byte >> 4)];
                        out[1] = letters[usize::from(*byte & 0xf)];
                    }
                    at += *length;
                }
                Variable::Other { at: start } => {
                    let rest = parts.others.get(*start..).ok_or(WRONG)?;
                    let length = memchr::memchr(END, rest).ok_or(WRONG)?;
                    at = put_text(&parts.others, *start, length, bytes, out, at)?;
                    *start += length + 1;
                }
            }
            if at > bytes {
                return Err(WRONG);
            }
        }
        at = put_text(source, self.start + self.tail, self.text.len() - self.tail, bytes, out, at)?;
        *out.get_mut(at).ok_or(WRONG)? = END;
        if at < bytes { Ok(at + 1) } else { Err(WRONG) }
    }
}

/// Copies text, most of which is short, and says where it ends.
#[inline]
fn put_text(
    source: &[u8],
    start: usize,
    length: usize,
    bytes: usize,
    out: &mut [u8],
    at: usize,
) -> Result<usize, BlockError> {
    // A copy of a fixed length is two instructions; what is too much of it is written over.
    if length <= SHORT_BYTES
        && let Some(from) = source.get(start..).and_then(|from| from.first_chunk::<SHORT_BYTES>())
    {
        *out.get_mut(at..).and_then(|out| out.first_chunk_mut()).ok_or(WRONG)? = *from;
    } else {
        let from = source.get(start..start + length).ok_or(WRONG)?;
        if length > bytes.saturating_sub(at) {
            return Err(WRONG);
        }
        out.get_mut(at..at + length).ok_or(WRONG)?.copy_from_slice(from);
    }
    Ok(at + length)
}

/// Numbers below 1000: their digits, and how many.
const SMALL: [[u8; 4]; 1000] = {
    let mut small = [[b'0'; 4]; 1000];
    let mut at = 0;
    while at < 1000 {
        let digits = [b'0' + (at / 100) as u8, b'0' + (at / 10 % 10) as u8, b'0' + (at % 10) as u8];
        small[at] = match at {
            0..=9 => [digits[2], 0, 0, 1],
            10..=99 => [digits[1], digits[2], 0, 2],
            _ => [digits[0], digits[1], digits[2], 3],
        };
        at += 1;
    }
    small
};

/// Numbers up to 99, two digits each.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

/// Writes a number, with leading zeros up to so many digits. Says how many bytes it has.
#[inline]
fn put_number(mut number: u64, digits: usize, out: &mut [u8; SLACK_BYTES]) -> usize {
    if digits == 0
        && let Some(small) = SMALL.get(number as usize)
    {
        out[..4].copy_from_slice(small);
        return usize::from(small[3]);
    }
    let mut text = [b'0'; 20];
    let mut at = text.len();
    while number >= 100 {
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    at -= 2;
    text[at..at + 2].copy_from_slice(&PAIRS[number as usize]);
    if number < 10 {
        at += 1;
    }
    let text = &text[at.min(text.len() - digits.min(text.len()))..];
    out[..text.len()].copy_from_slice(text);
    text.len()
}
