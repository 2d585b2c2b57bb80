//! Filters: whether a block can have a word, without its bytes being read.
//!
//! A split-block Bloom filter of the block's tokens: 12 bits a token in blocks of 32 bytes, each token 8 bits of one of them. So a
//! test reads 32 bytes, and a filter of `n` bytes has `n / 32` of them. Of blocks that do not have a token one in 185
//! seems to (measured below); as common tokens lie in the same cell in all blocks, of a few words one in 20.
//!
//! Filters lie together, apart from the blocks: a search for a rare word reads one place of each filter and few blocks.
//!
//! Tokens are runs of `[A-Za-z0-9_]` and of bytes ≥ 128, in lower case, of messages and of fields' values; and each field as
//! `name=value`, whole and as it is written.

mod hash;
mod tokens;

pub use hash::{Token, fold};
pub use tokens::{Tokens, is_token_byte};

/// Bits for each token.
const BITS_PER_TOKEN: usize = 12;
/// A token's bits lie in so many bytes.
pub const CELL_BYTES: usize = 32;
/// A filter at most: 12 bits for each of the tokens that 8 MiB of text can have.
pub const MAX_FILTER_BYTES: usize = 8 << 20;

/// Odd numbers that spread a hash over the words of a cell: those of the split-block filters of Parquet's specification.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A hash of any bytes.
pub(crate) fn hash_of(bytes: &[u8]) -> u64 {
    hash::hash_bytes(hash::KEYS[1], bytes)
}

/// Which cell of so many.
fn cell_of(hash: u64, cells: u64) -> u64 {
    ((hash >> 32) * cells) >> 32
}

/// The bit of each word.
fn bits_of(hash: u64) -> [u32; 8] {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

/// The filter of these tokens, each given once.
fn of_tokens(count: usize, tokens: impl Iterator<Item = u64>) -> Vec<u8> {
    let cells = (count * BITS_PER_TOKEN).div_ceil(CELL_BYTES * 8).clamp(1, MAX_FILTER_BYTES / CELL_BYTES);
    let mut words = vec![[0_u32; 8]; cells];
    for hash in tokens {
        let cell = &mut words[cell_of(hash, cells as u64) as usize];
        for (word, bit) in cell.iter_mut().zip(bits_of(hash)) {
            *word |= bit;
        }
    }
    words.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
}

/// Fills a cell from an offset within a filter.
pub type ReadCell<'r, E> = &'r mut dyn FnMut(u64, &mut [u8; CELL_BYTES]) -> Result<(), E>;

/// Whether a filter may have a token. `length`: the filter's in bytes. `read` fills the cell from an offset within the filter: from
/// a slice, a file, a row of a database.
///
/// A filter of a length that none has says yes, without being read: it cannot prove that a block lacks a word.
pub fn may_have<E>(token: Token, length: u64, read: ReadCell<'_, E>) -> Result<bool, E> {
    let cells = length / CELL_BYTES as u64;
    if cells == 0 || !length.is_multiple_of(CELL_BYTES as u64) || length > MAX_FILTER_BYTES as u64 {
        return Ok(true);
    }
    let mut cell = [0; CELL_BYTES];
    read(cell_of(token.0, cells) * CELL_BYTES as u64, &mut cell)?;
    let words = cell.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    Ok(words.zip(bits_of(token.0)).all(|(word, bit)| word & bit != 0))
}

/// [`may_have`] of a filter in memory.
#[must_use]
pub fn may_have_in(token: Token, filter: &[u8]) -> bool {
    let read = &mut |at: u64, cell: &mut [u8; CELL_BYTES]| {
        let at = at as usize;
        filter.get(at..at + CELL_BYTES).map(|bytes| cell.copy_from_slice(bytes)).ok_or(())
    };
    may_have(token, filter.len() as u64, read).unwrap_or(true)
}

/// What a fuzz target runs: a filter has each token of its text.
///
/// # Panics
///
/// If that is not so.
#[cfg(feature = "fuzz")]
pub fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut tokens = Tokens::default();
    tokens.start(text.len());
    tokens.text(text.as_bytes());
    let filter = tokens.filter();
    for word in text.as_bytes().split(|byte| !is_token_byte(*byte)).filter(|word| !word.is_empty()) {
        assert!(may_have_in(Token::word(word), &filter), "{:?}", String::from_utf8_lossy(word));
    }
    let _ = may_have_in(Token::word(b"x"), bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Vec<u8> {
        let mut tokens = Tokens::default();
        tokens.start(text.len());
        tokens.text(text.as_bytes());
        tokens.filter()
    }

    #[test]
    fn one_in_185_tokens_that_are_not_there_seems_to_be() {
        let words: Vec<String> = (0..50_000).map(|number| format!("req_{:x}", number * 7919)).collect();
        let filter = filter(&words.join(" "));
        assert_eq!(filter.len() % CELL_BYTES, 0);
        assert!(filter.len() * 8 <= 50_000 * BITS_PER_TOKEN + 256);
        assert!(words.iter().all(|word| may_have_in(Token::word(word.as_bytes()), &filter)));
        let absent = (0..200_000)
            .filter(|number| may_have_in(Token::word(format!("absent{number}").as_bytes()), &filter));
        let rate = absent.count() as f64 / 200_000.0;
        println!("false positives: {rate:.5}");
        assert!((0.002..0.008).contains(&rate), "{rate}");
    }

    #[test]
    fn case_does_not_count_in_any_script() {
        let filter = filter("Connection REFUSED: Ärger in Żółć, snake_Case 日本語 ΣΊΣΥΦΟΣ");
        for word in [
            "connection",
            "CONNECTION",
            "refused",
            "ÄRGER",
            "ärger",
            "żółć",
            "SNAKE_CASE",
            "日本語",
            "σίσυφοσ",
        ] {
            assert!(may_have_in(Token::word(word.as_bytes()), &filter), "{word}");
        }
    }

    #[test]
    fn a_field_is_found_as_it_is_written() {
        let mut tokens = Tokens::default();
        tokens.start(10);
        tokens.pair("Path", b"/var/log x");
        let filter = tokens.filter();
        assert!(may_have_in(Token::pair("Path", b"/var/log x"), &filter));
        assert!(!may_have_in(Token::pair("path", b"/var/log x"), &filter));
        assert!(!may_have_in(Token::pair("Path", b"/var/log y"), &filter));
    }

    #[test]
    fn only_the_cell_of_the_token_is_read() {
        let text: Vec<String> = (0..1000).map(|number| format!("w{number}")).collect();
        let filter = filter(&text.join(","));
        let mut reads = Vec::new();
        let found = may_have(Token::word(b"w77"), filter.len() as u64, &mut |at, cell: &mut [u8; 32]| {
            reads.push(at);
            cell.copy_from_slice(&filter[at as usize..at as usize + 32]);
            Ok::<_, ()>(())
        });
        assert_eq!(found, Ok(true));
        assert!(reads.len() == 1 && reads[0] % 32 == 0 && (reads[0] as usize) < filter.len());
    }

    #[test]
    fn a_filter_of_a_wrong_length_proves_nothing() {
        for length in [0, 1, 31, 33, 1000] {
            assert!(may_have_in(Token::word(b"any"), &vec![0; length]), "{length}");
        }
        assert!(!may_have_in(Token::word(b"any"), &[0; 32]));
        let failed = may_have(Token::word(b"any"), 64, &mut |_, _| Err("gone"));
        assert_eq!(failed, Err("gone"));
    }
}
