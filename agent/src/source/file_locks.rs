//! Who holds the file locks that others wait for, from `/proc/locks`: a lock that is held all the time wakes nobody, so
//! no wait says whose it is. Nor does who only tries for a lock wait at all.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use agent_common::units::Tgid;
use opener::living;

use crate::syscall_names;
use crate::window::{FileLockRow, SyscallRow};

const LOCKS: &str = "/proc/locks";

/// Descriptors that are looked at in a window, those of all processes that try: 15 µs each. The others' holders are not told.
const LOOKS: usize = 512;
/// What is read of a descriptor's `fdinfo`: the mount and the inode stand at its beginning, and an epoll's is long.
const FDINFO: u64 = 256;
/// Holders of one lock that are told: readers can be many.
const HOLDERS: usize = 4;

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

/// Who waits for a lock at this moment (to be asked when somebody `waited` in this window: the kernel lists every lock of the
/// host), and who was refused one in it, with who holds it.
#[must_use]
pub fn rows(waited: bool, calls: &[SyscallRow]) -> Vec<FileLockRow> {
    let triers: Vec<_> = calls.iter().filter_map(refused).collect();
    if !waited && triers.is_empty() {
        return Vec::new();
    }
    let Ok(text) = std::fs::read_to_string(LOCKS) else { return Vec::new() };
    let locks: Vec<Lock> = text.lines().filter_map(parse).collect();
    let mut rows = if waited { waits(&locks) } else { Vec::new() };
    let (locks, mut looks) = (held(&locks), LOOKS);
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
    let mut devices = None;
    let mut rows: Vec<FileLockRow> = Vec::new();
    for info in std::fs::read_dir(proc.join("fdinfo")).into_iter().flatten().flatten() {
        if *looks == 0 {
            break;
        }
        *looks -= 1;
        // `stat` would wait for a file system that does not answer.
        let Some((mount, inode)) = open_file(&beginning(&info.path())) else { continue };
        let Some(locks) = locks.get(&inode) else { continue };
        let mounts =
            || std::fs::read_to_string(proc.join("mountinfo")).map(|text| mounts(&text)).unwrap_or_default();
        let Some(dev) = devices.get_or_insert_with(mounts).get(&mount).copied() else { continue };
        let theirs = |lock: &&&Lock| lock.dev == dev && lock.kind == kind && lock.owner != Some(tgid);
        let held: Vec<_> = locks.iter().filter(theirs).collect();
        // A writer keeps all others out; readers keep out who wants to write.
        let writers = held.iter().any(|lock| lock.writes);
        for lock in held.into_iter().filter(|lock| lock.writes == writers).take(HOLDERS) {
            let Some(holder) = lock.owner else { continue };
            let row = FileLockRow { waiter: tgid, tried: true, holder, dev, inode };
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    rows
}

/// The first bytes of a file; nothing where it cannot be read.
fn beginning(path: &Path) -> String {
    let mut text = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FDINFO).read_to_end(&mut text));
    read.map(|_| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// `36 35 254:0 / /mnt rw …`: mount → device.
fn mounts(text: &str) -> HashMap<u32, u32> {
    let mount = |line: &str| {
        let mut words = line.split(' ');
        let id = words.next()?.parse().ok()?;
        let (major, minor) = words.nth(1)?.split_once(':')?;
        Some((id, major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?))
    };
    text.lines().filter_map(mount).collect()
}

/// Mount and inode of a descriptor, from its `mnt_id:` and `ino:` (Linux 5.14).
fn open_file(info: &str) -> Option<(u32, u64)> {
    let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some((value("mnt_id:")?.parse().ok()?, value("ino:")?.parse().ok()?))
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

/// Those that somebody has.
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
    fn who_waits_is_told_with_who_holds_and_which_file() {
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
        assert_eq!(waits(&locks), [row(88), row(99)], "nobody owns the third");
        let held = held(&locks);
        let of: Vec<_> =
            held[&10_695].iter().map(|lock| (lock.dev, lock.kind, lock.writes, lock.owner)).collect();
        assert_eq!(of, [(dev, "FLOCK", true, Some(Tgid(80)))]);
        assert_eq!(held.len(), 2, "nobody owns the third");
    }

    #[test]
    fn an_open_file_is_told_by_its_mount_and_inode() {
        let text = "21 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw\n22 21 0:23 / /tmp rw - tmpfs tmpfs rw\n";
        assert_eq!(mounts(text)[&21], 254 << 20 | 1);
        assert_eq!(open_file("pos:\t0\nflags:\t02\nmnt_id:\t21\nino:\t10695\n"), Some((21, 10_695)));
        assert_eq!(open_file("pos:\t0\nmnt_id:\t21\n"), None, "before 5.14");
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
        let mut call = diagnosis::testing::calls(own, "t", 73, 10, 10, 500);
        call.errnos = vec![(11, 10)];
        let rows = rows(false, &[call]);
        let held_by: Vec<_> = rows.iter().map(|row| (row.waiter.0, row.tried, row.holder.0)).collect();
        assert!(held_by.contains(&(own, true, holder.id())), "{rows:?}");
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
}
