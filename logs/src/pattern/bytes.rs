//! Bytes of a line: what kind each is, where words, quotes and brackets end.

use super::mask::MAX_WORD_BYTES;

/// Distance to the end of a quoted string or of a bracket; beyond it the sign is taken for a lone one.
const MAX_QUOTED_BYTES: usize = 1_024;

pub(super) const LETTER: u16 = 1;
pub(super) const UPPER: u16 = 2;
pub(super) const DIGIT: u16 = 4;
pub(super) const DOT: u16 = 8;
pub(super) const SLASH: u16 = 16;
pub(super) const EQUALS: u16 = 32;
pub(super) const AT: u16 = 64;
pub(super) const COLON: u16 = 128;
pub(super) const OPEN: u16 = 256;
pub(super) const BACKSLASH: u16 = 512;
pub(super) const SPACE: u16 = 1_024;
pub(super) const BEYOND_HEX: u16 = 2_048;
pub(super) const QUOTE: u16 = 4_096;
pub(super) const PLAIN: u16 = 8_192;

const CLASSES: [u16; 256] = {
    let mut classes = [PLAIN; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            0..=b' ' | 0x7f => SPACE,
            b'a'..=b'f' => LETTER,
            b'A'..=b'F' => LETTER | UPPER,
            b'G'..=b'Z' => LETTER | UPPER | BEYOND_HEX,
            b'g'..=b'z' | 0x80..=0xff | b'_' => LETTER | BEYOND_HEX,
            b'0'..=b'9' => DIGIT,
            b'.' => DOT,
            b'/' => SLASH,
            b'=' => EQUALS,
            b'@' => AT,
            b':' => COLON,
            b'(' | b'[' | b'{' => OPEN,
            b'\\' => BACKSLASH,
            b'"' | b'\'' => QUOTE,
            _ => PLAIN,
        };
        byte += 1;
    }
    classes
};

pub(super) fn class(byte: u8) -> u16 {
    CLASSES[usize::from(byte)]
}

pub(super) fn is_space(byte: u8) -> bool {
    class(byte) & SPACE != 0
}

/// End of the run of bytes without a blank, and the classes of its bytes.
pub(super) fn chunk_end(b: &[u8], from: usize) -> (usize, u16) {
    let mut seen = 0;
    for (nth, &byte) in b[from..].iter().enumerate() {
        let class = class(byte);
        if class & SPACE != 0 {
            return (from + nth, seen);
        }
        seen |= class;
    }
    (b.len(), seen)
}

/// Where the string that `b[open]` opens is closed.
fn closing_quote(b: &[u8], open: usize) -> Option<usize> {
    let quote = b[open];
    let end = b.len().min(open + MAX_QUOTED_BYTES);
    let mut at = open + 1;
    if quote == b'\'' && b.get(at).is_none_or(|next| is_space(*next)) {
        return None;
    }
    while at < end {
        match b[at] {
            b'\\' => at += 1,
            // A quote inside a word is an apostrophe.
            byte if (byte == quote || (quote == b'`' && byte == b'\''))
                && b.get(at + 1).is_none_or(|next| class(*next) & (LETTER | DIGIT) == 0) =>
            {
                return Some(at);
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the bracket that `b[open]` opens is closed, with those inside it.
fn closing_bracket(b: &[u8], open: usize) -> Option<usize> {
    let (opens, closes) = match b[open] {
        b'(' => (b'(', b')'),
        b'[' => (b'[', b']'),
        _ => (b'{', b'}'),
    };
    let end = b.len().min(open + MAX_QUOTED_BYTES);
    let mut depth = 0_usize;
    b[open..end]
        .iter()
        .position(|byte| {
            if *byte == opens {
                depth += 1;
            } else if *byte == closes {
                depth -= 1;
            }
            depth == 0
        })
        .map(|len| open + len)
}

pub(super) fn closing(b: &[u8], open: usize) -> Option<usize> {
    if matches!(b[open], b'"' | b'\'' | b'`') { closing_quote(b, open) } else { closing_bracket(b, open) }
}

/// Start of the signs that end a word.
pub(super) fn trail_start(chunk: &[u8]) -> usize {
    let mut end = chunk.len();
    while end > 0
        && matches!(
            chunk[end - 1],
            b',' | b';' | b':' | b'.' | b'!' | b'?' | b')' | b']' | b'}' | b'>' | b'"' | b'\''
        )
    {
        end -= 1;
    }
    end
}

/// Whether a `key=value` comes next.
pub(super) fn is_field(b: &[u8]) -> bool {
    let key = b.iter().skip_while(|b| is_space(**b)).take(MAX_WORD_BYTES);
    let mut key = key.skip_while(|b| class(**b) & (LETTER | DIGIT) != 0);
    key.next() == Some(&b'=') && b.iter().find(|b| !is_space(**b)) != Some(&b'=')
}

/// Length of a terminal's escape sequence.
pub(super) fn escape_len(b: &[u8]) -> usize {
    if b.get(1) != Some(&b'[') {
        return 1;
    }
    2 + b[2..].iter().take(16).take_while(|byte| !byte.is_ascii_alphabetic()).count() + 1
}
