//! `bpf(2)` batch commands and map memory: what aya has no call for.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// `BPF_MAP_LOOKUP_ELEM`.
const LOOKUP_ELEM: libc::c_long = 1;
/// `BPF_MAP_LOOKUP_BATCH` (since 5.6).
const LOOKUP_BATCH: libc::c_long = 24;
/// `BPF_MAP_DELETE_BATCH` (since 5.6).
const DELETE_BATCH: libc::c_long = 27;

/// The `batch` member of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

fn bpf(command: libc::c_long, attr: &mut BatchAttr) -> io::Result<()> {
    // SAFETY: `attr` is the documented layout and lives for the call; the buffers it names are checked by callers.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<BatchAttr>() as libc::c_uint,
        )
    };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Buffers of a batch read, kept between calls.
#[derive(Debug)]
pub(crate) struct Batch<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K: Copy + Default, V: Copy + Default> Batch<K, V> {
    /// Room for `entries` a call: what a bucket overflows is read again with twice the room.
    pub(crate) fn new(entries: usize) -> Self {
        Self { keys: vec![K::default(); entries], values: vec![V::default(); entries] }
    }

    /// Calls `each` for every entry of a hash map. Entries that come or go meanwhile may or may not be seen.
    pub(crate) fn read(&mut self, map: BorrowedFd<'_>, mut each: impl FnMut(&K, &V)) -> io::Result<usize> {
        // The cursor is the kernel's: a u32 bucket number for hash maps.
        let (mut cursor, mut next) = (0u64, 0u64);
        let mut first = true;
        let mut calls = 0;
        loop {
            let mut attr = BatchAttr {
                in_batch: if first { 0 } else { std::ptr::from_ref(&cursor) as u64 },
                out_batch: std::ptr::from_mut(&mut next) as u64,
                keys: self.keys.as_mut_ptr() as u64,
                values: self.values.as_mut_ptr() as u64,
                count: self.keys.len() as u32,
                map_fd: map.as_raw_fd() as u32,
                ..BatchAttr::default()
            };
            let result = bpf(LOOKUP_BATCH, &mut attr);
            calls += 1;
            let last = match result {
                Ok(()) => false,
                Err(e) if e.raw_os_error() == Some(libc::ENOENT) => true,
                Err(e) if e.raw_os_error() == Some(libc::ENOSPC) => {
                    let room = self.keys.len() * 2;
                    self.keys.resize(room, K::default());
                    self.values.resize(room, V::default());
                    continue;
                }
                Err(e) => return Err(e),
            };
            let got = (attr.count as usize).min(self.keys.len());
            for (key, value) in self.keys[..got].iter().zip(&self.values[..got]) {
                each(key, value);
            }
            if last {
                return Ok(calls);
            }
            cursor = next;
            first = false;
        }
    }
}

/// Deletes keys of a hash map; ones that are gone already are skipped. Returns how many were deleted.
pub(crate) fn delete<K: Copy>(map: BorrowedFd<'_>, keys: &[K]) -> io::Result<u64> {
    let (mut at, mut deleted) = (0, 0);
    while at < keys.len() {
        let mut attr = BatchAttr {
            keys: keys[at..].as_ptr() as u64,
            count: (keys.len() - at) as u32,
            map_fd: map.as_raw_fd() as u32,
            ..BatchAttr::default()
        };
        match bpf(DELETE_BATCH, &mut attr) {
            Ok(()) => return Ok(deleted + (keys.len() - at) as u64),
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {
                deleted += u64::from(attr.count);
                at += attr.count as usize + 1;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(deleted)
}

/// The part of `union bpf_attr` that names one element.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Looks one key up; `None` when it is not there.
pub(crate) fn lookup<K: Copy, V: Copy + Default>(map: BorrowedFd<'_>, key: &K) -> Option<V> {
    let mut value = V::default();
    let mut attr = ElementAttr {
        map_fd: map.as_raw_fd() as u32,
        pad: 0,
        key: std::ptr::from_ref(key) as u64,
        value: std::ptr::from_mut(&mut value) as u64,
        flags: 0,
    };
    // SAFETY: `attr` is the documented layout; `K` and `V` are the map's types in every use.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LOOKUP_ELEM,
            std::ptr::from_mut(&mut attr),
            size_of::<ElementAttr>() as libc::c_uint,
        )
    };
    (rc == 0).then_some(value)
}

/// Kernel memory a map holds, from its `fdinfo` (`memlock`; real use since 6.4, the worst case before).
pub(crate) fn map_bytes(map: BorrowedFd<'_>) -> u64 {
    fdinfo(map, "memlock:")
}

/// Runs of a program that the kernel skipped since it was loaded; 0 before 5.12.
pub(crate) fn recursion_misses(program: BorrowedFd<'_>) -> u64 {
    fdinfo(program, "recursion_misses:")
}

/// A number in the `fdinfo` of a BPF object; 0 where there is none.
fn fdinfo(fd: BorrowedFd<'_>, key: &str) -> u64 {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    std::fs::read_to_string(path)
        .ok()
        .and_then(|info| info.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()))
        .unwrap_or(0)
}
