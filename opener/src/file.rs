//! Regular files of other users.
//!
//! A file is first opened with `O_PATH`: that calls no driver and no file system server. The result is then checked, and that same
//! inode is opened for reading through `/proc/self/fd`, so no user can put another one in its
//! place in between. Only the `O_PATH` descriptor is kept: closing one of a FUSE file that was opened for reading waits for the
//! server (`FUSE_FLUSH`), at the end of the process too.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags};

use crate::living;

/// Symbolic links are followed inside the root that is given, and none of `/proc`'s that lead elsewhere.
const RESOLVE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// File systems of the kernel itself (include/uapi/linux/magic.h): their regular files are interfaces, and reading one may
/// wait for ever, or take something away from others (`/proc/kmsg`).
const KERNEL_FILE_SYSTEMS: [u64; 17] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0xcafe_4a11, // bpf
    0x6265_6570, // configfs
    0xde5e_81e4, // efivarfs
    0x6165_676c, // pstore
    0x1cd1,      // devpts
    0xf97c_ff8c, // selinuxfs
    0x6e73_6673, // nsfs
    0x4249_4e4d, // binfmt_misc
    0x6573_5543, // fusectl
    0x1980_0202, // mqueue
];

/// File systems whose owners and modes come from this kernel, or from a disk that only root can mount without `nosuid`.
/// A FUSE server or an NFS server may call anything root's.
const LOCAL_FILE_SYSTEMS: [u64; 12] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x794c_7630, // overlayfs
    0x7371_7368, // squashfs
    0xe0f5_e1e2, // erofs
    0xf2f5_2010, // f2fs
    0x2fc1_2fc1, // zfs
    0xca45_1a4e, // bcachefs
    0x9660,      // iso9660
];

/// Why something was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is not there, or may not be opened.
    #[error("cannot be opened")]
    Unreachable(#[from] io::Error),
    /// A device, FIFO, socket, directory or symbolic link.
    #[error("not a regular file but a {0}")]
    NotRegular(&'static str),
    /// A file of `/proc`, `/sys` or another file system of the kernel.
    #[error("an interface of the kernel, not a file")]
    OfKernel,
    /// Not the file that was meant: another inode, or another owner.
    #[error("another file than the one that was meant")]
    Another,
}

impl From<rustix::io::Errno> for Refused {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Unreachable(errno.into())
    }
}

/// Tells one content of a file from another one: changes whenever the file is written to, replaced, or its inode number is
/// given to another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    dev: (u32, u32),
    ino: u64,
    size: u64,
    modified: (i64, u32),
    changed: (i64, u32),
    /// Birth time, where the file system has one: as good as the inode's generation.
    born: (i64, u32),
}

impl Stamp {
    /// Bytes in the file.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }
}

/// A regular file, as an `O_PATH` descriptor. It never waits for a file system, not even when it is dropped.
#[derive(Debug)]
pub struct Held {
    fd: OwnedFd,
    uid: u32,
    trusted: bool,
}

impl Held {
    /// Opens it for reading. May wait for its file system, and so may reading and closing: call it on a
    /// [worker](crate::Workers), and drop the file there.
    pub fn reader(&self) -> io::Result<File> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        // Non-blocking: a lease that its owner holds on the file does not make us wait until it breaks.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
    }

    /// Stamp that changes with the content, from what the kernel knows without a call to a file server: never waits.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        let stat = stat(self.fd.as_fd()).ok()?;
        let time = |time: rustix::fs::StatxTimestamp| (time.tv_sec, time.tv_nsec);
        Some(Stamp {
            dev: (stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
            size: stat.stx_size,
            modified: time(stat.stx_mtime),
            changed: time(stat.stx_ctime),
            born: time(stat.stx_btime),
        })
    }

    /// True if only root can have written its content: root owns it, no other may write to it, and its file system is one that
    /// other users cannot fill.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// User id of its owner.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.uid
    }

    /// What tells this file from all others of this host, those included that had its inode number before or will have it: device
    /// and file handle (inode and generation). Where the file system has no handles: device, inode, time of birth.
    #[must_use]
    pub fn lasting_identity(&self) -> Option<String> {
        use std::fmt::Write as _;
        let stamp = self.stamp()?;
        let (major, minor) = stamp.dev;
        let mut text = format!("{major}:{minor}:");
        match handle(self.fd.as_fd()) {
            Some((kind, bytes)) => {
                let _ = write!(text, "{kind}:");
                for byte in bytes {
                    let _ = write!(text, "{byte:02x}");
                }
            }
            None => {
                let _ = write!(text, "{}@{}.{}", stamp.ino, stamp.born.0, stamp.born.1);
            }
        }
        Some(text)
    }

    /// Bytes in it, as the kernel knows without asking a file server.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.stamp().map(|stamp| stamp.size)
    }

    /// Device and inode, from `stat`.
    #[must_use]
    pub fn identity(&self) -> Option<(u64, u64)> {
        self.stamp().map(|stamp| (rustix::fs::makedev(stamp.dev.0, stamp.dev.1), stamp.ino))
    }

    fn new(fd: OwnedFd) -> Result<Self, Refused> {
        let stat = stat(fd.as_fd())?;
        let kind = match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::RegularFile => None,
            FileType::Directory => Some("directory"),
            FileType::Fifo => Some("FIFO"),
            FileType::Socket => Some("socket"),
            FileType::Symlink => Some("symbolic link"),
            _ => Some("device"),
        };
        if let Some(kind) = kind {
            return Err(Refused::NotRegular(kind));
        }
        let mount = rustix::fs::fstatvfs(&fd)?;
        let system = rustix::fs::fstatfs(&fd)?.f_type as u64;
        if KERNEL_FILE_SYSTEMS.contains(&system) {
            return Err(Refused::OfKernel);
        }
        let others_may_write = stat.stx_mode & 0o022 != 0;
        // What a user may mount, a desktop's USB stick say, is mounted without set-user-id programs.
        let users_may_mount = mount.f_flag.contains(rustix::fs::StatVfsMountFlags::NOSUID);
        let trusted = stat.stx_uid == 0
            && !others_may_write
            && !users_may_mount
            && LOCAL_FILE_SYSTEMS.contains(&system);
        Ok(Self { fd, uid: stat.stx_uid, trusted })
    }
}

/// The kernel's handle of a file: its kind and bytes. It makes no call to a file server that could wait: the handle of a FUSE or
/// NFS file is what the kernel got when it opened it.
fn handle(fd: BorrowedFd<'_>) -> Option<(i32, Vec<u8>)> {
    /// include/linux/exportfs.h, `MAX_HANDLE_SZ`.
    const MAX_HANDLE: usize = 128;
    #[repr(C)]
    struct FileHandle {
        bytes: libc::c_uint,
        kind: libc::c_int,
        handle: [u8; MAX_HANDLE],
    }
    let mut handle = FileHandle { bytes: MAX_HANDLE as libc::c_uint, kind: 0, handle: [0; MAX_HANDLE] };
    let mut mount = 0;
    // SAFETY: the structure is as the kernel wants it and says how many bytes it has room for; all pointers live through the call.
    let done = unsafe {
        libc::name_to_handle_at(
            fd.as_raw_fd(),
            c"".as_ptr(),
            (&raw mut handle).cast::<libc::file_handle>(),
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    };
    let bytes = handle.handle.get(..handle.bytes as usize)?;
    (done == 0).then(|| (handle.kind, bytes.to_vec()))
}

/// What the kernel knows of an open file without asking a server.
fn stat(fd: BorrowedFd<'_>) -> rustix::io::Result<rustix::fs::Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    rustix::fs::statx(fd, "", flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)
}

/// Where a file may be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// Our own root directory.
    Own,
    /// The root directory of this process, in its mount namespace. Its symbolic links, and `..`, cannot lead out of it.
    Of(u32),
}

/// The file at `path`, absolute or not, in our own namespace. May wait for its file system.
pub fn at(path: &Path) -> Result<Held, Refused> {
    below(Root::Own, &std::path::absolute(path)?)
}

/// The file at `path` below `root`. Its last component may be a symbolic link. May wait for its file system.
pub fn below(root: Root, path: &Path) -> Result<Held, Refused> {
    open(root, path, OFlags::empty())
}

/// The file at `path` below `root`, which is no symbolic link and belongs to root or to `uid`. For directories that are open to all,
/// such as `/tmp`. May wait for its file system.
pub fn owned(root: Root, path: &Path, uid: u32) -> Result<Held, Refused> {
    let file = open(root, path, OFlags::NOFOLLOW)?;
    if file.uid == 0 || file.uid == uid { Ok(file) } else { Err(Refused::Another) }
}

fn open(root: Root, path: &Path, flags: OFlags) -> Result<Held, Refused> {
    let root = match root {
        Root::Own => PathBuf::from("/"),
        Root::Of(tgid) => PathBuf::from(format!("/proc/{}/root", living(tgid))),
    };
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, directory, Mode::empty())?;
    let flags = OFlags::PATH | OFlags::CLOEXEC | flags;
    Held::new(rustix::fs::openat2(root, path, flags, Mode::empty(), RESOLVE)?)
}

/// A file that a process has mapped, from `/proc/PID/maps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// The process.
    pub tgid: u32,
    /// First address, and the one behind the last.
    pub range: (u64, u64),
    /// Inode.
    pub ino: u64,
    /// Path in the process' mount namespace.
    pub path: PathBuf,
    /// The path does not lead to it any more.
    pub deleted: bool,
}

impl Mapped {
    /// Opens the very file: through `map_files` (right for deleted files and other mount namespaces; needs `CAP_SYS_ADMIN` or
    /// `CAP_CHECKPOINT_RESTORE`), through `exe` if it is the program itself, else by path if the inode is the same. May wait for
    /// its file system.
    pub fn open(&self) -> Result<Held, Refused> {
        let (tgid, (start, end)) = (living(self.tgid), self.range);
        let entry = |name: &str| {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            // These two links lead to what is mapped, whatever it is called by now: to no other file.
            Held::new(rustix::fs::open(format!("/proc/{tgid}/{name}"), flags, Mode::empty())?)
        };
        // Overlayfs and btrfs show another device in `maps` than in `stat`, but the same inode.
        let same = |file: Held| match file.stamp() {
            Some(stamp) if stamp.ino == self.ino => Ok(file),
            _ => Err(Refused::Another),
        };
        let name = format!("map_files/{start:x}-{end:x}");
        match entry(&name) {
            Err(Refused::Unreachable(_)) => {}
            // Another library may have been mapped there since: then neither its name nor its inode is the same.
            Ok(file) if !self.is_named(&format!("/proc/{tgid}/{name}")) => {
                if let Ok(file) = same(file) {
                    return Ok(file);
                }
            }
            opened => return opened,
        }
        // Works for a deleted program, too, and needs fewer permissions than `map_files`.
        let opened = entry("exe").and_then(same);
        if opened.is_ok() || self.deleted {
            return opened;
        }
        let own = || below(Root::Own, &self.path).and_then(same);
        below(Root::Of(tgid), &self.path).and_then(same).or_else(|_| own())
    }

    /// A link of `map_files` leads to a file of this name.
    fn is_named(&self, link: &str) -> bool {
        let Ok(name) = std::fs::read_link(link) else { return false };
        let name = name.as_os_str().as_encoded_bytes();
        name.strip_suffix(b" (deleted)").unwrap_or(name) == self.path.as_os_str().as_encoded_bytes()
    }
}
