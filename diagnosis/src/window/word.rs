//! Words of a fixed set (names of softirqs, kinds of locks) read back from a recording.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use agent_common::units::DurNs;
use serde::de::{Deserialize, Deserializer, Error};

/// A word of a fixed set. By this name, since serde would want to borrow a field that is written as a reference.
pub(crate) type Word = &'static str;

/// Most words, and their longest length. Words of a recording stay in memory for the life of the program (8 KiB); a damaged
/// recording must not add more. The kernel has ten softirqs, the agent five kinds of locks.
const MAX_WORDS: usize = 256;
const MAX_BYTES: usize = 32;

/// The one copy of a word.
fn known(text: &str) -> Result<&'static str, &'static str> {
    static WORDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(word) = words.get(text) {
        return Ok(word);
    }
    if text.len() > MAX_BYTES || words.len() >= MAX_WORDS {
        return Err("not a word of a fixed set");
    }
    let word: &'static str = Box::leak(text.to_owned().into_boxed_str());
    words.insert(word);
    Ok(word)
}

pub(super) fn word<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    known(&String::deserialize(from)?).map_err(D::Error::custom)
}

pub(super) fn softirqs<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<(&'static str, u64, DurNs)>, D::Error> {
    let rows = Vec::<(String, u64, DurNs)>::deserialize(from)?;
    let row = |(name, count, time): (String, u64, DurNs)| Ok((known(&name)?, count, time));
    rows.into_iter().map(row).collect::<Result<_, &str>>().map_err(D::Error::custom)
}
