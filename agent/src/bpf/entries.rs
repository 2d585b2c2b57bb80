//! The table of syscalls in flight, mapped: reading it costs no system call.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;

use agent_common::abi::syscalls::SyscallEntry;

/// The `SYSCALL_ENTRY` array (`BPF_F_MMAPABLE`, since 5.5), read-only.
#[derive(Debug)]
pub(crate) struct Entries {
    base: NonNull<SyscallEntry>,
    slots: usize,
}

// SAFETY: the mapping is read-only here and lives until drop; any thread may read it.
unsafe impl Send for Entries {}

impl Entries {
    pub(crate) fn map(fd: BorrowedFd<'_>, slots: usize) -> io::Result<Self> {
        // SAFETY: a fresh mapping of a file descriptor that is open.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                slots * size_of::<SyscallEntry>(),
                libc::PROT_READ,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { base, slots })
    }

    /// The slot of a thread. A torn read is possible and harmless: the next window sees the settled one.
    pub(crate) fn slot(&self, tid: u32) -> SyscallEntry {
        let index = tid as usize & (self.slots - 1);
        // SAFETY: index < slots, the mapping is that long, the kernel writes plain integers.
        unsafe { self.base.add(index).read_volatile() }
    }

    /// Entries of calls in flight.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = SyscallEntry> + '_ {
        // SAFETY: as in `slot`.
        (0..self.slots).map(|i| unsafe { self.base.add(i).read_volatile() }).filter(|e| e.start_ns != 0)
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        // SAFETY: maps what `map` mapped, once.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.slots * size_of::<SyscallEntry>()) };
    }
}
