//! `/tmp/perf-<pid>.map`: names of run-time compiled code.
//!
//! Read here and not by blazesym, which refuses the whole file for one malformed line, and a JIT that is
//! writing leaves half a line at the end; and which keeps it mapped while anyone may truncate it.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Larger maps are cut here: 64 MiB is some 700,000 functions.
const MAX_FILE: u64 = 64 << 20;
/// Overlapping entries looked at: JITs reuse memory and append the new function.
const MAX_OVERLAP: usize = 16;

/// A parsed perf map.
#[derive(Debug, Default)]
pub(crate) struct PerfMap {
    /// Start, size, place of the name in `text` (with its length), by start; of equals the last wins.
    entries: Vec<(u64, u64, u32, u32)>,
    text: String,
}

impl PerfMap {
    /// The map of `tgid`, which knows itself as `ns_tgid` inside its PID namespace.
    pub(crate) fn load(tgid: u32, ns_tgid: u32) -> Option<Self> {
        let file = format!("tmp/perf-{ns_tgid}.map");
        let uid = fs::metadata(format!("/proc/{tgid}")).map(|meta| meta.uid()).ok();
        // A container's /tmp is its own; it is out of reach when the process is gone.
        [PathBuf::from(format!("/proc/{tgid}/root")).join(&file), Path::new("/").join(&file)]
            .iter()
            .find_map(|path| read(path, uid))
            .map(|text| Self::parse(&text))
    }

    /// Parses `START SIZE name` lines (hex without `0x`); lines that are not are left out.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut map = Self::default();
        for line in bytes.split(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            let mut words = line.trim_end().splitn(3, ' ');
            let mut hex = || {
                let word = words.next()?;
                u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
            };
            let (Some(start), Some(size)) = (hex(), hex()) else { continue };
            let Some(name) = words.next().filter(|name| !name.is_empty()) else { continue };
            map.entries.push((start, size, map.text.len() as u32, name.len() as u32));
            map.text.push_str(name);
        }
        map.entries.sort_by_key(|entry| entry.0);
        map
    }

    /// The function that covers `addr`.
    pub(crate) fn find(&self, addr: u64) -> Option<&str> {
        let next = self.entries.partition_point(|entry| entry.0 <= addr);
        self.entries[..next]
            .iter()
            .rev()
            .take(MAX_OVERLAP)
            .find(|entry| addr - entry.0 < entry.1)
            .map(|&(_, _, at, len)| &self.text[at as usize..(at + len) as usize])
    }
}

/// Reads the map if it is a plain file of root or of the process' user: `/tmp` is open to all, so it
/// may be a pipe that never ends or somebody else's invention.
fn read(path: &Path, uid: Option<u32>) -> Option<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .ok()?;
    let meta = file.metadata().ok()?;
    if !meta.is_file() || (meta.uid() != 0 && uid.is_some_and(|uid| uid != meta.uid())) {
        tracing::debug!(path = %path.display(), "perf map ignored: not a plain file of the process' user");
        return None;
    }
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    Some(text)
}

/// What the process calls itself: the last number of `NStgid:` in its status.
pub(crate) fn ns_tgid(tgid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{tgid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NStgid:"))?;
    line.split_ascii_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_function_at_an_address_wins_and_half_a_line_is_left_out() {
        let map =
            PerfMap::parse(b"1000 100 old\n2000 10 LFoo;bar baz\n1000 80 new one\nbad\n0x3000 0x10 hex\n40");
        assert_eq!(map.find(0x1000), Some("new one"));
        assert_eq!(map.find(0x1090), Some("old"));
        assert_eq!(map.find(0x200f), Some("LFoo;bar baz"));
        assert_eq!(map.find(0x2010), None);
        assert_eq!(map.find(0x3001), Some("hex"));
        assert_eq!(map.find(0), None);
    }

    #[test]
    fn no_input_makes_the_parser_panic() {
        let map = PerfMap::parse(b"ffffffffffffffff ffffffffffffffff x\n\xff\xff \xff\n 1 2 3\n");
        assert_eq!(map.find(u64::MAX), Some("x"));
    }
}
