//! The control socket itself: one daemon has it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon has it.
    #[error("another agent already runs here: it holds {}", path.display())]
    Taken {
        /// The lock or the socket.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {what} {}", path.display())]
    Refused {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

/// A bound socket. It goes when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// A lock that the daemon keeps as long as it runs: it distinguishes a stale socket file from a live one without a race.
    _lock: File,
}

impl ControlSocket {
    /// Binds `path`: directory 0700, socket 0600. A file left by a dead daemon is replaced.
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        let refused = |what, path: &Path| {
            let path = path.to_owned();
            move |source| ListenError::Refused { what, path, source }
        };
        let dir = path.parent().unwrap_or(Path::new("/"));
        if !dir.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .map_err(refused("make the directory", dir))?;
        }
        let lock_path = path.with_extension("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(refused("open the lock", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(ListenError::Taken { path: lock_path }),
            Err(std::fs::TryLockError::Error(error)) => return Err(refused("lock", &lock_path)(error)),
        }
        // With the lock held, whatever lies there was left behind.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(refused("remove the stale socket", path)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(refused("bind the socket", path))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(refused("protect the socket", path))?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Best effort: the next daemon replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}
