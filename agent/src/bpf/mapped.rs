//! BPF arrays mapped into this process: reading them costs no system call.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;

/// A `BPF_F_MMAPABLE` array (since 5.5), read-only unless made [`Mapped::writable`]. `T` is an ABI type: integers without padding.
#[derive(Debug)]
pub(crate) struct Mapped<T> {
    base: NonNull<T>,
    len: usize,
}

// SAFETY: the mapping lives until drop and is only read and written by volatile accesses; any thread may do so.
unsafe impl<T> Send for Mapped<T> {}

impl<T: Copy> Mapped<T> {
    pub(crate) fn new(fd: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        Self::map(fd, len, libc::PROT_READ)
    }

    pub(crate) fn writable(fd: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        Self::map(fd, len, libc::PROT_READ | libc::PROT_WRITE)
    }

    fn map(fd: BorrowedFd<'_>, len: usize, protection: libc::c_int) -> io::Result<Self> {
        // SAFETY: a fresh mapping of a file descriptor that is open.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len * size_of::<T>(),
                protection,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { base, len })
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The element at `index`, as it is now. The kernel may be writing it: fields may be of different moments.
    pub(crate) fn get(&self, index: usize) -> T {
        assert!(index < self.len, "index {index} of {}", self.len);
        // SAFETY: in bounds; the kernel writes plain integers.
        unsafe { self.base.add(index).read_volatile() }
    }

    /// The integer at byte `offset` of the element at `index`.
    pub(crate) fn field<F: Copy>(&self, index: usize, offset: usize) -> F {
        assert!(
            index < self.len && offset + size_of::<F>() <= size_of::<T>(),
            "{index} + {offset} is outside"
        );
        // SAFETY: in bounds; callers pass the offset of a field of type `F`.
        unsafe { self.base.add(index).byte_add(offset).cast::<F>().read_volatile() }
    }

    /// Writes the element at `index`, field by field in no order. Only where the mapping is [`Self::writable`].
    pub(crate) fn set(&self, index: usize, value: T) {
        assert!(index < self.len, "index {index} of {}", self.len);
        // SAFETY: in bounds.
        unsafe { self.base.add(index).write_volatile(value) }
    }

    /// Writes the integer at byte `offset` of the element at `index`. Only where the mapping is [`Self::writable`].
    pub(crate) fn put<F: Copy>(&self, index: usize, offset: usize, value: F) {
        assert!(
            index < self.len && offset + size_of::<F>() <= size_of::<T>(),
            "{index} + {offset} is outside"
        );
        // SAFETY: in bounds; callers pass the offset of a field of type `F`.
        unsafe { self.base.add(index).byte_add(offset).cast::<F>().write_volatile(value) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.len).map(|i| self.get(i))
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: unmaps what `new` mapped, once.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len * size_of::<T>()) };
    }
}
