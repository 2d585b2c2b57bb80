//! `bpf(2)` batch commands and map memory: what aya has no call for.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

/// `BPF_MAP_CREATE`.
const CREATE: libc::c_long = 0;
/// `BPF_MAP_LOOKUP_ELEM`.
const LOOKUP_ELEM: libc::c_long = 1;
/// `BPF_MAP_UPDATE_ELEM`.
const UPDATE_ELEM: libc::c_long = 2;
/// `BPF_MAP_DELETE_ELEM`.
const DELETE_ELEM: libc::c_long = 3;
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

/// `bpf(2)`: what the kernel returns, a descriptor or 0.
///
/// # Safety
/// `attr` is the layout that `command` takes, and the addresses in it are those of memory as large as the command needs.
unsafe fn bpf<A>(command: libc::c_long, attr: &mut A) -> io::Result<libc::c_long> {
    // SAFETY: `attr` lives for the call; the caller vouches for the rest.
    let rc = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<A>() as libc::c_uint)
    };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}

/// `bpf(2)` on many elements.
fn batch(command: libc::c_long, attr: &mut BatchAttr) -> io::Result<()> {
    // SAFETY: the documented layout; the buffers it names are checked by callers.
    unsafe { bpf(command, attr) }.map(drop)
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

    /// Calls `each` for every entry of a hash map. It may or may not see an entry that is added or removed during the reading.
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
            let result = batch(LOOKUP_BATCH, &mut attr);
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
        match batch(DELETE_BATCH, &mut attr) {
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

impl ElementAttr {
    fn new<K>(map: BorrowedFd<'_>, key: &K, value: u64) -> Self {
        let key = std::ptr::from_ref(key) as u64;
        Self { map_fd: map.as_raw_fd() as u32, pad: 0, key, value, flags: 0 }
    }
}

/// `bpf(2)` on one element.
fn element(command: libc::c_long, mut attr: ElementAttr) -> io::Result<()> {
    // SAFETY: the documented layout; key and value are of the map's types in every use.
    unsafe { bpf(command, &mut attr) }.map(drop)
}

/// The part of `union bpf_attr` that makes a map.
#[repr(C)]
#[derive(Default)]
struct CreateAttr {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

/// An array of one value of `bytes` that can be mapped: what can be an element of an array of maps with the same.
pub(crate) fn make_mapped_array(name: &CStr, bytes: u32) -> io::Result<OwnedFd> {
    const ARRAY: u32 = 2;
    const MMAPABLE: u32 = 1 << 10;
    let mut attr = CreateAttr {
        map_type: ARRAY,
        key_size: 4,
        value_size: bytes,
        max_entries: 1,
        map_flags: MMAPABLE,
        ..CreateAttr::default()
    };
    for (to, from) in attr.map_name.iter_mut().take(15).zip(name.to_bytes()) {
        *to = *from;
    }
    // SAFETY: the documented layout.
    let fd = unsafe { bpf(CREATE, &mut attr) }?;
    // SAFETY: a fresh descriptor of ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Puts a map into an array of maps.
pub(crate) fn put_map(outer: BorrowedFd<'_>, key: u32, inner: BorrowedFd<'_>) -> io::Result<()> {
    let value = inner.as_raw_fd();
    element(UPDATE_ELEM, ElementAttr::new(outer, &key, std::ptr::from_ref(&value) as u64))
}

/// Takes a map out of an array of maps.
pub(crate) fn delete_map(outer: BorrowedFd<'_>, key: u32) -> io::Result<()> {
    element(DELETE_ELEM, ElementAttr::new(outer, &key, 0))
}

/// Looks one key up; `None` when it is not there.
pub(crate) fn lookup<K: Copy, V: Copy + Default>(map: BorrowedFd<'_>, key: &K) -> Option<V> {
    let mut value = V::default();
    element(LOOKUP_ELEM, ElementAttr::new(map, key, std::ptr::from_mut(&mut value) as u64)).ok()?;
    Some(value)
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
