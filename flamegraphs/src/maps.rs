//! `/proc/<tgid>/maps`: the executable mappings of a process.

use std::io;

/// What an executable mapping is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Backing {
    /// A file: device and inode as `maps` prints them, and the path as the process sees it.
    File {
        /// `major:minor`, packed.
        dev: u64,
        /// Inode.
        ino: u64,
        /// Path in the process' mount namespace, without ` (deleted)`.
        path: String,
        /// No longer reachable by its path.
        deleted: bool,
    },
    /// No name at all, or one given to anonymous memory (`[anon:v8]`, `//anon`, `[heap]`, `[stack]`).
    Anonymous,
    /// The vDSO.
    Vdso,
    /// Anything else the kernel names in brackets: `[vsyscall]`, `[uprobes]`.
    Special(String),
}

/// One executable mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Address behind the last.
    pub end: u64,
    /// Offset of `start` in the file.
    pub offset: u64,
    /// What it is made of.
    pub backing: Backing,
}

impl Mapping {
    /// From `start` to `end`, from this offset of the file with this device (`major << 32 | minor`) and inode, under the
    /// name that the kernel gives it.
    #[must_use]
    pub fn new((start, end): (u64, u64), offset: u64, (dev, ino): (u64, u64), name: &str) -> Self {
        Self { start, end, offset, backing: backing(name, dev, ino) }
    }
}

/// Reads the executable mappings of `tgid`, sorted by address. Empty for a kernel thread and for a
/// process that is exiting (its memory is gone though its entry is not). May wait for the process' memory lock: see
/// [`opener::Workers`].
pub fn read(tgid: u32) -> io::Result<Vec<Mapping>> {
    Ok(parse(&opener::process::maps(tgid)?))
}

/// Parses the text of a `maps` file; lines that do not look like one are left out.
pub(crate) fn parse(text: &[u8]) -> Vec<Mapping> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

/// `55e0-55f0 r-xp 00002000 fd:01 1234    /usr/bin/foo (deleted)`; `None` unless executable.
fn parse_line(line: &[u8]) -> Option<Mapping> {
    let line = String::from_utf8_lossy(line);
    let mut rest = &*line;
    let mut field = || {
        let trimmed = rest.trim_start_matches(' ');
        let (word, tail) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
        rest = tail;
        word
    };
    let (range, perms, offset, dev, ino) = (field(), field(), field(), field(), field());
    if perms.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    let offset = u64::from_str_radix(offset, 16).ok()?;
    let (major, minor) = dev.split_once(':')?;
    let dev = u64::from_str_radix(major, 16).ok()? << 32 | u64::from_str_radix(minor, 16).ok()?;
    let ino = ino.parse().ok()?;
    Some(Mapping { start, end, offset, backing: backing(rest.trim_start_matches(' '), dev, ino) })
}

fn backing(name: &str, dev: u64, ino: u64) -> Backing {
    match name {
        "[vdso]" => Backing::Vdso,
        // The kernel prints these for memory without a file; a shared anonymous mapping has an inode too.
        "" | "[heap]" | "[stack]" => Backing::Anonymous,
        _ if name.starts_with("[anon") || name.starts_with("//anon") || name.starts_with("/dev/zero") => {
            Backing::Anonymous
        }
        _ if name.starts_with('/') => {
            let path = name.strip_suffix(" (deleted)");
            Backing::File { dev, ino, deleted: path.is_some(), path: path.unwrap_or(name).to_owned() }
        }
        _ => Backing::Special(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
5581a0000000-5581a0001000 r--p 00000000 fd:01 77                         /usr/bin/with space
5581a0001000-5581a0002000 r-xp 00001000 fd:01 77                         /usr/bin/with space
7f0000000000-7f0000001000 rwxp 00000000 00:00 0 
7f0000002000-7f0000003000 r-xp 00003000 103:02 88                        /tmp/x.so (deleted)
7f0000004000-7f0000005000 rwxp 00000000 00:00 0                          [anon:v8]
7ffd1000-7ffd3000 r-xp 00000000 00:00 0                                  [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
garbage
";

    #[test]
    fn executable_mappings_are_distinguished_by_what_backs_them() {
        let maps = parse(TEXT.as_bytes());
        let backings: Vec<_> = maps.iter().map(|map| map.backing.clone()).collect();
        assert_eq!(
            backings,
            [
                Backing::File {
                    dev: 0xfd << 32 | 1,
                    ino: 77,
                    path: "/usr/bin/with space".into(),
                    deleted: false
                },
                Backing::Anonymous,
                Backing::File { dev: 0x103 << 32 | 2, ino: 88, path: "/tmp/x.so".into(), deleted: true },
                Backing::Anonymous,
                Backing::Vdso,
                Backing::Special("[vsyscall]".into()),
            ]
        );
        assert_eq!(
            (maps[0].start, maps[0].end, maps[0].offset),
            (0x5581_a000_1000, 0x5581_a000_2000, 0x1000)
        );
    }

    #[test]
    fn no_input_makes_the_parser_panic() {
        for text in [
            &b""[..],
            b"\n\n",
            b"- x",
            b"1-2 r-xp",
            b"zz-2 r-xp 0 0:0 0 /x",
            b"\xff\xfe r-xp",
            b"1-2 \xc3\xa9\xc3",
        ] {
            assert_eq!(parse(text), []);
        }
    }
}
