//! A small file of ours, replaced as a whole: a reader, or the next start after a crash, finds the old text or the new one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes the parts, one behind the other, to a file beside `path` that only its owner may read, and renames it to `path`.
pub(crate) fn file(path: &Path, parts: impl IntoIterator<Item: AsRef<[u8]>>) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    for part in parts {
        file.write_all(part.as_ref())?;
    }
    file.sync_data()?;
    fs::rename(new, path)
}
