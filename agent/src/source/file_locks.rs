//! The processes that hold the file locks that others wait or try for, from `/proc/locks`.
//!
//! A lock that is never released wakes no waiter, so no recorded wait names its holder. A process that only tries for a lock
//! (`LOCK_NB`) does not wait at all.

use std::collections::HashMap;
use std::path::Path;

use agent_common::units::Tgid;
use diagnosis::syscall_names;
use diagnosis::window::{FileLockRow, SyscallRow};
use opener::living;

use super::mounts::{self, Mount};

const LOCKS: &str = "/proc/locks";

/// Most descriptors that are read in a window, of all processes that try for a lock: 15 µs each. Further lock holders stay unknown.
const MAX_DESCRIPTORS: usize = 512;
/// Most holders of one lock that are recorded: read locks can have many.
const MAX_HOLDERS: usize = 4;

/// A line of `/proc/locks`.
struct Lock<'a> {
    number: &'a str,
    /// Its owner waits for the lock of the same number before it.
    waits: bool,
    /// `FLOCK`, `POSIX`.
    kind: &'a str,
    writes: bool,
    /// `None`: a lock of an open file, which no process owns.
    owner: Option<Tgid>,
    dev: u32,
    inode: u64,
}

/// Locks by inode.
type ByInode<'a> = HashMap<u64, Vec<&'a Lock<'a>>>;

/// Processes that wait for a file lock now, and processes that were refused one in this window, each with the lock's holder.
///
/// `waited`: a process waited for a file lock in this window. If none waited and none was refused, `/proc/locks` is not read:
/// it lists every lock of the host.
#[must_use]
pub fn rows(waited: bool, calls: &[SyscallRow]) -> Vec<FileLockRow> {
    let triers: Vec<_> = calls.iter().filter_map(refused).collect();
    if !waited && triers.is_empty() {
        return Vec::new();
    }
    let Ok(text) = std::fs::read_to_string(LOCKS) else { return Vec::new() };
    let locks: Vec<Lock> = text.lines().filter_map(parse).collect();
    let mut rows = if waited { waits(&locks) } else { Vec::new() };
    let (locks, mut looks) = (held(&locks), MAX_DESCRIPTORS);
    rows.extend(triers.into_iter().flat_map(|(tgid, kind)| others(tgid, kind, &locks, &mut looks)));
    rows
}

/// Process that was refused locks, and of which kind.
fn refused(row: &SyscallRow) -> Option<(Tgid, &'static str)> {
    let kind = match syscall_names::name(row.abi, row.nr)? {
        "flock" => "FLOCK",
        "fcntl" | "fcntl64" => "POSIX",
        _ => return None,
    };
    row.errnos.iter().any(|(errno, _)| i32::from(*errno) == libc::EAGAIN).then_some((row.tgid, kind))
}

/// Locks of this kind that others have on files that this process has open.
fn others(tgid: Tgid, kind: &str, locks: &ByInode, looks: &mut usize) -> Vec<FileLockRow> {
    let proc = Path::new("/proc").join(living(tgid.0).to_string());
    let mut mounted = None;
    let mut rows: Vec<FileLockRow> = Vec::new();
    for info in std::fs::read_dir(proc.join("fdinfo")).into_iter().flatten().flatten() {
        if *looks == 0 {
            break;
        }
        *looks -= 1;
        // `stat` would wait for a file system that does not answer.
        let Some((mount, inode)) = mounts::open_file(&info.path()) else { continue };
        let Some(locks) = locks.get(&inode) else { continue };
        let mounts: &HashMap<u32, Mount> = mounted.get_or_insert_with(|| mounts::of(tgid));
        let Some(Mount { dev, .. }) = mounts.get(&mount) else { continue };
        let theirs = |lock: &&&Lock| lock.dev == *dev && lock.kind == kind && lock.owner != Some(tgid);
        let held: Vec<_> = locks.iter().filter(theirs).collect();
        // A writer keeps all others out; readers keep out who wants to write.
        let writers = held.iter().any(|lock| lock.writes);
        for lock in held.into_iter().filter(|lock| lock.writes == writers).take(MAX_HOLDERS) {
            let Some(holder) = lock.owner else { continue };
            let row = FileLockRow { waiter: tgid, tried: true, holder, dev: *dev, inode };
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    rows
}

/// `1: POSIX ADVISORY WRITE 4242 fe:00:1234 0 EOF`, and for each who waits for it `1: -> …` (Documentation/filesystems/locks.rst).
fn parse(line: &str) -> Option<Lock<'_>> {
    let (number, rest) = line.split_once(':')?;
    let rest = rest.trim_start();
    let (waits, rest) = rest.strip_prefix("->").map_or((false, rest), |rest| (true, rest));
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [kind, _, mode, owner, file, ..] = words[..] else { return None };
    let (dev, inode) = file_of(file)?;
    Some(Lock {
        number,
        waits,
        kind,
        writes: mode == "WRITE",
        owner: owner.parse().ok().map(Tgid),
        dev,
        inode,
    })
}

/// Locks that a process holds.
fn held<'a>(locks: &'a [Lock<'a>]) -> ByInode<'a> {
    let mut held = ByInode::new();
    for lock in locks.iter().filter(|lock| !lock.waits && lock.owner.is_some()) {
        held.entry(lock.inode).or_default().push(lock);
    }
    held
}

/// Who waits, and for whom.
fn waits(locks: &[Lock]) -> Vec<FileLockRow> {
    let mut rows = Vec::new();
    let mut held: Option<&Lock> = None;
    for lock in locks {
        if !lock.waits {
            held = Some(lock);
            continue;
        }
        let of = held.filter(|held| held.number == lock.number).and_then(|held| held.owner);
        if let (Some(waiter), Some(holder)) = (lock.owner, of) {
            rows.push(FileLockRow { waiter, tried: false, holder, dev: lock.dev, inode: lock.inode });
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
    fn a_waiter_is_recorded_with_the_holder_and_the_file() {
        let text = "1: FLOCK  ADVISORY  WRITE 17 fe:00:10707 0 EOF\n\
                    2: FLOCK  ADVISORY  WRITE 80 fe:01:10695 0 EOF\n\
                    2: -> FLOCK  ADVISORY  WRITE 88 fe:01:10695 0 EOF\n\
                    2:  -> FLOCK  ADVISORY  WRITE 99 fe:01:10695 0 EOF\n\
                    3: OFDLCK ADVISORY  WRITE -1 fe:00:10722 0 EOF\n\
                    3: -> POSIX  ADVISORY  WRITE 70 fe:00:10722 0 EOF\nnonsense\n";
        let dev = 0xfe << 20 | 1;
        let row =
            |waiter| FileLockRow { waiter: Tgid(waiter), tried: false, holder: Tgid(80), dev, inode: 10_695 };
        let locks: Vec<Lock> = text.lines().filter_map(parse).collect();
        assert_eq!(waits(&locks), [row(88), row(99)], "the third has no owner");
        let held = held(&locks);
        let of: Vec<_> =
            held[&10_695].iter().map(|lock| (lock.dev, lock.kind, lock.writes, lock.owner)).collect();
        assert_eq!(of, [(dev, "FLOCK", true, Some(Tgid(80)))]);
        assert_eq!(held.len(), 2, "the third has no owner");
    }

    #[test]
    fn a_lock_that_a_process_tries_for_is_recorded_with_its_holder() {
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
        let mut call = diagnosis::testing::calls(own, "t", 73, 10, 10, 500);
        call.errnos = vec![(11, 10)];
        let rows = rows(false, &[call]);
        let held_by: Vec<_> = rows.iter().map(|row| (row.waiter.0, row.tried, row.holder.0)).collect();
        assert!(held_by.contains(&(own, true, holder.id())), "{rows:?}");
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
}
