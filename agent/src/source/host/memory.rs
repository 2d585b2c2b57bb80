//! `/proc/meminfo` and `/proc/vmstat`: memory, swap, paging.

use procfs::ProcResult;
use procfs::prelude::*;
use serde::{Deserialize, Serialize};

use super::read_all;
use crate::source::delta::delta;

/// Memory and swap: levels at the end of the window, paging inside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// All memory the kernel manages.
    pub total_bytes: u64,
    /// Not used for anything.
    pub free_bytes: u64,
    /// What a new program could get without swapping (kernel's estimate; free + cached before 3.14).
    pub available_bytes: u64,
    /// Block device buffers.
    pub buffers_bytes: u64,
    /// Page cache, without buffers and swap cache.
    pub cached_bytes: u64,
    /// Anonymous pages.
    pub anon_bytes: u64,
    /// Shared memory and tmpfs.
    pub shmem_bytes: u64,
    /// Kernel slabs.
    pub slab_bytes: u64,
    /// Slabs that can be reclaimed.
    pub slab_reclaimable_bytes: u64,
    /// Waiting to be written back.
    pub dirty_bytes: u64,
    /// Being written back.
    pub writeback_bytes: u64,
    /// Promised to processes.
    pub committed_bytes: u64,
    /// Swap space.
    pub swap_total_bytes: u64,
    /// Swap space that is free.
    pub swap_free_bytes: u64,
    /// Read in from swap in the window.
    pub swap_in_bytes: u64,
    /// Written out to swap in the window.
    pub swap_out_bytes: u64,
    /// Page faults in the window.
    pub faults: u64,
    /// Page faults that had to read from storage in the window.
    pub major_faults: u64,
    /// Processes killed for lack of memory in the window; `None` before Linux 4.13.
    pub oom_kills: Option<u64>,
}

/// The counters of `/proc/vmstat` that are used.
///
/// Own scan: `procfs::VmStat` makes a map of ~190 strings to take five from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Paging {
    swap_in_pages: u64,
    swap_out_pages: u64,
    faults: u64,
    major_faults: u64,
    oom_kills: Option<u64>,
}

fn parse(text: &str) -> Paging {
    let mut paging = Paging::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(' ') else { continue };
        let number = || value.trim().parse().unwrap_or(0);
        match key {
            "pswpin" => paging.swap_in_pages = number(),
            "pswpout" => paging.swap_out_pages = number(),
            "pgfault" => paging.faults = number(),
            "pgmajfault" => paging.major_faults = number(),
            "oom_kill" => paging.oom_kills = Some(number()),
            _ => {}
        }
    }
    paging
}

/// Reads the two files and keeps the last paging counters.
#[derive(Debug, Default)]
pub(super) struct MemoryReader {
    buffer: String,
    last: Option<Paging>,
}

impl MemoryReader {
    pub(super) fn read(&mut self) -> ProcResult<Memory> {
        let info = procfs::Meminfo::current()?;
        let now = parse(read_all("/proc/vmstat", &mut self.buffer)?);
        let last = self.last.replace(now).unwrap_or(now);
        Ok(memory(&info, now, last, procfs::page_size()))
    }
}

fn memory(info: &procfs::Meminfo, now: Paging, last: Paging, page: u64) -> Memory {
    Memory {
        total_bytes: info.mem_total,
        free_bytes: info.mem_free,
        available_bytes: info.mem_available.unwrap_or(info.mem_free + info.cached),
        buffers_bytes: info.buffers,
        cached_bytes: info.cached,
        anon_bytes: info.anon_pages.unwrap_or(0),
        shmem_bytes: info.shmem.unwrap_or(0),
        slab_bytes: info.slab,
        slab_reclaimable_bytes: info.s_reclaimable.unwrap_or(0),
        dirty_bytes: info.dirty,
        writeback_bytes: info.writeback,
        committed_bytes: info.committed_as,
        swap_total_bytes: info.swap_total,
        swap_free_bytes: info.swap_free,
        swap_in_bytes: delta(now.swap_in_pages, last.swap_in_pages) * page,
        swap_out_bytes: delta(now.swap_out_pages, last.swap_out_pages) * page,
        faults: delta(now.faults, last.faults),
        major_faults: delta(now.major_faults, last.major_faults),
        oom_kills: now.oom_kills.map(|kills| delta(kills, last.oom_kills.unwrap_or(kills))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paging_is_a_difference_in_bytes() {
        let info = procfs::Meminfo::from_read(
            &b"MemTotal: 100 kB\nMemFree: 40 kB\nBuffers: 1 kB\nCached: 2 kB\nSwapCached: 0 kB\nActive: 0 kB\n\
               Inactive: 0 kB\nSwapTotal: 8 kB\nSwapFree: 6 kB\nDirty: 3 kB\nWriteback: 4 kB\nMapped: 0 kB\n\
               Slab: 5 kB\nCommitted_AS: 7 kB\nVmallocTotal: 0 kB\nVmallocUsed: 0 kB\nVmallocChunk: 0 kB\n"[..],
        )
        .unwrap();
        let last = parse("pswpin 1\npswpout 2\npgfault 100\npgmajfault 10\n");
        let now = parse("nr_free_pages 9\npswpin 4\npswpout 2\npgfault 150\npgmajfault 11\noom_kill 3\n");
        let memory = memory(&info, now, last, 4096);
        assert_eq!((memory.swap_in_bytes, memory.swap_out_bytes), (3 * 4096, 0));
        assert_eq!((memory.faults, memory.major_faults, memory.oom_kills), (50, 1, Some(0)));
        assert_eq!(memory.available_bytes, 42 * 1024, "no MemAvailable: free + cached");
        assert_eq!((memory.total_bytes, memory.swap_free_bytes), (100 * 1024, 6 * 1024));
    }
}
