//! Where answers come from.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use promql::ReadError;

use crate::store::embedded::Reader;

/// A store that can be read. Blocks: it is called on a thread of its own.
pub trait Source: Send + Sync + fmt::Debug {
    /// Calls with the store as it is now; it does not change until the call returns. May give up reading when it is `over`.
    fn read(
        &self,
        over: &dyn Fn() -> bool,
        with: &mut dyn FnMut(&dyn promql::Reader),
    ) -> Result<(), ReadError>;
}

/// The embedded store: a connection for each query that runs, kept for the next.
#[derive(Debug)]
pub struct Embedded {
    path: PathBuf,
    idle: Mutex<Vec<Reader>>,
}

impl Embedded {
    /// Of this database file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), idle: Mutex::new(Vec::new()) }
    }
}

impl Source for Embedded {
    fn read(
        &self,
        over: &dyn Fn() -> bool,
        with: &mut dyn FnMut(&dyn promql::Reader),
    ) -> Result<(), ReadError> {
        let failed = |error: crate::store::StoreError| ReadError { message: error.to_string() };
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = idle.map_or_else(|| Reader::open(&self.path), Ok).map_err(failed)?;
        with(&reader.view().map_err(failed)?.until(over));
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        Ok(())
    }
}
