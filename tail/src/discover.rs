//! Files that match the operator's patterns, and which names are those of rotated files.

use std::path::{Path, PathBuf};

use opener::{Held, Owner, Place, Workers};

/// Most files that one pattern may give: a node of a cluster has some hundred containers.
const MAX_MATCHES: usize = 1_024;

/// Paths that match a pattern now, sorted. `*` does not match a `/`; `**` matches directories at any depth.
pub fn matches(workers: &Workers, pattern: &str) -> Vec<PathBuf> {
    let owner = owner_of(pattern);
    let pattern = pattern.to_owned();
    let found = workers.run(owner, move || {
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        let Ok(paths) = glob::glob_with(&pattern, options) else { return Vec::new() };
        paths.filter_map(Result::ok).take(MAX_MATCHES).collect::<Vec<_>>()
    });
    found.unwrap_or_default()
}

/// A pattern's own place: a file system that never answers costs the patterns that lead to it, and no other.
fn owner_of(pattern: &str) -> Owner {
    Owner { uid: 0, place: Place::Device(crate::hash::hash(pattern.as_bytes())) }
}

/// Opens what is at a path, if that is a regular file; and its lasting identity.
pub(crate) fn open(workers: &Workers, path: &Path) -> Option<(Held, String)> {
    let owner = owner_of(&path.parent().unwrap_or(path).to_string_lossy());
    let path = path.to_owned();
    let open = move || {
        let held = opener::file::at(&path).ok()?;
        let identity = held.lasting_identity()?;
        Some((held, identity))
    };
    workers.run(owner, open).ok().flatten()
}

/// Names in the directory of `path` that begin with its file name: what rotation made of it.
pub(crate) fn siblings(workers: &Workers, path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    // `app.log` becomes `app.log.1` or `app-20261130.log`.
    let stem = name.strip_suffix(".log").unwrap_or(name).to_owned();
    let (dir, own) = (dir.to_owned(), path.to_owned());
    let list = move || {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().take(16 * MAX_MATCHES);
        let mut found: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&stem))
            .map(|entry| entry.path())
            .filter(|path| *path != own)
            .collect();
        found.sort();
        found.truncate(MAX_MATCHES);
        found
    };
    workers.run(owner_of(&path.parent().unwrap_or(path).to_string_lossy()), list).unwrap_or_default()
}

/// The name is that of a file that was rotated away: `app.log.1`, `app.log-20261130`, `app.log.2.gz`, `app-2026-11-30.log`. Such a
/// file is read only as the rest of one that was followed.
pub(crate) fn is_rotated(path: &Path) -> bool {
    let Some(mut name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    for suffix in [".gz", ".zst", ".xz", ".bz2"] {
        if name.ends_with(suffix) {
            return true;
        }
    }
    name = name.strip_suffix(".log").unwrap_or(name);
    let digits = name.bytes().rev().take_while(|byte| byte.is_ascii_digit() || *byte == b'-').count();
    let (head, tail) = name.split_at(name.len() - digits);
    let count = tail.bytes().filter(u8::is_ascii_digit).count();
    let by_number = head.ends_with('.') && (1..=3).contains(&count) && !tail.contains('-');
    // A date: 20261130, 2026-11-30, with or without the time of day.
    let by_date = (8..=14).contains(&count) && (tail.starts_with('-') || head.ends_with(['.', '_']));
    by_number || by_date || path.extension().is_some_and(|extension| extension == "old")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_are_told_by_their_names() {
        for name in [
            "app.log.1",
            "app.log.12",
            "app.log.2.gz",
            "syslog.3",
            "app.log-20261130",
            "app-2026-11-30.log",
            "app.log.2026-11-30",
            "app.log-20261130.zst",
            "app.log-20261130-1530",
            "dmesg.old",
        ] {
            assert!(is_rotated(Path::new(name)), "{name}");
        }
        for name in
            ["app.log", "syslog", "web-1.log", "app-2.log", "node-18.log", "a.log.txt", "0.log", "core2"]
        {
            assert!(!is_rotated(Path::new(name)), "{name}");
        }
    }
}
