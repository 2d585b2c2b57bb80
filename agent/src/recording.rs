//! Recordings on disk: windows → a file, a file → windows; the last hours of windows in a [`ring`] of files. The format is
//! [`diagnosis::recording`]'s.

pub mod ring;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diagnosis::recording::{Fault, Recording};
use diagnosis::window::Window;

pub use write::{Keep, Writer};

/// What is wrong with a recording.
#[derive(Debug, Clone, thiserror::Error)]
#[error("recording {}", path.display())]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What.
    #[source]
    pub what: Cause,
}

/// Why a recording cannot be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Cause {
    /// The system refused.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// What is in it is wrong.
    #[error(transparent)]
    Format(#[from] Fault),
}

/// Reads a recording. What is whole of a damaged one is kept, and [`Recording::damage`] says what is wrong; an error is
/// a file of which nothing can be read.
pub fn open(path: &Path) -> Result<Recording, Error> {
    let bytes = std::fs::read(path).map_err(|source| failed(path, "read the file", source))?;
    Recording::parse(&bytes).map_err(|fault| wrong(path, fault))
}

/// The windows of a recording, oldest first. A damaged one is an error: [`open`] reads what is whole of it.
pub fn read(path: &Path) -> Result<Vec<Arc<Window>>, Error> {
    let recording = open(path)?;
    recording.damage.map_or(Ok(recording.windows), |fault| Err(wrong(path, fault)))
}

/// What is in this file is wrong.
#[must_use]
pub fn wrong(path: &Path, fault: Fault) -> Error {
    Error { path: path.to_owned(), what: fault.into() }
}

fn failed(path: &Path, what: &'static str, source: std::io::Error) -> Error {
    Error { path: path.to_owned(), what: Cause::Io { what, source: Arc::new(source) } }
}
