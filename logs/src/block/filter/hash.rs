//! Hashes of tokens. They are kept in files, so they never change within a version of blocks. 0 is none.

use std::borrow::Cow;

/// Set in all bytes of a token before it is hashed. Of token bytes it changes `A`–`Z` to lower case, and `_` to 0x7F, which no token
/// has. Bytes ≥ 128 are in lower case before.
const LOWER: u64 = 0x2020_2020_2020_2020;
const HIGH: u64 = 0x8080_8080_8080_8080;
/// Digits of π: numbers without a pattern.
pub(super) const KEYS: [u64; 4] =
    [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89];

/// What a filter is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub(super) u64);

impl Token {
    /// A whole token, in any case.
    #[must_use]
    pub fn word(word: &[u8]) -> Self {
        Self(hash_word(word))
    }

    /// A field.
    #[must_use]
    pub fn pair(name: &str, value: &[u8]) -> Self {
        let name = hash_bytes(KEYS[3], name.as_bytes());
        Self(hash_bytes(name, value))
    }
}

#[inline]
fn mix(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

/// The first 16 bytes; missing ones are 0.
#[inline]
fn load(bytes: &[u8]) -> (u64, u64) {
    let mut padded = [0; 16];
    let length = bytes.len().min(16);
    padded[..length].copy_from_slice(&bytes[..length]);
    let whole = u128::from_le_bytes(padded);
    (whole as u64, (whole >> 64) as u64)
}

#[inline]
fn finish(low: u64, high: u64, length: usize, seed: u64) -> u64 {
    mix(mix(low ^ KEYS[0], high ^ seed) ^ length as u64, KEYS[2]).max(1)
}

pub(super) fn hash_word(word: &[u8]) -> u64 {
    if word.len() > 16 {
        return hash_long(word);
    }
    let (low, high) = load(word);
    hash_short(low, high, word.len(), word)
}

/// Of a token of up to 16 bytes; what is behind them is 0.
#[inline]
pub(super) fn hash_short(low: u64, high: u64, length: usize, word: &[u8]) -> u64 {
    if (low | high) & HIGH != 0 {
        return hash_foreign(word);
    }
    finish(low | LOWER, high | LOWER, length, KEYS[1])
}

pub(super) fn hash_long(word: &[u8]) -> u64 {
    if !word.is_ascii() {
        return hash_foreign(word);
    }
    hash_folded(word)
}

/// As the two above, of what is in lower case or has no case.
fn hash_folded(word: &[u8]) -> u64 {
    let mut seed = KEYS[1];
    let mut chunks = word.chunks(16).peekable();
    while let Some(chunk) = chunks.next() {
        let (low, high) = load(chunk);
        if chunks.peek().is_none() {
            return finish(low | LOWER, high | LOWER, word.len(), seed);
        }
        seed = mix(low | LOWER, (high | LOWER) ^ seed);
    }
    finish(LOWER, LOWER, 0, seed)
}

#[cold]
fn hash_foreign(word: &[u8]) -> u64 {
    hash_folded(fold(&String::from_utf8_lossy(word)).as_bytes())
}

/// In lower case, character by character: `Σ` is `σ` everywhere.
#[must_use]
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
}

pub(super) fn hash_bytes(mut seed: u64, bytes: &[u8]) -> u64 {
    for chunk in bytes.chunks(16) {
        let (low, high) = load(chunk);
        seed = mix(low ^ KEYS[0], high ^ seed);
    }
    mix(seed ^ bytes.len() as u64, KEYS[2]).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_stay_as_they_are() {
        // Filters are kept: other numbers here need another version of blocks.
        let all = ["", "a", "error", "0123456789abcdef", "0123456789abcdefg", "Ärger"]
            .map(|word| hash_word(word.as_bytes()));
        let pair = Token::pair("level", b"info").0;
        let sum = all.iter().fold(pair, |sum, hash| mix(sum ^ hash, KEYS[0]));
        assert_eq!(sum, 0x8be8_3835_af22_8668);
    }

    #[test]
    fn long_and_short_words_hash_by_content_and_length() {
        let mut seen = std::collections::HashSet::new();
        for length in 0..100 {
            assert!(seen.insert(hash_word(&vec![b'a'; length])), "{length}");
            assert!(
                length == 0 || seen.insert(hash_word(&[vec![b'a'; length - 1], vec![b'b']].concat())),
                "{length}"
            );
            assert_eq!(hash_word(&vec![b'A'; length]), hash_word(&vec![b'a'; length]));
        }
        assert_ne!(hash_word(b"_"), hash_word(b"?"));
    }
}
