//! Opening other processes' files, without waiting for anything.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens the very file that is mapped: through `map_files` (right for deleted files and other mount
/// namespaces; needs `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE`), through `exe` if it is the program itself, else by
/// path if the inode is the same.
pub(crate) fn open_mapped(
    tgid: u32,
    (start, end): (u64, u64),
    (ino, path, deleted): (u64, &Path, bool),
) -> Option<File> {
    if let Some(handle) = open_plain(Path::new(&format!("/proc/{tgid}/map_files/{start:x}-{end:x}"))) {
        return Some(handle);
    }
    let same = |handle: &File| {
        // Overlay and btrfs show another device in `maps` than in `stat`, but the inode is what it is.
        handle.metadata().is_ok_and(|meta| meta.ino() == ino)
    };
    // Right for a deleted program too, and asks for less than `map_files` does.
    if let Some(handle) = open_plain(Path::new(&format!("/proc/{tgid}/exe"))).filter(same) {
        return Some(handle);
    }
    if deleted {
        return None;
    }
    let relative = path.strip_prefix("/").unwrap_or(path);
    [Path::new(&format!("/proc/{tgid}/root")).join(relative), path.to_path_buf()]
        .iter()
        .find_map(|path| open_plain(path).filter(same))
}

/// Opens a regular file for reading, without waiting for anything.
pub(in crate::symbolize) fn open_plain(path: &Path) -> Option<File> {
    let handle =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    handle.metadata().ok()?.is_file().then_some(handle)
}

/// What changes when a file is written to.
pub(super) fn stamp(meta: &Metadata) -> (u64, i64, i64, i64) {
    (meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ino() as i64)
}
