//! Finding the tokens of a text, each once.

use super::hash::{Token, hash_long, hash_short, hash_word};
use super::of_tokens;
use crate::block::{Column, END};

/// Tokens that were seen lately, as most come again soon: 16 KiB, which stays in the first cache.
const RECENT: usize = 2048;
/// Slots of an empty set.
const MIN_SLOTS: usize = 1024;
/// Slots that are made at once for an expected length of text: 1 MiB.
const MAX_EXPECTED_SLOTS: usize = 1 << 17;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Whether a byte is part of a token.
#[must_use]
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || (byte >= 0x80 && byte != END)
}

/// [`is_token_byte`] of 8 bytes: bit `i` is byte `i`.
#[inline]
const fn token_bits(bytes: u64) -> u64 {
    let low = bytes & !HIGH;
    let high = bytes & HIGH;
    let letter = low | (0x20 * ONES);
    let digit = at_least(low, b'0') & !at_least(low, b'9' + 1);
    let letter = at_least(letter, b'a') & !at_least(letter, b'z' + 1);
    let underscore = at_least(low, b'_') & !at_least(low, b'_' + 1);
    let ascii = (digit | letter | underscore) & !high;
    let other = high & !at_least(low, END & 0x7f);
    // Gathers the highest bit of each byte.
    (((ascii | other) >> 7) & ONES).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// The highest bit of each byte that is ≥ `bound`; bytes are < 128.
#[inline]
const fn at_least(bytes: u64, bound: u8) -> u64 {
    (bytes + (0x80 - bound as u64) * ONES) & HIGH
}

/// The different tokens of a block. Kept from block to block, for its memory.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    recent: Vec<u64>,
    /// Open addressing; 0 is free.
    slots: Vec<u64>,
    count: usize,
}

impl Tokens {
    /// Empties it, and makes room for the tokens of a text of so many bytes.
    pub fn start(&mut self, bytes: usize) {
        let slots = (bytes / 8).next_power_of_two().clamp(MIN_SLOTS, MAX_EXPECTED_SLOTS);
        self.slots.clear();
        self.slots.resize(slots, 0);
        self.recent.clear();
        self.recent.resize(RECENT, 0);
        self.count = 0;
    }

    /// All tokens of a text. [`END`] is between two.
    pub fn text(&mut self, text: &[u8]) {
        // A token that a word of bits ends in begins here.
        let mut open: Option<usize> = None;
        for (number, chunk) in text.chunks(64).enumerate() {
            let base = number * 64;
            let mut bits = 0_u64;
            for (at, eight) in chunk.chunks(8).enumerate() {
                let mut bytes = [0; 8];
                bytes[..eight.len()].copy_from_slice(eight);
                bits |= token_bits(u64::from_le_bytes(bytes)) << (8 * at);
            }
            if let Some(start) = open {
                let length = bits.trailing_ones();
                if length == 64 {
                    continue;
                }
                self.word_at(text, start, base + length as usize);
                bits &= u64::MAX << length;
                open = None;
            }
            while bits != 0 {
                let start = bits.trailing_zeros();
                let length = (bits >> start).trailing_ones();
                let end = start + length;
                if end == 64 {
                    open = Some(base + start as usize);
                    break;
                }
                self.word_at(text, base + start as usize, base + end as usize);
                bits &= u64::MAX << end;
            }
        }
        if let Some(start) = open {
            self.word_at(text, start, text.len());
        }
    }

    #[inline]
    fn word_at(&mut self, text: &[u8], start: usize, end: usize) {
        let length = end - start;
        let word = &text[start..end];
        let hash = match text.get(start..start + 16) {
            _ if length > 16 => hash_long(word),
            Some(window) => {
                let mut bytes = [0; 16];
                bytes.copy_from_slice(window);
                let kept = u128::from_le_bytes(bytes) & (u128::MAX >> (128 - 8 * length as u32));
                hash_short(kept as u64, (kept >> 64) as u64, length, word)
            }
            None => hash_word(word),
        };
        self.insert(hash);
    }

    /// A field.
    pub fn pair(&mut self, name: &str, value: &[u8]) {
        self.insert(Token::pair(name, value).0);
    }

    /// A column of fields, as tokens and as pairs. Without a name its values are names and values in turn.
    pub fn column(&mut self, name: Option<&str>, column: &Column<'_>) {
        self.text(column.values);
        if let Some(name) = name {
            for value in column.each() {
                self.pair(name, value);
            }
            return;
        }
        let mut values = column.each();
        while let (Some(name), Some(value)) = (values.next(), values.next()) {
            self.pair(&String::from_utf8_lossy(name), value);
        }
    }

    #[inline]
    fn insert(&mut self, hash: u64) {
        let recent = &mut self.recent[hash as usize % RECENT];
        if *recent == hash {
            return;
        }
        *recent = hash;
        if (self.count + 1) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        if put(&mut self.slots, hash) {
            self.count += 1;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let slots = vec![0; (self.slots.len() * 2).max(MIN_SLOTS)];
        for hash in std::mem::replace(&mut self.slots, slots) {
            if hash != 0 {
                put(&mut self.slots, hash);
            }
        }
    }

    /// The filter of what was put in since [`Self::start`].
    #[must_use]
    pub fn filter(&self) -> Vec<u8> {
        of_tokens(self.count, self.slots.iter().copied().filter(|hash| *hash != 0))
    }
}

/// Whether it was not there before.
#[inline]
fn put(slots: &mut [u64], hash: u64) -> bool {
    let mask = slots.len() - 1;
    let mut at = (hash >> 20) as usize & mask;
    loop {
        match slots[at] {
            0 => {
                slots[at] = hash;
                return true;
            }
            known if known == hash => return false,
            _ => at = (at + 1) & mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_at_once_say_what_each_says() {
        for byte in 0..=255_u8 {
            for at in 0..8 {
                let mut bytes = [b' '; 8];
                bytes[at] = byte;
                assert_eq!(
                    token_bits(u64::from_le_bytes(bytes)),
                    u64::from(is_token_byte(byte)) << at,
                    "{byte}"
                );
            }
            assert_eq!(token_bits(u64::from_le_bytes([byte; 8])), if is_token_byte(byte) { 255 } else { 0 });
        }
    }

    #[test]
    fn tokens_are_found_wherever_they_lie() {
        for shift in 0..140 {
            for length in [1, 7, 8, 15, 16, 17, 40, 63, 64, 65, 130] {
                let word = "w".repeat(length);
                let text = format!("{}{word}{}", " ".repeat(shift), if shift % 2 == 0 { "" } else { "-" });
                let mut tokens = Tokens::default();
                tokens.start(0);
                tokens.text(text.as_bytes());
                assert_eq!(tokens.count, 1);
                assert!(tokens.slots.contains(&hash_word(word.as_bytes())), "{shift} {length}");
            }
        }
    }

    #[test]
    fn each_token_counts_once_and_the_set_grows() {
        let mut tokens = Tokens::default();
        for round in 0..2 {
            tokens.start(0);
            let text: Vec<String> = (0..20_000).map(|number| format!("t{}", number / 2)).collect();
            tokens.text(text.join(" ").as_bytes());
            assert_eq!(tokens.count, 10_000, "{round}");
        }
        tokens.start(0);
        assert_eq!(tokens.filter().len(), 32);
    }
}
