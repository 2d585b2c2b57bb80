//! Who holds the file locks that others wait for, from `/proc/locks`: a lock that is held all the time wakes nobody, so
//! no wait says whose it is. Nor does who only tries for a lock wait at all.

use std::collections::HashMap;
use std::path::Path;

use agent_common::units::Tgid;

use crate::syscall_names;
use crate::window::{FileLockRow, SyscallRow};

const LOCKS: &str = "/proc/locks";

/// The waits of this moment. To be asked when somebody waits: the kernel lists every lock of the host.
#[must_use]
pub fn waits() -> Vec<FileLockRow> {
    std::fs::read_to_string(LOCKS).map(|text| parse(&text)).unwrap_or_default()
}

/// Processes that try for locks of which a window is told, and descriptors of each: the most that are looked at.
const TRIERS: usize = 16;
const FILES: usize = 1024;

/// Who has a lock on a file that a process has open which was refused locks in this window.
#[must_use]
pub fn tries(calls: &[SyscallRow]) -> Vec<FileLockRow> {
    let refused = |row: &&SyscallRow| {
        let locks = matches!(syscall_names::name(row.abi, row.nr), Some("fcntl" | "fcntl64" | "flock"));
        locks && row.errnos.iter().any(|(errno, _)| i32::from(*errno) == libc::EAGAIN)
    };
    let mut tgids: Vec<Tgid> = calls.iter().filter(refused).map(|row| row.tgid).collect();
    tgids.dedup();
    if tgids.is_empty() {
        return Vec::new();
    }
    let Ok(text) = std::fs::read_to_string(LOCKS) else { return Vec::new() };
    let held = held(&text);
    tgids.into_iter().take(TRIERS).flat_map(|tgid| others(tgid, &held)).collect()
}

/// Locks of others on files that this process has open.
fn others(tgid: Tgid, held: &[Held]) -> Vec<FileLockRow> {
    let proc = Path::new("/proc").join(tgid.to_string());
    let devices =
        std::fs::read_to_string(proc.join("mountinfo")).map(|text| mounts(&text)).unwrap_or_default();
    // `stat` would wait for a file system that does not answer.
    let infos = std::fs::read_dir(proc.join("fdinfo")).into_iter().flatten().flatten().take(FILES);
    let open = infos.filter_map(|info| file_open(&std::fs::read_to_string(info.path()).ok()?, &devices));
    let mut rows: Vec<FileLockRow> = Vec::new();
    for (dev, inode) in open {
        let others = held.iter().filter(|lock| (lock.dev, lock.inode) == (dev, inode) && lock.owner != tgid);
        for lock in others {
            let row = FileLockRow { waiter: tgid, holder: lock.owner, dev, inode };
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    rows
}

/// `36 35 fe:00 / /mnt rw …` in decimal: mount → device.
fn mounts(text: &str) -> HashMap<u32, u32> {
    let mount = |line: &str| {
        let mut words = line.split(' ');
        let id = words.next()?.parse().ok()?;
        let (major, minor) = words.nth(1)?.split_once(':')?;
        Some((id, major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?))
    };
    text.lines().filter_map(mount).collect()
}

/// Device and inode of a descriptor, from its `mnt_id:` and `ino:` (Linux 5.14).
fn file_open(info: &str, devices: &HashMap<u32, u32>) -> Option<(u32, u64)> {
    let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some((*devices.get(&value("mnt_id:")?.parse().ok()?)?, value("ino:")?.parse().ok()?))
}

/// A lock that a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    owner: Tgid,
    dev: u32,
    inode: u64,
}

fn held(text: &str) -> Vec<Held> {
    let lock = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let owner = Tgid(words.get(3)?.parse().ok()?);
        let (dev, inode) = file_of(words.get(4)?)?;
        Some(Held { owner, dev, inode })
    };
    text.lines().filter(|line| !line.contains("->")).filter_map(lock).collect()
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
        let held = held(text);
        let owners: Vec<_> = held.iter().map(|lock| (lock.owner.0, lock.dev, lock.inode)).collect();
        assert_eq!(owners, [(17, 0xfe << 20, 10_707), (80, dev, 10_695)]);
    }

    #[test]
    fn an_open_file_is_told_by_its_mount_and_inode() {
        let devices =
            mounts("21 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw\n22 21 0:23 / /tmp rw - tmpfs tmpfs rw\n");
        let info = "pos:\t0\nflags:\t02\nmnt_id:\t21\nino:\t10695\n";
        assert_eq!(file_open(info, &devices), Some((254 << 20 | 1, 10_695)));
        assert_eq!(file_open("pos:\t0\nmnt_id:\t21\n", &devices), None, "before 5.14");
    }

    #[test]
    fn a_lock_that_a_process_tries_for_is_told_with_who_has_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut holder = std::process::Command::new("flock")
            .arg(file.path())
            .args(["sh", "-c", "echo; read x"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut line).unwrap();
        let own = std::process::id();
        let mut call = crate::aggregate::testing::calls(own, "t", 73, 10, 10, 500);
        call.errnos = vec![(11, 10)];
        let rows = tries(&[call]);
        let held_by: Vec<_> = rows.iter().map(|row| (row.waiter.0, row.holder.0)).collect();
        assert!(held_by.contains(&(own, holder.id())), "{rows:?}");
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
}
