//! What a unit's service sees of the file system.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

/// What `DevicePolicy=closed` leaves: name, major, minor.
const DEVICES: &[(&str, u64, u64)] =
    &[("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// The kernel's messages.
const KMSG: (&str, u64, u64) = ("kmsg", 1, 11);

pub(super) fn confine(writable: &[PathBuf], left: &mut BTreeMap<&str, &str>) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace")?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("private mounts")?;
    match left.remove("DevicePolicy") {
        Some("closed") => close_devices(left.remove("DeviceAllow"))?,
        Some(other) => bail!("DevicePolicy={other} is not known to the tests"),
        None => {}
    }
    let strict = match left.remove("ProtectSystem") {
        Some("strict") => true,
        None => false,
        Some(other) => bail!("ProtectSystem={other} is not known to the tests"),
    };
    if strict {
        for path in writable {
            mount(Some(path), path, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
                .with_context(|| path.display().to_string())?;
        }
        set_read_only(Path::new("/"), true)?;
        for path in ["/dev", "/proc", "/sys"].map(PathBuf::from).iter().chain(writable) {
            set_read_only(path, false)?;
        }
    }
    if left.remove("ProtectControlGroups") == Some("yes") {
        set_read_only(Path::new("/sys/fs/cgroup"), true)?;
    }
    // It is read-only already, and a test has nothing of its own there.
    match left.remove("ProtectHome") {
        None => {}
        Some("read-only") if strict => {}
        Some(other) => bail!("ProtectHome={other} is not known to the tests"),
    }
    if left.remove("ProtectHostname") == Some("yes") {
        unshare(CloneFlags::CLONE_NEWUTS).context("a namespace for the host's name")?;
    }
    // They remove a capability and hide files; no process of the tests needs these.
    left.remove("ProtectKernelModules");
    left.remove("ProtectClock");

    Ok(())
}

/// `/dev` with the devices that the policy allows; the kernel would refuse to open others.
fn close_devices(allowed: Option<&str>) -> Result<()> {
    let kmsg = match allowed {
        None => None,
        Some("/dev/kmsg r") => Some(&KMSG),
        Some(other) => bail!("DeviceAllow={other} is not known to the tests"),
    };
    let none = None::<&str>;
    mount(Some("tmpfs"), "/dev", Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755")).context("/dev")?;
    for (name, major, minor) in DEVICES.iter().chain(kmsg) {
        let path = Path::new("/dev").join(name);
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&path, SFlag::S_IFCHR, mode, makedev(*major, *minor))
            .with_context(|| path.display().to_string())?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    }
    std::fs::create_dir("/dev/shm")?;
    mount(Some("tmpfs"), "/dev/shm", Some("tmpfs"), MsFlags::MS_NOSUID, none).context("/dev/shm")?;
    for (link, to) in [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1")] {
        std::os::unix::fs::symlink(to, Path::new("/dev").join(link))?;
    }
    Ok(())
}

/// Makes the mounts at and below `path` read-only, or writable.
fn set_read_only(path: &Path, yes: bool) -> Result<()> {
    /// `MOUNT_ATTR_RDONLY` (`include/uapi/linux/mount.h`).
    const READ_ONLY: u64 = 1;
    let (attr_set, attr_clr) = if yes { (READ_ONLY, 0) } else { (0, READ_ONLY) };
    let attributes = libc::mount_attr { attr_set, attr_clr, propagation: 0, userns_fd: 0 };
    let c_path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: path and structure outlive the call, the size is the structure's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c_path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    nix::errno::Errno::result(result).map(drop).with_context(|| format!("mount_setattr {}", path.display()))
}
