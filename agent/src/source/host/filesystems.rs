//! Space of mounted file systems, as `node_exporter` shows them: those of disks and network, without the kernel's own.
//!
//! A file system that does not answer blocks whoever asks it, for ever. So a thread of its own asks, each time on a worker that may be given up; a
//! window has the newest answers. A mount that is given up is in it with an error.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diagnosis::window::Filesystem;
use nix::sys::statvfs::statvfs;
use opener::{Owner, Patience, Place, Workers};

use crate::source::mounts::unescaped;

/// Time between two looks: space goes in minutes.
const EVERY: Duration = Duration::from_secs(10);
/// Most mounts that are shown. Hosts of containers have thousands, nearly all of kinds that are left out.
const MAX_MOUNTS: usize = 256;
/// Most bytes of the list of mounts.
const MAX_LIST_BYTES: u64 = 4 << 20;
/// Longest path of a mount that is shown.
const MAX_PATH_BYTES: usize = 512;

/// Kinds that are left out: the default of `node_exporter` (`--collector.filesystem.fs-types-exclude`).
const LEFT_OUT_KINDS: [&str; 27] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "erofs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "fuse.lxcfs",
    "ramfs",
];
/// Places that are left out with all below them (`--collector.filesystem.mount-points-exclude`).
const LEFT_OUT_PLACES: [&str; 3] = ["/dev", "/proc", "/sys"];
/// Places below which all is left out.
const LEFT_OUT_BELOW: [&str; 3] = ["/run/credentials/", "/var/lib/docker/", "/var/lib/containers/storage/"];

static WORKERS: Workers = Workers::with_patience("statfs", Patience::TABLES);

/// The newest answers.
#[derive(Debug)]
pub(super) struct Filesystems {
    newest: Arc<Mutex<Arc<Vec<Filesystem>>>>,
    /// Ends the thread when it is dropped.
    _stop: Sender<()>,
}

impl Filesystems {
    /// Starts the thread.
    pub(super) fn start() -> Self {
        let newest = Arc::<Mutex<Arc<Vec<Filesystem>>>>::default();
        let (stop, stopped) = mpsc::channel();
        let theirs = Arc::clone(&newest);
        let thread = std::thread::Builder::new().name("filesystems".to_owned()).spawn(move || {
            loop {
                let looked = Arc::new(look(&list()));
                *theirs.lock().unwrap_or_else(PoisonError::into_inner) = looked;
                if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        if let Err(error) = thread {
            tracing::warn!(%error, "cannot start a thread: the space of file systems is missing");
        }
        Self { newest, _stop: stop }
    }

    pub(super) fn newest(&self) -> Arc<Vec<Filesystem>> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn list() -> String {
    // Those of PID 1: systemd makes the mounts of a unit read-only (`ProtectSystem=strict`).
    let file = File::open("/proc/1/mountinfo").or_else(|_| File::open("/proc/self/mountinfo"));
    let mut text = Vec::new();
    let read = file.and_then(|file| file.take(MAX_LIST_BYTES).read_to_end(&mut text));
    read.map(|_| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// Asks each mount of the list.
fn look(list: &str) -> Vec<Filesystem> {
    let ask = |mount: Mount| {
        let path = mount.path.clone();
        let owner = Owner { uid: mount.uid, place: Place::Device(mount.dev) };
        let answer = WORKERS.run(owner, move || statvfs(&path)).ok().and_then(Result::ok);
        let mut shown = mount.shown;
        let Some(stat) = answer else { return Filesystem { error: true, ..shown } };
        let block = stat.fragment_size();
        shown.size_bytes = Some(stat.blocks() * block);
        shown.free_bytes = Some(stat.blocks_free() * block);
        shown.available_bytes = Some(stat.blocks_available() * block);
        shown.files = Some(stat.files());
        shown.files_free = Some(stat.files_free());
        shown
    };
    mounts(list).into_iter().map(ask).collect()
}

/// A mount to ask.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    path: PathBuf,
    /// `major << 20 | minor`, as elsewhere in the collector.
    dev: u64,
    /// Who serves it, if it is a user's program.
    uid: u32,
    shown: Filesystem,
}

/// The mounts that are shown: of several on one place the last, which hides the others.
fn mounts(list: &str) -> Vec<Mount> {
    let all: Vec<Mount> = list.lines().filter_map(parse).collect();
    let last: HashMap<PathBuf, usize> =
        all.iter().enumerate().map(|(at, mount)| (mount.path.clone(), at)).collect();
    let shown =
        all.into_iter().enumerate().filter(|(at, mount)| last[&mount.path] == *at && is_shown(&mount.shown));
    shown.map(|(_, mount)| mount).take(MAX_MOUNTS).collect()
}

fn is_shown(mount: &Filesystem) -> bool {
    let place = &mount.mountpoint;
    let is_at = |left_out: &&str| {
        place.strip_prefix(*left_out).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !LEFT_OUT_KINDS.contains(&&*mount.fstype)
        && !LEFT_OUT_PLACES.iter().any(is_at)
        && !LEFT_OUT_BELOW.iter().any(|left_out| place.starts_with(left_out))
        && place.len() <= MAX_PATH_BYTES
}

/// `36 35 254:0 / /mnt rw,noatime shared:1 - ext4 /dev/vda1 rw,user_id=0` (Documentation/filesystems/proc.rst, 3.5).
fn parse(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let place: Vec<&str> = place.split(' ').collect();
    let [_, _, dev, _, point, options, ..] = place[..] else { return None };
    let (major, minor) = dev.split_once(':')?;
    let mut kind = kind.split(' ');
    let (fstype, device, its_options) = (kind.next()?, kind.next()?, kind.next().unwrap_or_default());
    let has = |options: &str, word: &str| options.split(',').any(|option| option == word);
    let uid = its_options.split(',').find_map(|option| option.strip_prefix("user_id="));
    let mountpoint = unescaped(point);
    Some(Mount {
        path: PathBuf::from(&mountpoint),
        dev: major.parse::<u64>().ok()? << 20 | minor.parse::<u64>().ok()?,
        uid: uid.and_then(|uid| uid.parse().ok()).unwrap_or(0),
        shown: Filesystem {
            device: unescaped(device),
            fstype: fstype.to_owned(),
            mountpoint,
            readonly: has(options, "ro") || has(its_options, "ro"),
            ..Filesystem::default()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n\
        22 21 0:23 / /proc rw - proc proc rw\n\
        23 21 0:24 / /sys/fs/bpf rw - bpf none rw\n\
        24 21 0:25 / /run rw,nosuid - tmpfs tmpfs rw,size=1k\n\
        25 21 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro\n\
        26 21 254:2 / /mnt/my\\040disk\\134x ro,noatime - xfs /dev/vdb ro\n\
        27 21 0:40 / /home/u/m rw,nosuid - fuse.sshfs u@there:/x rw,user_id=1000,group_id=1000\n\
        28 21 0:41 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n\
        29 21 0:42 / /var/lib/docker/volumes/v rw - xfs /dev/vdc rw\n\
        30 21 254:3 / /run rw - ext4 /dev/vdd rw\n\
        31 21 0:43 / /developer rw - ext4 /dev/vde rw\n\
        nonsense\n";

    #[test]
    fn mounts_of_disks_are_shown_and_the_kernels_own_are_not() {
        let mounts = mounts(LIST);
        let shown: Vec<_> = mounts
            .iter()
            .map(|m| (&*m.shown.mountpoint, &*m.shown.fstype, m.shown.readonly, m.uid))
            .collect();
        assert_eq!(
            shown,
            [
                ("/", "ext4", false, 0),
                ("/mnt/my disk\\x", "xfs", true, 0),
                ("/home/u/m", "fuse.sshfs", false, 1000),
                ("/run", "ext4", false, 0),
                ("/developer", "ext4", false, 0),
            ]
        );
        assert_eq!(mounts[0].dev, 254 << 20 | 1);
        let many: String = (0..1000)
            .map(|n| format!("1 1 8:{n} / /m{n} rw - ext4 /dev/x rw"))
            .collect::<Vec<_>>()
            .join("\n");
        assert_eq!(super::mounts(&many).len(), MAX_MOUNTS);
    }

    #[test]
    fn a_file_system_says_what_statvfs_says_and_one_that_is_gone_has_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        let line =
            format!("1 1 8:1 / {path} rw - ext4 /dev/x rw\n2 1 8:2 / {path}/gone rw - ext4 /dev/y rw\n");
        let [found, gone] = &look(&line)[..] else { panic!("two mounts") };
        let stat = statvfs(dir.path()).unwrap();
        assert_eq!(found.size_bytes, Some(stat.blocks() * stat.fragment_size()));
        assert!(
            found.available_bytes <= found.free_bytes && found.free_bytes <= found.size_bytes && !found.error
        );
        assert_eq!((gone.error, gone.size_bytes), (true, None));
    }

    #[test]
    fn the_thread_looks_at_this_host() {
        let filesystems = Filesystems::start();
        while filesystems.newest().is_empty() && !look(&list()).is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(filesystems.newest().len(), look(&list()).len());
    }
}
