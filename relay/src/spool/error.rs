//! Why the spool cannot do something.

use std::io;
use std::path::{Path, PathBuf};

use super::segment;

/// Why the spool cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error("spool {dir}: in use by another agent")]
    Locked {
        /// The spool directory.
        dir: PathBuf,
    },
    /// No room.
    #[error("spool {path}: the disk is full")]
    DiskFull {
        /// File or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another refusal.
    #[error("spool: cannot {what} {path}")]
    Io {
        /// The operation.
        what: &'static str,
        /// File or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// More than a window may have.
    #[error("spool: a window of {bytes} bytes is more than the {} that are taken", segment::MAX_BODY_BYTES)]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// `ENOSPC`, `EDQUOT`, and `EFBIG` of a file size limit: there is no room, whatever the reason.
pub(super) fn is_full(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

pub(super) fn refused(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| {
        if is_full(&source) {
            SpoolError::DiskFull { path, source }
        } else {
            SpoolError::Io { what, path, source }
        }
    }
}
