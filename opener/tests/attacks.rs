//! What a user may put where root will look.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::Mode;
use opener::Refused;
use opener::file::{self, Root};

fn text(held: &opener::Held) -> String {
    let mut text = String::new();
    held.reader().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn kind(path: &Path) -> &'static str {
    match file::at(path) {
        Err(Refused::NotRegular(kind)) => kind,
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn nothing_but_a_regular_file_is_opened_however_it_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    // Opening a FIFO to read waits for a writer; opening a watchdog starts it.
    nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    symlink("/dev/zero", at("device")).unwrap();
    symlink("fifo", at("link")).unwrap();
    assert_eq!(kind(&at("fifo")), "FIFO");
    assert_eq!(kind(&at("link")), "FIFO");
    assert_eq!(kind(&at("socket")), "socket");
    assert_eq!(kind(&at("device")), "device");
    assert_eq!(kind(dir.path()), "directory");
}

#[test]
fn files_of_the_kernel_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    for path in ["/proc/version", "/proc/self/maps", "/sys/kernel/uevent_seqnum"] {
        let _ = fs::remove_file(&link);
        symlink(path, &link).unwrap();
        for path in [Path::new(path), &link] {
            let opened = file::at(path);
            // Where /sys is not mounted there is nothing to refuse.
            assert!(
                matches!(&opened, Err(Refused::OfKernel | Refused::Unreachable(_))),
                "{}: {opened:?}",
                path.display()
            );
        }
    }
    assert!(matches!(file::at("/proc/version".as_ref()), Err(Refused::OfKernel)));
}

#[test]
fn links_of_proc_into_other_places_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    for target in ["/proc/self/root/etc/passwd", "/proc/1/root/etc/passwd", "/proc/self/exe"] {
        let _ = fs::remove_file(&link);
        symlink(target, &link).unwrap();
        assert!(matches!(file::at(&link), Err(Refused::Unreachable(_))), "{target}");
    }
}

#[test]
fn a_file_that_is_swapped_after_the_check_is_still_the_one_that_was_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map");
    fs::write(&path, "checked").unwrap();
    let held = file::at(&path).unwrap();
    let stamp = held.stamp();
    fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    assert_eq!(text(&held), "checked");
    assert_eq!(held.stamp().map(|stamp| stamp == file::at(&path).unwrap().stamp().unwrap()), Some(false));
    assert!(stamp.is_some());
}

#[test]
fn a_file_written_to_in_place_with_its_time_put_back_has_another_stamp() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("elf");
    fs::write(&path, "before").unwrap();
    let held = file::at(&path).unwrap();
    let (stamp, meta) = (held.stamp(), fs::metadata(&path).unwrap());
    // The clock of file times has ticks of some ms.
    let changed = loop {
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(b"after!").unwrap();
        file.set_modified(meta.modified().unwrap()).unwrap();
        if held.stamp() != stamp {
            break held.stamp();
        }
    };
    assert!(changed.is_some());
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), meta.modified().unwrap());
}

#[test]
fn in_a_directory_that_is_open_to_all_only_the_users_own_plain_file_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("perf-7.map");
    fs::write(&path, "1000 10 f").unwrap();
    let uid = nix::unistd::geteuid();
    let other = if uid.is_root() {
        nix::unistd::chown(&path, Some(65_533.into()), None).unwrap();
        65_534
    } else {
        uid.as_raw() + 1
    };
    let owner = if uid.is_root() { 65_533 } else { uid.as_raw() };
    assert!(matches!(file::owned(Root::Own, &path, other), Err(Refused::Another)));
    assert!(file::owned(Root::Own, &path, owner).is_ok());
    let link = dir.path().join("perf-8.map");
    symlink("/etc/passwd", &link).unwrap();
    // Root's file, but not by the name under which it was asked for.
    assert!(matches!(file::owned(Root::Own, &link, owner), Err(Refused::NotRegular("symbolic link"))));
}

#[test]
fn only_files_that_root_alone_can_write_are_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("libc.so.6");
    fs::copy("/bin/sh", &path).unwrap();
    let root = nix::unistd::geteuid().is_root();
    let trusted = |mode| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        file::at(&path).unwrap().is_trusted()
    };
    assert!(!trusted(0o777) && !trusted(0o775) && !trusted(0o757));
    if root {
        nix::unistd::chown(&path, Some(65_534.into()), None).unwrap();
    }
    assert!(!trusted(0o755), "another user's");
    assert!(file::at("/bin/sh".as_ref()).unwrap().is_trusted());
}

#[test]
fn a_sparse_file_of_a_terabyte_is_opened_and_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let file = file::at(&path).unwrap().reader().unwrap();
    assert_eq!(file.metadata().unwrap().len(), 1 << 40);
}
