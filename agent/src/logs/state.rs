//! Where each source was read up to, over restarts.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::journal;

/// See the module. What is not there was never read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) files: Option<Vec<tail::Saved>>,
    pub(super) containers: Option<Vec<tail::Saved>>,
    pub(super) journals: Option<journal::Saved>,
    /// Boot, and the next number.
    pub(super) kmsg: Option<(String, u64)>,
}

impl State {
    /// As it was written last; of a file that is damaged nothing: the last lines of each source are read again.
    pub(super) fn read(path: &Path) -> Self {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "it is not known up to where logs were read");
                return Self::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the file is damaged: logs are read from their last lines on");
            Self::default()
        })
    }

    /// Replaces the file as a whole.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        crate::replace::file(path, [serde_json::to_vec(self)?])
    }
}
