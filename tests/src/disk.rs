//! Disks of our own: loop devices on files, and buffers for direct I/O.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::windows::run;

/// A loop device; gone with the value.
#[derive(Debug)]
pub struct Loop(pub String);

impl Loop {
    /// On a new file of `bytes` in `dir`.
    ///
    /// # Panics
    /// When there is no free loop device.
    #[must_use]
    pub fn new(dir: &Path, bytes: u64) -> Self {
        let file = dir.join("disk");
        File::create(&file).and_then(|f| f.set_len(bytes)).expect("a file");
        Self(run("losetup", &["--find", "--show", "--direct-io=on", file.to_str().expect("a path in UTF-8")]))
    }

    /// `loop3`
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.trim_start_matches("/dev/")
    }

    /// Opened past the page cache.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn open(&self) -> File {
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(&self.0).expect("a disk")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = std::process::Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

/// An ext4 on a loop device, mounted; gone with the value.
#[derive(Debug)]
pub struct Mounted {
    /// Where.
    pub dir: PathBuf,
    /// On what.
    pub disk: Loop,
}

impl Mounted {
    /// On a new file of `bytes` in `dir`.
    ///
    /// # Panics
    /// When it cannot be made or mounted.
    #[must_use]
    pub fn new(dir: &Path, bytes: u64) -> Self {
        let disk = Loop::new(dir, bytes);
        run("mkfs.ext4", &["-q", "-F", &disk.0]);
        let at = dir.join("mounted");
        std::fs::create_dir(&at).expect("a directory");
        run("mount", &[&disk.0, at.to_str().expect("a path in UTF-8")]);
        Self { dir: at, disk }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.dir).status();
    }
}

/// A page-aligned buffer, as direct I/O wants it.
#[derive(Debug, Clone)]
#[repr(C, align(4096))]
pub struct Block(pub [u8; 8192]);

impl Default for Block {
    fn default() -> Self {
        Self([7; 8192])
    }
}
