//! How much a workload has done, and whether it is to be faulty from now on, in memory that it shares with the test: reading
//! and counting make no system call that the agent would observe.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The variable that names a workload's file.
pub const VARIABLE: &str = "S7MPA_METER";

/// The shared memory. All zeroes is a new one.
#[derive(Debug)]
#[repr(C)]
struct Page {
    done: AtomicU64,
    faulty: AtomicU32,
    number: AtomicU32,
}

/// One workload's.
#[derive(Debug, Clone, Copy)]
pub struct Meter(&'static Page);

impl Meter {
    /// Maps the file, made if it is not there. It stays mapped as long as the process lives: one page.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .expect("a file");
        let size = size_of::<Page>();
        file.set_len(size as u64).expect("a page");
        let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping of a file that is as long as it; nothing of this process is touched.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), size, access, shared, file.as_raw_fd(), 0) };
        assert_ne!(page, libc::MAP_FAILED, "shared memory");
        // SAFETY: mapped above, aligned to a page, never unmapped; any bytes are a `Page`, and all access is atomic.
        Self(unsafe { &*page.cast() })
    }

    /// Program's side: the meter it was started with, or one that no process reads.
    #[must_use]
    pub fn own() -> Self {
        static UNREAD: Page =
            Page { done: AtomicU64::new(0), faulty: AtomicU32::new(0), number: AtomicU32::new(0) };
        std::env::var_os(VARIABLE).map_or(Self(&UNREAD), |path| Self::at(Path::new(&path)))
    }

    /// Program's side: so much more is done.
    pub fn add(self, count: u64) {
        self.0.done.fetch_add(count, Ordering::Relaxed);
    }

    /// Program's side: whether to do it badly now.
    #[must_use]
    pub fn faulty(self) -> bool {
        self.0.faulty.load(Ordering::Relaxed) != 0
    }

    /// Program's side: reports the number of a process, or of a port, that the test cannot know otherwise.
    pub fn tell(self, number: u32) {
        self.0.number.store(number, Ordering::Relaxed);
    }

    /// Test's side: all that was done.
    #[must_use]
    pub fn done(self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }

    /// Test's side: from now on badly.
    pub fn spoil(self) {
        self.0.faulty.store(1, Ordering::Relaxed);
    }

    /// Test's side: the number that the program has reported; 0: none yet.
    #[must_use]
    pub fn told(self) -> u32 {
        self.0.number.load(Ordering::Relaxed)
    }
}
