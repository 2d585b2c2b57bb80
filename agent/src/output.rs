//! Files that a command writes for its user.
//!
//! They contain names of processes, files and functions of all users, so other users may not read them unless the user asks for
//! that. The command writes a new file beside the target and renames it over the target. So a process that has the old file
//! open does not see the new contents, a hard link is not written through, and a command that fails leaves the old file.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::{Builder, NamedTempFile};

/// Mode of the files.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputMode {
    /// Permissions of the file that is written, in octal; 644 lets everybody read it
    #[arg(id = "output_mode", long = "output-mode", value_name = "MODE", default_value = "600", value_parser = octal)]
    bits: u32,
}

impl OutputMode {
    /// Its owner alone.
    pub const PRIVATE: Self = Self { bits: 0o600 };
}

fn octal(text: &str) -> Result<u32, String> {
    let bits = u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o777);
    bits.ok_or_else(|| "not an octal mode such as 600 or 644".to_owned())
}

/// A file in the making.
#[derive(Debug)]
pub enum Output {
    /// One that becomes `path` by [`Output::finish`].
    Replaces {
        /// The file until then.
        new: NamedTempFile,
        /// The target.
        path: PathBuf,
    },
    /// A terminal, a pipe or a device, as the user named it.
    Stream(File),
}

impl Output {
    /// Makes it. Nothing is at `path` before [`Self::finish`].
    pub fn create(path: &Path, mode: OutputMode) -> io::Result<Self> {
        let dir = match path.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        };
        let shared = fs::metadata(dir)?.mode() & 0o002 != 0;
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_symlink() => {
                if shared {
                    return Err(refused(
                        path,
                        "is a symbolic link in a directory that everybody may write to",
                    ));
                }
                match fs::canonicalize(path) {
                    // What a descriptor of ours leads to (`/dev/stdout`) is open already, and has no place of its own.
                    Ok(target) if !leads_to_descriptor(path) => Self::create(&target, mode),
                    _ => stream(path).map(Self::Stream),
                }
            }
            Ok(meta) if !meta.is_file() => {
                if meta.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                let kind = meta.file_type();
                if shared && !kind.is_char_device() && !is_ours(&meta) {
                    return Err(refused(path, "belongs to another user, who would get what is written"));
                }
                stream(path).map(Self::Stream)
            }
            Ok(meta) if shared && !is_ours(&meta) => Err(refused(path, "belongs to another user")),
            Ok(_) | Err(_) => {
                let permissions = Permissions::from_mode(mode.bits);
                let new =
                    Builder::new().prefix(".agent-").permissions(permissions.clone()).tempfile_in(dir)?;
                // Whatever the umask is: the user has said what he wants.
                new.as_file().set_permissions(permissions)?;
                Ok(Self::Replaces { new, path: path.to_owned() })
            }
        }
    }

    /// Where to write.
    pub fn file(&mut self) -> &mut File {
        match self {
            Self::Replaces { new, .. } => new.as_file_mut(),
            Self::Stream(file) => file,
        }
    }

    /// Puts it in its place, and gives it back for more to be written.
    pub fn finish(self) -> io::Result<File> {
        match self {
            Self::Replaces { new, path } => Ok(new.persist(path)?),
            Self::Stream(file) => Ok(file),
        }
    }
}

fn is_ours(meta: &fs::Metadata) -> bool {
    meta.uid() == nix::unistd::geteuid().as_raw()
}

fn leads_to_descriptor(path: &Path) -> bool {
    let mut path = path.to_owned();
    // /dev/stdout → /proc/self/fd/1 → what is open there.
    while let Ok(target) = fs::read_link(&path) {
        if path.starts_with("/proc") || path.starts_with("/dev/fd") {
            return true;
        }
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    false
}

fn stream(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY).open(path)
}

fn refused(path: &Path, why: &str) -> io::Error {
    let text = format!("{} {why}; remove it, or write elsewhere", path.display());
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn write(path: &Path, mode: OutputMode) -> io::Result<()> {
        let mut output = Output::create(path, mode)?;
        output.file().write_all(b"new")?;
        output.finish().map(|_| ())
    }

    #[test]
    fn a_file_is_its_owners_alone_also_where_one_was_that_all_could_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.svg");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let mut reader = File::open(&path).unwrap();
        write(&path, OutputMode::PRIVATE).unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"new".to_vec()));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "old", "who had it open sees nothing new");
        write(&path, OutputMode { bits: 0o644 }).unwrap();
        assert_eq!(mode(&path), 0o644);
    }

    #[test]
    fn a_command_that_fails_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.svg");
        fs::write(&path, "old").unwrap();
        drop(Output::create(&path, OutputMode::PRIVATE).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn in_a_directory_that_is_open_to_all_no_link_is_followed_and_no_other_users_file_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, link) = (dir.path().join("secret"), dir.path().join("out.svg"));
        fs::write(&secret, "old").unwrap();
        symlink(&secret, &link).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(write(&link, OutputMode::PRIVATE).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(fs::read(&secret).unwrap(), b"old");
        if nix::unistd::geteuid().is_root() {
            let theirs = dir.path().join("theirs");
            fs::write(&theirs, "").unwrap();
            nix::unistd::chown(&theirs, Some(65_534.into()), None).unwrap();
            let error = write(&theirs, OutputMode::PRIVATE).unwrap_err();
            assert!(error.to_string().contains("belongs to another user"), "{error}");
            let fifo = dir.path().join("fifo");
            nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
            nix::unistd::chown(&fifo, Some(65_534.into()), None).unwrap();
            assert!(Output::create(&fifo, OutputMode::PRIVATE).is_err());
        }
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        write(&link, OutputMode::PRIVATE).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "in a directory of ours it is");
        assert_eq!((fs::read(&secret).unwrap(), mode(&secret)), (b"new".to_vec(), 0o600));
    }

    #[test]
    fn what_the_shell_has_opened_is_written_to_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("log")).unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        assert!(matches!(Output::create(path.as_ref(), OutputMode::PRIVATE), Ok(Output::Stream(_))));
        assert!(matches!(Output::create("/dev/null".as_ref(), OutputMode::PRIVATE), Ok(Output::Stream(_))));
        assert!(octal("644").is_ok() && octal("1777").is_err() && octal("x").is_err());
    }
}
