//! An initramfs (cpio, "newc") with a few programs and the libraries they are linked to.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// `S_IFDIR | 0755` and `S_IFREG | 0755`.
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Initramfs {
    bytes: Vec<u8>,
    directories: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

impl Initramfs {
    /// Adds a program under `/bin` (or as `/init`), without debug information, and its libraries where they lie.
    pub(crate) fn program(&mut self, file: &Path, at: &str) -> Result<()> {
        let stripped = std::env::temp_dir().join(format!("vmtest-{}", std::process::id()));
        shell::run_quiet(Command::new("strip").arg("-o").arg(&stripped).arg(file))?;
        let content = fs::read(&stripped)?;
        let _ = fs::remove_file(&stripped);
        self.file(Path::new(at), &content)?;
        for library in libraries(&shell::capture(Command::new("ldd").arg(file))?) {
            if self.files.contains(&library) {
                continue;
            }
            let content = fs::read(&library).with_context(|| format!("cannot read {}", library.display()))?;
            self.file(&library, &content)?;
        }
        Ok(())
    }

    /// Adds a file, and the directories above it.
    pub(crate) fn file(&mut self, at: &Path, content: &[u8]) -> Result<()> {
        let above: Vec<PathBuf> =
            at.ancestors().skip(1).filter(|dir| dir.parent().is_some()).map(Path::to_path_buf).collect();
        for directory in above.into_iter().rev() {
            if self.directories.insert(directory.clone()) {
                self.entry(&directory, DIRECTORY, &[])?;
            }
        }
        self.files.insert(at.to_path_buf());
        self.entry(at, PROGRAM, content)
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry(Path::new("/TRAILER!!!"), 0, &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, at: &Path, mode: u32, content: &[u8]) -> Result<()> {
        let name = at.strip_prefix("/").unwrap_or(at).to_str().context("a path in UTF-8")?;
        let size = u32::try_from(content.len()).context("a file below 4 GiB")?;
        let inode = u32::try_from(self.directories.len() + self.files.len()).unwrap_or(u32::MAX);
        // inode, mode, uid, gid, links, mtime, size, device (2), special device (2), length of the name, checksum
        let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, u32::try_from(name.len() + 1)?, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            write!(self.bytes, "{field:08x}")?;
        }
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
        Ok(())
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Files named by `ldd`: after `=>`, and the loader, which stands alone.
fn libraries(ldd: &str) -> Vec<PathBuf> {
    ldd.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_read_from_ldd() {
        let ldd = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\t/lib64/ld.so.2 (0x3)\n";
        assert_eq!(libraries(ldd), [Path::new("/lib/libc.so.6"), Path::new("/lib64/ld.so.2")]);
    }

    #[test]
    fn cpio_unpacks_the_archive() {
        let mut archive = Initramfs::default();
        archive.file(Path::new("/etc/a/b"), b"hello").unwrap();
        archive.file(Path::new("/etc/c"), b"").unwrap();
        let bytes = archive.finish().unwrap();
        // Two directories, two files, the trailer; all headers are aligned.
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches("070701").count(), 5);
        assert_eq!(bytes.len() % 4, 0);
        let names: Vec<usize> = ["etc\0", "etc/a\0", "etc/a/b\0", "etc/c\0", "TRAILER!!!\0"]
            .iter()
            .map(|name| text.find(&format!("00000000{name}")).expect("it is there"))
            .collect();
        assert!(names.is_sorted(), "a directory comes before what is in it");
    }
}
