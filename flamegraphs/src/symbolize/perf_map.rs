//! `/tmp/perf-<pid>.map`: names of run-time compiled code.
//!
//! This module reads the file itself. blazesym refuses the whole file for one malformed line, but a JIT that is writing
//! leaves half a line at the end. blazesym also keeps the file mapped, and a truncation by its owner would kill the agent.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use super::jit::Functions;

/// Larger maps are cut here: 64 MiB is some 700,000 functions.
const MAX_FILE: u64 = 64 << 20;
/// A longer line is no function.
const MAX_LINE: u64 = 4096;

/// Reads an open map.
pub(super) fn read(file: File) -> Functions {
    parse(BufReader::with_capacity(256 << 10, file.take(MAX_FILE)))
}

/// Parses `START SIZE name` lines (hex without `0x`); lines that are not are left out.
pub(crate) fn parse(mut text: impl BufRead) -> Functions {
    let mut map = Functions::default();
    let mut line = Vec::new();
    let mut begins = true;
    while !map.is_full() {
        line.clear();
        let read = text.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        if !read.is_ok_and(|read| read > 0) {
            break;
        }
        let ends = line.ends_with(b"\n") || (line.len() as u64) < MAX_LINE;
        if begins && ends {
            take(&mut map, &line);
        }
        begins = ends;
    }
    map
}

fn take(map: &mut Functions, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let mut words = line.trim_end().splitn(3, ' ');
    let mut hex = || {
        let word = words.next()?;
        u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
    };
    let (Some(start), Some(size)) = (hex(), hex()) else { return };
    if let Some(name) = words.next().filter(|name| !name.is_empty()) {
        map.add(start, size, name, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_function_at_an_address_wins_and_half_a_line_is_left_out() {
        let mut map =
            parse(&b"1000 100 old\n2000 10 LFoo;bar baz\n1000 80 new one\nbad\n0x3000 0x10 hex\n40"[..]);
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
        let mut map = parse(&b"ffffffffffffffff ffffffffffffffff x\n\xff\xff \xff\n 1 2 3\n"[..]);
        assert_eq!(map.find(u64::MAX).map(|(name, _)| name), Some("x"));
    }

    #[test]
    fn a_line_without_end_is_left_out_and_the_next_is_read() {
        let long = format!("1000 10 {}\n2000 10 next\n", "x".repeat(3 * MAX_LINE as usize));
        let mut map = parse(long.as_bytes());
        assert_eq!(map.find(0x1000), None);
        assert_eq!(map.find(0x2000).map(|(name, _)| name), Some("next"));
    }
}
