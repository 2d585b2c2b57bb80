//! Waits for kernel locks by process and lock.

use std::collections::{HashMap, HashSet};
use std::io;

use agent_common::abi::locks::{KIND_NAMES, LOCKS_MAX, LockKey, LockValue};
use agent_common::abi::resources::{OPEN_LOCK, OpenKey, OpenValue};
use agent_common::units::{DurNs, Tgid, Tid};
use diagnosis::window::LockRow;

use super::resources::{Closing, Differences, Open};
use crate::bpf::Resources;

#[derive(Debug, Default)]
pub(super) struct LockSource {
    values: Differences<LockKey, LockValue>,
    open: Open<(u32, u64), LockKey>,
}

fn key_of(value: &OpenValue) -> LockKey {
    LockKey { lock: value.lock, tgid: value.tgid, kind: value.kind }
}

impl LockSource {
    pub(super) fn counted(
        &mut self,
        maps: &mut Resources,
    ) -> io::Result<Vec<(LockKey, LockValue, LockValue)>> {
        self.values.step(&mut maps.locks, LOCKS_MAX)
    }

    pub(super) fn rows(
        &mut self,
        counted: Vec<(LockKey, LockValue, LockValue)>,
        open: &[(OpenKey, OpenValue)],
        closing: &mut Closing<'_>,
    ) -> Vec<LockRow> {
        let end = closing.end.0;
        let waiting = || open.iter().filter(|(key, _)| key.what == OPEN_LOCK);
        self.open.settle(waiting().map(|(key, value)| {
            ((key.tid, value.start_ns), key_of(value), end.saturating_sub(value.start_ns))
        }));
        // Of those that wait still, the one that waits longest says who holds the lock.
        let mut holders: HashMap<LockKey, (u64, u32)> = HashMap::new();
        for (_, value) in waiting() {
            let held = holders.entry(key_of(value)).or_insert((value.start_ns, value.holder));
            if value.start_ns < held.0 {
                *held = (value.start_ns, value.holder);
            }
        }
        let mut changed: HashMap<LockKey, (LockValue, LockValue)> =
            counted.into_iter().map(|(key, before, now)| (key, (before, now))).collect();
        for key in waiting().map(|(_, value)| key_of(value)).collect::<HashSet<_>>() {
            changed.entry(key).or_default();
        }
        let mut rows: Vec<LockRow> = changed
            .into_iter()
            .map(|(key, (before, now))| {
                let voted = (now.window == closing.window && now.lead_ns > 0).then_some(now.holder);
                let holder = voted.or_else(|| holders.get(&key).map(|held| held.1)).filter(|tid| *tid != 0);
                LockRow {
                    tgid: Tgid(key.tgid),
                    comm: (closing.comm)(Tgid(key.tgid)),
                    lock: key.lock,
                    kind: KIND_NAMES.get(key.kind as usize).copied().unwrap_or("other"),
                    count: now.count - before.count,
                    waited: DurNs(self.open.time(&key, now.waited_ns - before.waited_ns)),
                    holder: holder.map(Tid),
                }
            })
            .collect();
        rows.sort_unstable_by_key(|row| (std::cmp::Reverse(row.waited), row.tgid, row.lock));
        rows
    }
}
