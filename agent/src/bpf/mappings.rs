//! Mappings of processes at the time when they are made, from the kernel's perf events. For a process that has ended there is
//! no other record of them.
//!
//! A dummy software event on each CPU carries the records; it takes no samples.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use agent_common::le::{u32_at, u64_at};
use agent_common::units::{MonoNs, Tgid};
use flamegraphs::maps::Mapping;

/// Bytes of one CPU's ring, a power of two: some 1,500 records, of 200 short-lived processes between two polls.
const RING_BYTES: usize = 256 << 10;

/// `struct perf_event_attr`, version 5 (`include/uapi/linux/perf_event.h`).
#[repr(C)]
#[derive(Default)]
struct Attr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    unused: [u32; 10],
    clock: i32,
    rest: [u32; 4],
}
const _: () = assert!(size_of::<Attr>() == 112);

const SOFTWARE: u32 = 1;
const DUMMY: u64 = 9;
const SAMPLE_TIME: u64 = 1 << 2;
const MMAP: u64 = 1 << 8;
const COMM: u64 = 1 << 9;
const TASK: u64 = 1 << 13;
const WATERMARK: u64 = 1 << 14;
const SAMPLE_ID_ALL: u64 = 1 << 18;
const MMAP2: u64 = 1 << 23;
const COMM_EXEC: u64 = 1 << 24;
const USE_CLOCK: u64 = 1 << 25;
/// `PERF_FLAG_FD_CLOEXEC`.
const CLOEXEC: u64 = 8;

/// Types of records.
const RECORD_LOST: u32 = 2;
const RECORD_COMM: u32 = 3;
const RECORD_EXIT: u32 = 4;
const RECORD_FORK: u32 = 7;
const RECORD_MMAP2: u32 = 10;
/// `PERF_RECORD_MISC_COMM_EXEC`.
const BY_EXEC: u16 = 1 << 13;

/// Offsets in the first page of a ring (`struct perf_event_mmap_page`).
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;

/// What a process did to its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingChange {
    /// It has its parent's.
    Fork {
        /// The parent.
        parent: Tgid,
    },
    /// It runs another program: it has none.
    Exec,
    /// It is gone.
    Exit,
    /// It mapped something executable.
    Map(Mapping),
}

/// One of them, with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingEvent {
    /// When.
    pub at: MonoNs,
    /// Who.
    pub tgid: Tgid,
    /// What.
    pub what: MappingChange,
}

/// The rings of all CPUs.
#[derive(Debug)]
pub struct MappingEvents {
    rings: Vec<Ring>,
    /// Records that there was no room for.
    pub lost: u64,
}

impl MappingEvents {
    /// Begins on these CPUs.
    pub fn open(cpus: &[u32]) -> io::Result<Self> {
        let rings = cpus.iter().map(|cpu| Ring::open(*cpu)).collect::<io::Result<_>>()?;
        Ok(Self { rings, lost: 0 })
    }

    /// Memory of the rings, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.rings.len() * (RING_BYTES + page())) as u64
    }

    /// What happened since the last call, in its order.
    pub fn take(&mut self) -> Vec<MappingEvent> {
        let mut events = Vec::new();
        for ring in &mut self.rings {
            ring.drain(|kind, misc, body| {
                if kind == RECORD_LOST {
                    self.lost += u64_at(body, 8).unwrap_or(0);
                } else {
                    events.extend(event(kind, misc, body));
                }
            });
        }
        events.sort_by_key(|event| event.at);
        events
    }
}

#[derive(Debug)]
struct Ring {
    /// Words, so that those of the first page are aligned as they must be.
    memory: *mut AtomicU64,
    tail: u64,
    _event: OwnedFd,
}

// SAFETY: the memory belongs to this value, wherever it is.
unsafe impl Send for Ring {}

fn page() -> usize {
    procfs::page_size() as usize
}

impl Ring {
    fn open(cpu: u32) -> io::Result<Self> {
        let attr = Attr {
            kind: SOFTWARE,
            size: size_of::<Attr>() as u32,
            config: DUMMY,
            sample_type: SAMPLE_TIME,
            flags: MMAP | COMM | TASK | WATERMARK | SAMPLE_ID_ALL | MMAP2 | COMM_EXEC | USE_CLOCK,
            wakeup: RING_BYTES as u32,
            clock: libc::CLOCK_MONOTONIC,
            ..Attr::default()
        };
        // SAFETY: the documented layout; the kernel reads it in the call. All processes of one CPU.
        let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, cpu, -1, CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that the call has made.
        let event = unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) };
        let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping of the event's ring.
        let memory = unsafe {
            libc::mmap(std::ptr::null_mut(), RING_BYTES + page(), access, shared, event.as_raw_fd(), 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { memory: memory.cast(), tail: 0, _event: event })
    }

    fn place(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: both words lie in the first page, which is mapped as long as this lives.
        unsafe { &*self.memory.byte_add(offset) }
    }

    /// Calls `each` with type, `misc` and body of every record, and gives its room back.
    fn drain(&mut self, mut each: impl FnMut(u32, u16, &[u8])) {
        let head = self.place(DATA_HEAD).load(Ordering::Acquire);
        // SAFETY: behind the first page lie RING bytes; the kernel writes none between tail and head.
        let data =
            unsafe { std::slice::from_raw_parts(self.memory.byte_add(page()).cast::<u8>(), RING_BYTES) };
        let mut record = Vec::new();
        while self.tail < head {
            let at = self.tail as usize % RING_BYTES;
            let header = u64_at(data, at).unwrap_or(0);
            let size = (header >> 48) as usize;
            if size < 8 || size as u64 > head - self.tail {
                // Not what the kernel promises: what is left is not understood.
                self.tail = head;
                break;
            }
            record.clear();
            let first = size.min(RING_BYTES - at);
            record.extend_from_slice(&data[at..at + first]);
            record.extend_from_slice(&data[..size - first]);
            each(header as u32, (header >> 32) as u16, &record[8..]);
            self.tail += size as u64;
        }
        self.place(DATA_TAIL).store(self.tail, Ordering::Release);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: `open` has mapped it with this length, and only this ring uses it.
        unsafe { libc::munmap(self.memory.cast(), RING_BYTES + page()) };
    }
}

/// Reads a record; threads that come and go, and names that are set, are none.
fn event(kind: u32, misc: u16, body: &[u8]) -> Option<MappingEvent> {
    let (tgid, second) = (u32_at(body, 0)?, u32_at(body, 4)?);
    let what = match kind {
        // pid, ppid, tid, ptid: of a process, not of a thread, both numbers of the child are the same.
        RECORD_FORK if tgid == u32_at(body, 8)? => MappingChange::Fork { parent: Tgid(second) },
        RECORD_EXIT if tgid == u32_at(body, 8)? => MappingChange::Exit,
        RECORD_COMM if misc & BY_EXEC != 0 => MappingChange::Exec,
        RECORD_MMAP2 => {
            // pid, tid, address, length, offset, major, minor, inode, generation, protection, flags, name, time.
            let (start, len) = (u64_at(body, 8)?, u64_at(body, 16)?);
            let device = u64::from(u32_at(body, 32)?) << 32 | u64::from(u32_at(body, 36)?);
            let name = body.get(64..body.len().checked_sub(8)?)?.split(|byte| *byte == 0).next()?;
            let name = String::from_utf8_lossy(name);
            let end = start.checked_add(len)?;
            MappingChange::Map(Mapping::new(
                (start, end),
                u64_at(body, 24)?,
                (device, u64_at(body, 40)?),
                &name,
            ))
        }
        _ => return None,
    };
    let at = MonoNs(u64_at(body, body.len().checked_sub(8)?)?);
    Some(MappingEvent { at, tgid: Tgid(tgid), what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flamegraphs::maps::Backing;

    fn body(halves: &[u32], words: &[u64], name: &[u8], at: u64) -> Vec<u8> {
        let mut body: Vec<u8> = halves.iter().flat_map(|half| half.to_ne_bytes()).collect();
        body.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        body.extend(name);
        body.extend(at.to_ne_bytes());
        body
    }

    #[test]
    fn records_are_read_and_threads_left_out() {
        let fork = |tid: u32| event(RECORD_FORK, 0, &body(&[7, 3, tid, 3], &[9], b"", 9));
        assert_eq!(fork(7).unwrap().what, MappingChange::Fork { parent: Tgid(3) });
        assert_eq!(fork(8), None);
        let exec = |misc| event(RECORD_COMM, misc, &body(&[7, 7], &[], b"sh\0\0\0\0\0\0", 11));
        assert_eq!(
            exec(BY_EXEC),
            Some(MappingEvent { at: MonoNs(11), tgid: Tgid(7), what: MappingChange::Exec })
        );
        assert_eq!(exec(0), None);
    }

    #[test]
    fn a_mapping_is_what_maps_would_show() {
        let mut record = body(&[7, 7], &[0x1000, 0x2000, 0x3000], b"", 0);
        record.truncate(32);
        record.extend(body(&[253, 1], &[77, 0], b"", 0)[..24].to_vec());
        record.extend(body(&[5, 2], &[], b"/usr/lib/x.so (deleted)\0", 12));
        let MappingEvent { at, what: MappingChange::Map(mapping), .. } =
            event(RECORD_MMAP2, 0, &record).unwrap()
        else {
            panic!("no mapping");
        };
        assert_eq!((at, mapping.start, mapping.end, mapping.offset), (MonoNs(12), 0x1000, 0x3000, 0x3000));
        let dev = 253 << 32 | 1;
        assert_eq!(
            mapping.backing,
            Backing::File { dev, ino: 77, path: "/usr/lib/x.so".to_owned(), deleted: true }
        );
    }

    #[test]
    fn what_is_cut_short_is_no_record() {
        for kind in [RECORD_FORK, RECORD_EXIT, RECORD_COMM, RECORD_MMAP2] {
            for len in 0..40 {
                let _ = event(kind, BY_EXEC, &vec![1; len]);
            }
        }
    }
}
