//! What was made of the last texts: who asks, asks with the same ones each second.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Values by the texts that they were made of, at most so many, of texts that are not longer than so many bytes.
#[derive(Debug)]
pub struct Memo<T> {
    known: Mutex<BTreeMap<String, T>>,
    most: usize,
    longest: usize,
}

impl<T: Clone> Memo<T> {
    /// An empty one.
    #[must_use]
    pub const fn new(most: usize, longest: usize) -> Self {
        Self { known: Mutex::new(BTreeMap::new()), most, longest }
    }

    /// The value of a text: the one that is known, or one made now.
    pub fn of<E>(&self, text: &str, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known().get(text) {
            return Ok(value.clone());
        }
        let value = make()?;
        let mut known = known();
        if known.len() >= self.most {
            known.clear();
        }
        if text.len() <= self.longest {
            known.insert(text.to_owned(), value.clone());
        }
        Ok(value)
    }
}
