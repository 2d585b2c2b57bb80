//! `/tmp/perf-<pid>.map`: names of run-time compiled code.
//!
//! Read here and not by blazesym, which refuses the whole file for one malformed line, and a JIT that is
//! writing leaves half a line at the end; and which keeps it mapped while anyone may truncate it.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::jit::Functions;

/// Larger maps are cut here: 64 MiB is some 700,000 functions.
const MAX_FILE: u64 = 64 << 20;
/// Opens the map of `tgid`, which knows itself as `ns_tgid` inside its PID namespace.
pub(super) fn open(tgid: u32, ns_tgid: u32) -> Option<File> {
    let file = format!("tmp/perf-{ns_tgid}.map");
    let uid = fs::metadata(format!("/proc/{tgid}")).map(|meta| meta.uid()).ok();
    // A container's /tmp is its own; it is out of reach when the process is gone.
    [PathBuf::from(format!("/proc/{tgid}/root")).join(&file), Path::new("/").join(&file)]
        .iter()
        .find_map(|path| open_owned(path, uid))
}

/// Opens `path` if it is a plain file of root or of the process' user: `/tmp` is open to all, so it
/// may be a pipe that never ends or somebody else's invention.
pub(super) fn open_owned(path: &Path, uid: Option<u32>) -> Option<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .ok()?;
    let meta = file.metadata().ok()?;
    if !meta.is_file() || (meta.uid() != 0 && uid.is_some_and(|uid| uid != meta.uid())) {
        tracing::debug!(path = %path.display(), "ignored: not a plain file of the process' user");
        return None;
    }
    Some(file)
}

/// Reads an open map.
pub(super) fn read(file: File) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Parses `START SIZE name` lines (hex without `0x`); lines that are not are left out.
pub(crate) fn parse(bytes: &[u8]) -> Functions {
    let mut map = Functions::default();
    for line in bytes.split(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let mut words = line.trim_end().splitn(3, ' ');
        let mut hex = || {
            let word = words.next()?;
            u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
        };
        let (Some(start), Some(size)) = (hex(), hex()) else { continue };
        if let Some(name) = words.next().filter(|name| !name.is_empty()) {
            map.add(start, size, name, &[]);
        }
    }
    map
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
        let mut map = parse(b"1000 100 old\n2000 10 LFoo;bar baz\n1000 80 new one\nbad\n0x3000 0x10 hex\n40");
        let mut find = |addr| map.find(addr).map(|(name, _)| name.to_owned());
        assert_eq!(find(0x1000).as_deref(), Some("new one"));
        assert_eq!(find(0x1090).as_deref(), Some("old"));
        assert_eq!(find(0x200f).as_deref(), Some("LFoo;bar baz"));
        assert_eq!(find(0x2010), None);
        assert_eq!(find(0x3001).as_deref(), Some("hex"));
        assert_eq!(find(0), None);
    }

    #[test]
    fn no_input_makes_the_parser_panic() {
        let mut map = parse(b"ffffffffffffffff ffffffffffffffff x\n\xff\xff \xff\n 1 2 3\n");
        assert_eq!(map.find(u64::MAX).map(|(name, _)| name), Some("x"));
    }
}
