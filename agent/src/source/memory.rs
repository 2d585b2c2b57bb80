//! Reclaim, compaction and write-back throttling by process; kills for memory.

use std::collections::{HashMap, HashSet};
use std::io;

use agent_common::abi::memory::{MEMORY_MAX, MemoryValue};
use agent_common::abi::resources::{OPEN_COMPACTION, OPEN_RECLAIM, OpenKey, OpenValue};
use agent_common::units::{DurNs, Tgid};
use diagnosis::window::{MemoryRow, OomKill};

use super::process::comm_str;
use super::resources::{Closing, Differences, Open};
use crate::bpf::Resources;

/// Identity of a reclaim or compaction: thread and start.
type Work = (u32, u64);

#[derive(Debug)]
pub(super) struct MemorySource {
    values: Differences<u32, MemoryValue>,
    reclaim: Open<Work, u32>,
    compaction: Open<Work, u32>,
    tick_ns: u64,
}

impl MemorySource {
    pub(super) fn new() -> Self {
        // The resolution of a coarse clock is one tick of the kernel; there is no other exact source of it.
        let tick = nix::time::clock_getres(nix::time::ClockId::CLOCK_MONOTONIC_COARSE);
        Self {
            values: Differences::default(),
            reclaim: Open::default(),
            compaction: Open::default(),
            tick_ns: tick.map_or(4_000_000, |t| t.tv_nsec() as u64),
        }
    }

    pub(super) fn counted(
        &mut self,
        maps: &mut Resources,
    ) -> io::Result<Vec<(u32, MemoryValue, MemoryValue)>> {
        self.values.step(&mut maps.memory, MEMORY_MAX)
    }

    pub(super) fn rows(
        &mut self,
        counted: Vec<(u32, MemoryValue, MemoryValue)>,
        open: &[(OpenKey, OpenValue)],
        closing: &mut Closing<'_>,
    ) -> Vec<MemoryRow> {
        let end = closing.end.0;
        let of = |what| {
            open.iter().filter(move |(key, _)| key.what == what).map(move |(key, value)| {
                ((key.tid, value.start_ns), value.tgid, end.saturating_sub(value.start_ns))
            })
        };
        self.reclaim.settle(of(OPEN_RECLAIM));
        self.compaction.settle(of(OPEN_COMPACTION));
        let working: HashSet<u32> =
            of(OPEN_RECLAIM).chain(of(OPEN_COMPACTION)).map(|(_, tgid, _)| tgid).collect();
        let mut changed: HashMap<u32, (MemoryValue, MemoryValue)> =
            counted.into_iter().map(|(tgid, before, now)| (tgid, (before, now))).collect();
        for tgid in working {
            changed.entry(tgid).or_default();
        }
        let mut rows: Vec<MemoryRow> = changed
            .into_iter()
            .map(|(tgid, (before, now))| MemoryRow {
                tgid: Tgid(tgid),
                comm: (closing.comm)(Tgid(tgid)),
                reclaims: now.reclaims - before.reclaims,
                reclaim: DurNs(self.reclaim.time(&tgid, now.reclaim_ns - before.reclaim_ns)),
                reclaimed_pages: now.reclaimed_pages - before.reclaimed_pages,
                compactions: now.compactions - before.compactions,
                compaction: DurNs(self.compaction.time(&tgid, now.compaction_ns - before.compaction_ns)),
                throttles: now.throttles - before.throttles,
                throttled: DurNs((now.throttled_ticks - before.throttled_ticks) * self.tick_ns),
            })
            .collect();
        rows.sort_unstable_by_key(|row| row.tgid);
        rows
    }

    /// Kills since the last call.
    pub(super) fn kills(maps: &mut Resources, closing: &mut Closing<'_>) -> io::Result<Vec<OomKill>> {
        let mut kills = Vec::new();
        maps.oom_kills.read(|tgid, value| kills.push((*tgid, *value)))?;
        let tgids: Vec<u32> = kills.iter().map(|(tgid, _)| *tgid).collect();
        if !tgids.is_empty() {
            maps.oom_kills.delete(&tgids)?;
        }
        kills.sort_unstable_by_key(|(_, value)| value.at_ns);
        Ok(kills
            .into_iter()
            .map(|(tgid, value)| {
                let tgid = Tgid(tgid);
                let known = closing.tasks.binary_search_by_key(&tgid, |task| task.tgid);
                let known = known.ok().map(|at| &closing.tasks[at]);
                let rss = value.rss_pages * procfs::page_size();
                OomKill {
                    tgid,
                    comm: match &*comm_str(&value.comm) {
                        "" => (closing.comm)(tgid),
                        comm => comm.into(),
                    },
                    cgroup: known.map_or_else(|| "".into(), |task| task.cgroup.clone()),
                    rss_bytes: if rss > 0 { rss } else { known.map_or(0, |task| task.rss_bytes) },
                }
            })
            .collect())
    }
}
