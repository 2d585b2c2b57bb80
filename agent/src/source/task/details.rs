//! The files of `/proc/PID` that are expensive to read: `io`, `fd`, `status`, `limits`, `cgroup`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use diagnosis::window::ContainerLabels;
use procfs::prelude::*;
use procfs::process::{LimitValue, Limits};

use super::stat::number;
use super::{Reader, cgroup};

/// Cumulative storage I/O, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Io {
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) cancelled: u64,
}

/// Where a process belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) cgroup: Arc<str>,
    pub(super) cpu_cgroup: Option<Arc<str>>,
    pub(super) container: Option<Arc<str>>,
    pub(super) labels: Option<Arc<ContainerLabels>>,
    pub(super) unit: Option<Arc<str>>,
    /// The container is one of a user's own: root's runtimes know nothing of it.
    pub(super) of_user: bool,
}

impl Default for Place {
    fn default() -> Self {
        let (cgroup, none) = ("/".into(), None);
        Self { cgroup, cpu_cgroup: None, container: none, labels: None, unit: None, of_user: false }
    }
}

impl Reader {
    /// Reads `/proc/<tgid>/<file>` into the shared buffer; `None` when it is gone or not allowed.
    pub(super) fn file(&mut self, tgid: u32, file: &str) -> Option<&[u8]> {
        let mut opened = File::open(self.path(tgid, file)).ok()?;
        self.fill(&mut opened)
    }

    /// A start that `stat` shows, as the kernel has it.
    pub(super) const fn kernel_ticks(&self, shown: u64) -> u64 {
        shown.saturating_add_signed(-self.ahead_ticks)
    }

    /// Its path, in the shared buffer.
    pub(super) fn path(&mut self, tgid: u32, file: &str) -> &str {
        self.path.clear();
        // SANITY: writing to a String cannot fail.
        write!(self.path, "/proc/{tgid}/{file}").expect("a string takes everything");
        &self.path
    }

    /// One read of up to the buffer's size: the files read here are made whole in one (`single_open`).
    pub(super) fn fill(&mut self, file: &mut File) -> Option<&[u8]> {
        let length = file.read(&mut self.buffer).ok()?;
        Some(&self.buffer[..length])
    }

    /// Reads a file that is kept open from its start.
    pub(super) fn again(&mut self, file: &File) -> Option<&[u8]> {
        let length = file.read_at(&mut self.buffer, 0).ok()?;
        Some(&self.buffer[..length])
    }

    /// Opens the `schedstat` of a process to keep; `None` when there are enough.
    pub(super) fn open_sched(&mut self, tgid: u32) -> Option<File> {
        let room = self.sched_info && self.kept_open < self.may_keep;
        let opened = room.then(|| File::open(self.path(tgid, "schedstat")).ok())??;
        self.kept_open += 1;
        Some(opened)
    }

    /// Opens another file of a process to keep; `None` when there are enough. Half of all are for `schedstat`: it is
    /// read most often.
    pub(super) fn open(&mut self, tgid: u32, file: &str) -> Option<File> {
        if self.kept_open >= self.may_keep / 2 {
            return None;
        }
        let opened = File::open(self.path(tgid, file)).ok()?;
        self.kept_open += 1;
        Some(opened)
    }

    /// Open descriptors: the size of the directory since Linux 6.2, its entries before.
    pub(super) fn fds(&mut self, tgid: u32) -> Option<u32> {
        let path = self.path(tgid, "fd");
        match std::fs::metadata(path).ok()?.len() {
            0 => std::fs::read_dir(path).ok().map(|entries| entries.count() as u32),
            count => Some(count as u32),
        }
    }

    pub(super) fn swap_bytes(&mut self, tgid: u32) -> Option<u64> {
        parse_swap(self.file(tgid, "status")?)
    }

    pub(super) fn fd_limit(&mut self, tgid: u32) -> Option<u64> {
        match Limits::from_read(self.file(tgid, "limits")?).ok()?.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        }
    }

    pub(super) fn place(&mut self, tgid: u32) -> Option<Place> {
        let text = std::str::from_utf8(self.file(tgid, "cgroup")?).ok()?;
        let path = cgroup::path(text);
        // On a hybrid host the container may be named in a hierarchy other than the one shown.
        let container = cgroup::container(path).or_else(|| text.lines().find_map(cgroup::container));
        let of_user = container.is_some() && text.lines().any(cgroup::is_of_user);
        let unit = if container.is_none() { cgroup::unit(text) } else { None };
        let (container, unit): (Option<Arc<str>>, Option<Arc<str>>) =
            (container.map(Into::into), unit.map(Into::into));
        let cpu = cgroup::with_quota(text);
        let cpu_cgroup = cpu.filter(|cpu| *cpu != path).map(Into::into);
        let mut place = Place { cgroup: path.into(), cpu_cgroup, container, labels: None, unit, of_user };
        if let Some(id) = place.container.as_ref().filter(|_| !of_user) {
            place.labels = self.containers.labels(id);
        }
        Some(place)
    }
}

pub(super) fn parse_io(text: &[u8]) -> Io {
    let mut io = Io::default();
    for line in text.split(|&byte| byte == b'\n') {
        let Some(space) = line.iter().position(|&byte| byte == b' ') else { continue };
        let value = number(&line[space + 1..]);
        match &line[..space] {
            b"read_bytes:" => io.read = value,
            b"write_bytes:" => io.written = value,
            b"cancelled_write_bytes:" => io.cancelled = value,
            _ => {}
        }
    }
    io
}

/// `VmSwap` of `status`, bytes.
fn parse_swap(text: &[u8]) -> Option<u64> {
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"VmSwap:"))?;
    Some(number(line.trim_ascii().strip_suffix(b" kB")?) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_and_swap_are_found_by_name() {
        let io = parse_io(
            b"rchar: 6992\nwchar: 16\nsyscr: 12\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 10\n",
        );
        assert_eq!(io, Io { read: 4096, written: 8192, cancelled: 10 });
        assert_eq!(parse_swap(b"Name:\tx\nVmSwap:\t      12 kB\nThreads:\t1\n"), Some(12 * 1024));
        assert_eq!(parse_swap(b"Name:\tkthreadd\nThreads:\t1\n"), None);
    }
}
