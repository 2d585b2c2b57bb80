//! Who holds the file locks that others wait for, from `/proc/locks`: a lock that is held all the time wakes nobody, so
//! no wait says whose it is.

use agent_common::units::Tgid;

use crate::window::FileLockRow;

const LOCKS: &str = "/proc/locks";

/// The waits of this moment. To be asked when somebody waits: the kernel lists every lock of the host.
#[must_use]
pub fn waits() -> Vec<FileLockRow> {
    std::fs::read_to_string(LOCKS).map(|text| parse(&text)).unwrap_or_default()
}

/// `1: POSIX ADVISORY WRITE 4242 fe:00:1234 0 EOF`, and for each who waits for it `1: -> …` (Documentation/filesystems/locks.rst).
fn parse(text: &str) -> Vec<FileLockRow> {
    let mut rows = Vec::new();
    let mut holder: Option<(&str, Tgid)> = None;
    for line in text.lines() {
        let Some((number, rest)) = line.split_once(':') else { continue };
        let waits = rest.trim_start().starts_with("->");
        let words: Vec<&str> = rest.split_whitespace().skip(usize::from(waits)).collect();
        // −1: a lock of an open file, which no process owns.
        let owner = words.get(3).and_then(|pid| pid.parse().ok()).map(Tgid);
        if !waits {
            holder = owner.map(|owner| (number, owner));
            continue;
        }
        let (Some(waiter), Some((held, holder)), Some((dev, inode))) =
            (owner, holder, words.get(4).and_then(|file| file_of(file)))
        else {
            continue;
        };
        if held == number {
            rows.push(FileLockRow { waiter, holder, dev, inode });
        }
    }
    rows
}

/// `fe:00:1234`: major and minor number in hexadecimal, inode in decimal.
fn file_of(text: &str) -> Option<(u32, u64)> {
    let mut parts = text.split(':');
    let mut hex = || u32::from_str_radix(parts.next()?, 16).ok();
    let dev = hex()? << 20 | hex()?;
    Some((dev, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_with_who_holds_and_which_file() {
        let text = "1: FLOCK  ADVISORY  WRITE 17 fe:00:10707 0 EOF\n\
                    2: FLOCK  ADVISORY  WRITE 80 fe:01:10695 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 88 fe:01:10695 0 EOF\n\
                    2:  -> FLOCK  ADVISORY  WRITE 99 fe:01:10695 0 EOF\n\
                    3: OFDLCK ADVISORY  WRITE -1 fe:00:10722 0 EOF\n\
                    3: -> POSIX  ADVISORY  WRITE 70 fe:00:10722 0 EOF\nnonsense\n";
        let dev = 0xfe << 20 | 1;
        let row = |waiter| FileLockRow { waiter: Tgid(waiter), holder: Tgid(80), dev, inode: 10_695 };
        assert_eq!(parse(text), [row(88), row(99)], "nobody owns the third");
    }
}
