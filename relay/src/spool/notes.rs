//! The small files beside the segments: which stream is written, and what a clean close left.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{SpoolError, refused};

/// File with [`Meta`].
pub(super) const META: &str = "meta";
/// File with [`CleanClose`].
pub(super) const CLEAN: &str = "clean";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) stream: String,
    pub(super) boot_id: String,
}

/// Left by a clean close, gone while the spool is open.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CleanClose {
    pub(super) stream: String,
    pub(super) next_seq: u64,
    /// Windows that were still kept, per stream: all others in the files are acknowledged.
    pub(super) kept: BTreeMap<String, Vec<(u64, u64)>>,
}

/// A full disk at the start is no reason not to start: windows are then kept in memory, and without a note of its
/// stream the next start begins a new one.
pub(super) fn go_on_if_full(result: Result<(), SpoolError>) -> Result<(), SpoolError> {
    match result {
        Err(e @ SpoolError::DiskFull { .. }) => {
            tracing::warn!(error = %e, "windows are kept in memory until there is room");
            Ok(())
        }
        other => other,
    }
}

pub(super) fn covers(ranges: &[(u64, u64)], seq: u64) -> bool {
    ranges.iter().any(|&(from, to)| (from..=to).contains(&seq))
}

pub(super) fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Replaces a small file: temporary file, sync, rename.
pub(super) fn write_json<T: Serialize>(dir: &Path, name: &str, value: &T) -> Result<(), SpoolError> {
    let path = dir.join(name);
    let tmp = dir.join(format!("{name}.tmp"));
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&tmp)?;
        file.write_all(&serde_json::to_vec(value).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&tmp, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(refused("write", &path))
}

/// 16 hexadecimal digits.
pub(super) fn random_id() -> io::Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

/// Changes with each boot; empty where `/proc` is not mounted.
pub(super) fn boot_id() -> String {
    agent_common::boot::id().unwrap_or_default()
}
