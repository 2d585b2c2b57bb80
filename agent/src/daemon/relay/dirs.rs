//! The relay's directories: made, given to its user, an old spool moved into them.
//!
//! An unprivileged user owns their content: symbolic links are not followed, and a file with a second name elsewhere keeps its owner
//! (it could be a hard link to a file of root).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::fcntl::AtFlags;
use nix::unistd::{Gid, Uid, fchownat};

use super::Owner;
use crate::config::Config;
use crate::daemon::make_dir;

/// Levels of a directory that get the relay's owner: the spool lies in the first one.
const MAX_CHOWN_DEPTH: u32 = 3;

/// Makes the directories of store, spool and secrets, and gives them to the relay's user.
pub(super) fn make(config: &Config, owner: Owner) -> anyhow::Result<()> {
    let (state, spool) = (config.server_dir(), config.spool_dir());
    make_dir(&state, 0o700)?;
    make_dir(&config.server_run_dir(), 0o700)?;
    let old = config.state_dir.join("spool");
    move_spool(&old, &spool)
        .with_context(|| format!("cannot move the spool from {} to {}", old.display(), spool.display()))?;
    let Some((uid, gid)) = owner else { return Ok(()) };
    for dir in [&spool, &state, &config.server_run_dir()] {
        give(dir, uid, gid).with_context(|| format!("cannot give {} to the relay's user", dir.display()))?;
    }
    Ok(())
}

/// Moves a spool of version 0.1, when root owned it, from the collector's directory.
fn move_spool(old: &Path, new: &Path) -> io::Result<()> {
    let ours = |name: &Path| {
        name.extension().is_some_and(|ext| ext == "seg") || name.ends_with("meta") || name.ends_with("clean")
    };
    let Ok(entries) = fs::read_dir(old) else { return Ok(()) };
    let files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| ours(path)).collect();
    if files.is_empty() {
        return Ok(());
    }
    if new.symlink_metadata().is_ok() {
        tracing::warn!(
            old = %old.display(),
            "an old spool is left there: there is a newer one; its windows are not sent"
        );
        return Ok(());
    }
    match fs::rename(old, new) {
        // The two directories may be mounted one by one, as systemd does it.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_spool(&files, new)?,
        result => return result,
    }
    fs::remove_dir_all(old)
}

fn copy_spool(files: &[PathBuf], new: &Path) -> io::Result<()> {
    let tmp = new.with_extension("moving");
    match fs::remove_dir_all(&tmp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(&tmp)?;
    let dir = open_dir(&tmp)?;
    for file in files {
        let Some(name) = file.file_name() else { continue };
        let mut to =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(inside(&dir).join(name))?;
        io::copy(&mut File::open(file)?, &mut to)?;
        to.sync_all()?;
    }
    fs::rename(&tmp, new)
}

/// A directory, if it is one and no link to one.
fn open_dir(path: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// A path to the open directory that stays valid when it is moved.
fn inside(dir: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()))
}

/// Makes this user the owner of a directory, and of what a relay of another user (or systemd) left in it.
fn give(path: &Path, uid: Uid, gid: Gid) -> io::Result<()> {
    match open_dir(path) {
        // The spool of the first start.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(dir) => give_dir(&dir, uid, gid, MAX_CHOWN_DEPTH),
    }
}

fn give_dir(dir: &File, uid: Uid, gid: Gid, depth: u32) -> io::Result<()> {
    if dir.metadata()?.uid() == uid.as_raw() {
        return Ok(());
    }
    for entry in fs::read_dir(inside(dir))? {
        let path = inside(dir).join(entry?.file_name());
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path)?;
        let found = file.metadata()?;
        if found.is_dir() && depth > 0 {
            give_dir(&open_dir(&path)?, uid, gid, depth - 1)?;
        } else if found.is_file() && found.nlink() == 1 {
            fchownat(&file, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)?;
        }
    }
    // The last: after a crash in the middle the next start begins anew.
    fchown(dir, Some(uid.as_raw()), Some(gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_spool_is_moved_once_and_a_newer_one_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("s7mpa/spool"), dir.path().join("s7mpa-server/spool"));
        fs::create_dir_all(&old).unwrap();
        fs::create_dir_all(new.parent().unwrap()).unwrap();
        fs::write(old.join("lock"), "").unwrap();
        move_spool(&old, &new).unwrap();
        assert!(!new.exists(), "an empty spool is none");
        fs::write(old.join("0000000000000001.seg"), "windows").unwrap();
        fs::write(old.join("meta"), "{}").unwrap();
        move_spool(&old, &new).unwrap();
        assert_eq!(fs::read_to_string(new.join("0000000000000001.seg")).unwrap(), "windows");
        assert!(!old.exists());
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join("0000000000000002.seg"), "older").unwrap();
        move_spool(&old, &new).unwrap();
        assert!(old.join("0000000000000002.seg").exists() && !new.join("0000000000000002.seg").exists());
    }

    #[test]
    fn a_spool_is_copied_between_mounts() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("spool");
        let file = dir.path().join("0000000000000001.seg");
        fs::write(&file, "windows").unwrap();
        // Left by a copy that was cut short.
        fs::create_dir(dir.path().join("spool.moving")).unwrap();
        copy_spool(&[file], &new).unwrap();
        assert_eq!(fs::read_to_string(new.join("0000000000000001.seg")).unwrap(), "windows");
    }

    #[test]
    fn what_has_a_second_name_or_is_a_link_stays_whose_it_is() {
        if !nix::unistd::geteuid().is_root() {
            // Only root can give files away; the whole-program tests run as root.
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (theirs, roots) = (dir.path().join("theirs"), dir.path().join("shadow"));
        fs::create_dir_all(theirs.join("spool")).unwrap();
        fs::write(&roots, "root's").unwrap();
        fs::write(theirs.join("spool/1.seg"), "").unwrap();
        fs::hard_link(&roots, theirs.join("hard")).unwrap();
        std::os::unix::fs::symlink(&roots, theirs.join("soft")).unwrap();
        std::os::unix::fs::symlink(dir.path(), theirs.join("out")).unwrap();
        give(&theirs, Uid::from_raw(65_534), Gid::from_raw(65_534)).unwrap();
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();
        assert_eq!((owner(&theirs), owner(&theirs.join("spool/1.seg"))), (65_534, 65_534));
        assert_eq!((owner(&roots), owner(dir.path())), (0, 0));
        assert!(give(&theirs.join("soft"), Uid::from_raw(1), Gid::from_raw(1)).is_err());
    }
}
