//! `/proc/meminfo` and `/proc/vmstat`: memory, swap, paging.

use diagnosis::window::Memory;
use procfs::ProcResult;
use procfs::prelude::*;

use super::read_all;
use crate::source::delta::delta;

/// The counters of `/proc/vmstat` that are used.
///
/// Own scan: `procfs::VmStat` makes a map of ~190 strings to take five from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Paging {
    swap_in_pages: u64,
    swap_out_pages: u64,
    /// KiB, as the kernel counts them.
    paged_in: u64,
    paged_out: u64,
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
            "pgpgin" => paging.paged_in = number(),
            "pgpgout" => paging.paged_out = number(),
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
        commit_limit_bytes: info.commit_limit.unwrap_or(0),
        active_bytes: info.active,
        inactive_bytes: info.inactive,
        mapped_bytes: info.mapped,
        page_tables_bytes: info.page_tables.unwrap_or(0),
        kernel_stack_bytes: info.kernel_stack.unwrap_or(0),
        slab_unreclaimable_bytes: info.s_unreclaim.unwrap_or(0),
        swap_cached_bytes: info.swap_cached,
        paged_in_bytes: delta(now.paged_in, last.paged_in) * 1024,
        paged_out_bytes: delta(now.paged_out, last.paged_out) * 1024,
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
