//! The mount on which an open file of a process lies, found without touching the file: a file system that does not answer
//! blocks its caller for ever.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use agent_common::units::Tgid;

/// Most bytes that are read of a descriptor's `fdinfo`: mount and inode come first, and an epoll's is long.
const MAX_FDINFO_BYTES: u64 = 256;
/// Most bytes that are read of a list of mounts: some 8,000 mounts.
const MAX_MOUNTS_BYTES: u64 = 1 << 20;

/// A mounted file system, as one process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `major << 20 | minor`.
    pub(crate) dev: u32,
    /// What of the file system is mounted: `/`, or a directory in it.
    pub(crate) root: String,
    /// Where.
    pub(crate) point: String,
    /// A process serves it (`fuse`, `fuse.sshfs`, `fuseblk`).
    pub(crate) is_fuse: bool,
}

impl Mount {
    /// Number of a FUSE connection: the minor number of its device.
    pub(super) fn connection(&self) -> Option<u32> {
        self.is_fuse.then_some(self.dev & 0xf_ffff)
    }
}

/// The mounts of a process by number, as far as they can be read.
pub(crate) fn of(tgid: Tgid) -> HashMap<u32, Mount> {
    mounts(&beginning(&Path::new("/proc").join(tgid.to_string()).join("mountinfo"), MAX_MOUNTS_BYTES))
}

/// Mount and inode of a descriptor, given its `fdinfo`.
pub(super) fn open_file(info: &Path) -> Option<(u32, u64)> {
    parse_fdinfo(&beginning(info, MAX_FDINFO_BYTES))
}

/// `mnt_id:` and `ino:` (Linux 5.14).
fn parse_fdinfo(info: &str) -> Option<(u32, u64)> {
    Some((value(info, "mnt_id:")?.parse().ok()?, value(info, "ino:")?.parse().ok()?))
}

/// Mount of a descriptor.
pub(super) fn mount_of(tgid: Tgid, fd: u32) -> Option<u32> {
    let info = beginning(Path::new(&format!("/proc/{tgid}/fdinfo/{fd}")), MAX_FDINFO_BYTES);
    value(&info, "mnt_id:")?.parse().ok()
}

/// `fuse_connection:` of a descriptor of `/dev/fuse` (Linux 6.16).
pub(super) fn connection_of(info: &Path) -> Option<u32> {
    value(&beginning(info, MAX_FDINFO_BYTES), "fuse_connection:")?.parse().ok()
}

fn value<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The mount that a path from the root lies on, by the longest of their points. A symbolic link may lead elsewhere.
pub(super) fn below<'a>(mounts: &'a HashMap<u32, Mount>, path: &str) -> Option<&'a Mount> {
    let holds = |mount: &&Mount| {
        let rest = path.strip_prefix(mount.point.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    mounts.values().filter(holds).max_by_key(|mount| mount.point.len())
}

/// The first bytes of a file of `/proc`; nothing where it cannot be read.
fn beginning(path: &Path, most: u64) -> String {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut text));
    read.map(|_| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// `36 35 254:0 / /mnt rw … - ext4 /dev/vda1 rw` (Documentation/filesystems/proc.rst, 3.5).
fn mounts(text: &str) -> HashMap<u32, Mount> {
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let mut words = place.split(' ');
        let id = words.next()?.parse().ok()?;
        let (major, minor) = words.nth(1)?.split_once(':')?;
        let dev = major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?;
        let kind = kind.split(' ').next()?;
        let is_fuse = matches!(kind, "fuse" | "fuseblk") || kind.starts_with("fuse.");
        Some((id, Mount { dev, root: unescaped(words.next()?), point: unescaped(words.next()?), is_fuse }))
    };
    text.lines().filter_map(mount).collect()
}

/// Blanks, tabs, line ends and backslashes are written as `\040` and the like.
pub(super) fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let code = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = &after[if code.is_some() { 3 } else { 0 }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_MOUNTS_BYTES: &str = "21 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw\n22 21 0:23 / /tmp rw - tmpfs tmpfs rw\n\
                          42 22 0:39 / /tmp/m rw,nosuid - fuse.sshfs you@there: rw,user_id=0\nnonsense\n";

    #[test]
    fn mount_and_inode_identify_an_open_file() {
        let mounts = mounts(MAX_MOUNTS_BYTES);
        assert_eq!(mounts.len(), 3);
        assert_eq!((mounts[&21].dev, mounts[&21].connection()), (254 << 20 | 1, None));
        assert_eq!(mounts[&42].connection(), Some(39));
        assert_eq!((&*mounts[&42].root, &*mounts[&42].point), ("/", "/tmp/m"));
        let bind = super::mounts("7 1 254:2 /a\\134b /mnt/my\\040disk rw - xfs /dev/vdb rw\n");
        assert_eq!((&*bind[&7].root, &*bind[&7].point), ("/a\\b", "/mnt/my disk"));
        assert_eq!(parse_fdinfo("pos:\t0\nflags:\t02\nmnt_id:\t21\nino:\t10695\n"), Some((21, 10_695)));
        assert_eq!(parse_fdinfo("pos:\t0\nmnt_id:\t21\n"), None, "before 5.14");
    }

    #[test]
    fn a_path_lies_on_the_nearest_mount_above_it() {
        let mounts = mounts(MAX_MOUNTS_BYTES);
        let at = |path: &str| below(&mounts, path).map(|mount| mount.point.clone());
        assert_eq!(at("/tmp/m/a/b").as_deref(), Some("/tmp/m"));
        assert_eq!(at("/tmp/m").as_deref(), Some("/tmp/m"));
        assert_eq!(at("/tmp/more").as_deref(), Some("/tmp"));
        assert_eq!(at("/etc/passwd").as_deref(), Some("/"));
    }

    #[test]
    fn a_descriptor_of_this_process_has_its_mount() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(file.as_file());
        let own = Tgid(std::process::id());
        let mount = mount_of(own, fd as u32).expect("it is open");
        assert!(of(own).contains_key(&mount));
        assert_eq!(mount_of(own, 999_999), None);
    }
}
