//! Where answers come from.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use promql::ReadError;

use crate::rules::Board;
use crate::store::embedded::Reader;

/// A store that can be read. Blocks: it is called on a thread of its own.
pub trait Source: Send + Sync + fmt::Debug {
    /// Calls with the store as it is now; it does not change until the call returns.
    fn read(&self, with: &mut dyn FnMut(&dyn promql::Reader)) -> Result<(), ReadError>;

    /// The rules that are evaluated over it, and the functions that queries may call.
    fn rules(&self) -> Option<&Board> {
        None
    }
}

/// The embedded store: a connection for each query that runs, kept for the next.
#[derive(Debug)]
pub struct Embedded {
    path: PathBuf,
    idle: Mutex<Vec<Reader>>,
    rules: Option<Arc<Board>>,
}

impl Embedded {
    /// Of this database file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), idle: Mutex::new(Vec::new()), rules: None }
    }

    /// The same with rules.
    #[must_use]
    pub fn with_rules(self, board: Arc<Board>) -> Self {
        Self { rules: Some(board), ..self }
    }
}

impl Source for Embedded {
    fn read(&self, with: &mut dyn FnMut(&dyn promql::Reader)) -> Result<(), ReadError> {
        let failed = |error: crate::store::StoreError| ReadError { message: error.to_string() };
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = idle.map_or_else(|| Reader::open(&self.path), Ok).map_err(failed)?;
        with(&reader.view().map_err(failed)?);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        Ok(())
    }

    fn rules(&self) -> Option<&Board> {
        self.rules.as_deref()
    }
}
