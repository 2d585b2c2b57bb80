//! A copy of a store's database as it is at one moment; its writer goes on meanwhile.

use std::fs::File;
use std::io::Seek as _;
use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;

use super::StoreError;
use super::embedded::sqlite_error;
use crate::sqlite;

/// What the name of the copy ends with while it is made, beside the database.
const UNFINISHED: &str = ".backup";

/// Removes the copy that it names.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes a copy of a database, the metrics' or the profiles', into an empty file; returns its bytes. The copy is first made
/// beside the database, which needs as much room: the file may be another user's. Windows that come meanwhile wait in the writer's log.
pub fn backup(path: &Path, out: &mut File) -> Result<u64, StoreError> {
    let failed = |source| sqlite_error("cannot copy", path, source);
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    let unfinished = Unfinished(name.into());
    // Of one that was killed.
    let _ = std::fs::remove_file(&unfinished.0);
    let conn = sqlite::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    let target = unfinished.0.to_string_lossy();
    conn.execute("VACUUM INTO ?", [&*target]).map_err(failed)?;
    let mut copy = || -> std::io::Result<u64> {
        let mut made = File::open(&unfinished.0)?;
        out.rewind()?;
        let bytes = std::io::copy(&mut made, out)?;
        out.sync_all()?;
        Ok(bytes)
    };
    copy()
        .map_err(|source| StoreError::Rejected { what: format!("cannot copy {}: {source}", path.display()) })
}
