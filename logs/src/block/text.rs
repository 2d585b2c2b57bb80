//! Messages as templates and variables.
//!
//! A program writes few templates, and numbers, addresses and ids into them. zstd pays for each number with the copy of the text
//! around it; of hard text that is half of the block. So a line is its template's number, and the variables of each place of a
//! template are a column of their own, as narrow as the numbers are:
//!
//! ```text
//! worker-3 request id=8f3a61c09d21e5b7 from 10.0.7.19 in 17 ms
//! worker-□ request id=▤16             from □.□.□.□   in □ ms       3   8f3a61c09d21e5b7   10   0   7   19   17
//! ```
//!
//! What varies must have a digit: `17`, `007`, `8f3a` (all of it hexadecimal), `x7Kq9` (kept as text). Lines whose templates are too
//! many, and blocks of few lines, are kept as text.

mod join;
mod pack;
mod split;

pub(super) use join::join;
pub(super) use split::split;

/// With fewer lines a template saves less than it costs.
const MIN_LINES: usize = 64;
/// Lines after which the templates so far are counted for the first time.
const SAMPLE_LINES: usize = 512;
/// Each template must have at least so many lines on average.
const MIN_LINES_PER_TEMPLATE: usize = 6;

// What stands for a variable in a template. UTF-8 has none of these bytes, nor [`super::END`].
/// A number without leading zeros, below 2⁶⁴.
const NUMBER: u8 = 0xF8;
/// A number of so many digits (the next byte), of which the first is 0.
const PADDED: u8 = 0xF9;
/// So many (the next byte) hexadecimal digits, in lower case.
const HEX: u8 = 0xFA;
/// The same in upper case.
const UPPER_HEX: u8 = 0xFB;
/// Letters and digits.
const OTHER: u8 = 0xFC;

/// Columns of a block at most: 96 bytes each while it is decoded.
const MAX_COLUMNS: usize = 16 << 10;
/// Digits of [`PADDED`] at most: all such numbers are below 2⁶⁴.
const MAX_PADDED: usize = 19;
/// Digits of [`HEX`] at least: shorter ones are words with a number.
const MIN_HEX: usize = 4;
/// Digits of [`HEX`] at most: a SHA-256.
const MAX_HEX: usize = 64;

/// The parts that [`split`] makes of messages.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Templates, and how their columns are packed.
    pub(super) templates: Vec<u8>,
    /// Per line its template.
    pub(super) index: Vec<u8>,
    /// The columns of numbers.
    pub(super) numbers: Vec<u8>,
    /// The columns of text.
    pub(super) others: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::END;

    fn round(lines: &[String]) -> Option<usize> {
        let mut text = Vec::new();
        for line in lines {
            text.extend_from_slice(line.as_bytes());
            text.push(END);
        }
        let parts = split(&text, lines.len())?;
        let mut out = Vec::new();
        join(&parts, lines.len(), text.len(), &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&text));
        assert!(join(&parts, lines.len(), text.len() - 1, &mut out).is_err(), "no more than the header says");
        assert!(join(&parts, lines.len() + 1, text.len() + 1000, &mut out).is_err());
        Some(parts.templates.len() + parts.index.len() + parts.numbers.len() + parts.others.len())
    }

    #[test]
    fn every_text_comes_back() {
        let words = [
            "0",
            "00",
            "007",
            "7",
            "18446744073709551615",
            "18446744073709551616",
            "99999999999999999999",
            "0000000000000000001",
            "00000000000000000001",
            "8f3a",
            "8F3A",
            "8f3A",
            "8f3",
            "abc",
            "v1",
            "x86_64",
            "x7Kq9ZpL",
            "0x1f",
            "0x",
            "1a",
            "a1b2c3d4e5",
            "12ab",
            "é9",
            "9é",
            "",
            "1.2.3.4",
            "2026-11-30T18:00:00.123Z",
            "-5",
            "deadbeef00",
            "DEADBEEF00",
            "\n3",
            "0f",
            "00ff",
            "e3",
            "1e",
            "a1b",
            "5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f",
            "worker12",
            "12worker",
            "w1w",
        ];
        let mut state = 1_u64;
        let mut next = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        for _ in 0..60 {
            let (one, other) = (words[next(words.len())], words[next(words.len())]);
            let lines: Vec<String> = (0..100)
                .map(|_| match next(3) {
                    0 => format!("{one} and {other} {}", next(1 << 31)),
                    1 => format!("{other}{one}{:016x}", (next(1 << 31) as u64) << 33 | next(1 << 31) as u64),
                    _ => format!("{one}{other}"),
                })
                .collect();
            round(&lines);
        }
        let mixed: Vec<String> = (0..400).map(|at| words[at % words.len()].to_owned()).collect();
        assert!(round(&mixed).is_some());
    }

    #[test]
    fn random_ids_take_little_more_than_their_bits() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ state >> 29
        };
        let lines: Vec<String> = (0..4096)
            .map(|_| {
                format!(
                    "id={:016x} took {} ms: {}",
                    next(),
                    next() % 1000,
                    ["ok", "bad"][next() as usize % 2]
                )
            })
            .collect();
        let bits = 64 + 10 + 8;
        let bytes = round(&lines).unwrap();
        assert!(bytes <= 4096 * bits / 8 + 500, "{bytes}");
    }

    #[test]
    fn what_has_no_template_is_left_as_it_is() {
        let names: Vec<String> =
            (0..1000).map(|at: u32| format!("user {}", char::from_u32(0x4e00 + at).unwrap())).collect();
        assert_eq!(round(&names), None);
        assert_eq!(round(&names[..10]), None);
    }
}
