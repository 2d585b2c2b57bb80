//! The files of a ring: `<number>-<Unix seconds of its beginning>.s7rec`.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use agent_common::units::UnixNs;

use super::super::{Error, failed};

const SUFFIX: &str = ".s7rec";
const SECOND_NS: u64 = 1_000_000_000;

/// A file of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Numbers rise, whatever the clock does.
    pub(super) number: u64,
    /// Start of its first window, cut to seconds.
    pub(super) began: UnixNs,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

pub(super) fn name(number: u64, began: UnixNs) -> String {
    format!("{number:08}-{}{SUFFIX}", began.0 / SECOND_NS)
}

fn parse(name: &str) -> Option<(u64, UnixNs)> {
    let (number, began) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    Some((number.parse().ok()?, UnixNs(began.parse::<u64>().ok()?.checked_mul(SECOND_NS)?)))
}

/// The files in a directory, oldest first. Others in it are left alone.
pub(super) fn list(dir: &Path) -> Result<VecDeque<Kept>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|source| failed(dir, "read the directory", source))? {
        let entry = entry.map_err(|source| failed(dir, "read the directory", source))?;
        let Some((number, began)) = entry.file_name().to_str().and_then(parse) else { continue };
        // One that went meanwhile is no error: the daemon deletes what others read.
        let Some(meta) = entry.metadata().ok().filter(fs::Metadata::is_file) else { continue };
        files.push(Kept { number, began, path: entry.path(), bytes: meta.len() });
    }
    files.sort_by_key(|file| file.number);
    Ok(files.into())
}

/// What the files may have together, by the disk: as much as stays free beside them. Others need the disk, too.
pub(super) fn room(dir: &Path, used: u64) -> u64 {
    let free = nix::sys::statvfs::statvfs(dir).map(|stat| stat.blocks_available() * stat.fragment_size());
    free.map_or(u64::MAX, |free| used.saturating_add(free) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_number_and_time() {
        let began = UnixNs(1_795_960_985 * SECOND_NS + 7);
        assert_eq!(name(12, began), "00000012-1795960985.s7rec");
        assert_eq!(parse(&name(12, began)), Some((12, UnixNs(1_795_960_985 * SECOND_NS))));
        for other in ["slow.s7rec", "1-2", "x-2.s7rec", "1-99999999999999999999.s7rec", "1-99999999999.s7rec"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
