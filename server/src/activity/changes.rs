//! Who changed: what processes do more, or less, in one interval than in another.

use std::collections::{BTreeMap, BTreeSet};

use agent_common::abi::sched::State;
use promql::{ReadError, Reader};
use serde::Serialize;

use super::processes::Process;
use super::{Interval, processes};

/// What a group of processes does more in the later interval, per second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Name of the processes.
    pub comm: String,
    /// Their cgroup; empty: none is known.
    pub cgroup: String,
    /// Those that had rows in the later interval, then those of the earlier one; the first ten.
    pub pids: Vec<u32>,
    /// The thread state, or `oncpu`, without `_ns`.
    pub state: &'static str,
    /// Thread time in it, ns a second, in the earlier interval.
    pub before_ns_per_s: f64,
    /// The same in the later one.
    pub after_ns_per_s: f64,
    /// The difference. The largest come first.
    pub more_ns_per_s: f64,
}

/// Most PIDs that are named in a change.
pub(super) const MAX_PIDS: usize = 10;

/// Thread time by group and state, ns.
#[derive(Debug, Default)]
struct Times {
    by_state: BTreeMap<(String, String, &'static str), f64>,
    pids: BTreeMap<(String, String), BTreeSet<u32>>,
}

/// Groups of processes of one name and cgroup, and thread states, by how much more time they spend there per second in `after`
/// than in `before`. States in which a thread has nothing to do are left out, and what changed by less than `least_ns_per_s`.
pub fn changes(
    reader: &dyn Reader,
    host: &str,
    before: Interval,
    after: Interval,
    least_ns_per_s: f64,
) -> Result<Vec<Change>, ReadError> {
    let earlier = times(&processes(reader, host, None, before)?);
    let later = times(&processes(reader, host, None, after)?);
    let keys: BTreeSet<_> = earlier.by_state.keys().chain(later.by_state.keys()).collect();
    let mut all = Vec::new();
    for key in keys {
        let rate = |times: &Times, interval: Interval| {
            times.by_state.get(key).copied().unwrap_or(0.0) / interval.seconds().max(1e-3)
        };
        let (before_ns_per_s, after_ns_per_s) = (rate(&earlier, before), rate(&later, after));
        let more_ns_per_s = after_ns_per_s - before_ns_per_s;
        if more_ns_per_s.abs() < least_ns_per_s || more_ns_per_s == 0.0 {
            continue;
        }
        let (comm, cgroup, state) = key.clone();
        let group = (comm.clone(), cgroup.clone());
        let pids =
            [&later, &earlier].into_iter().filter_map(|times| times.pids.get(&group)).flatten().copied();
        let mut named: Vec<u32> = Vec::new();
        for pid in pids {
            if named.len() < MAX_PIDS && !named.contains(&pid) {
                named.push(pid);
            }
        }
        all.push(Change { comm, cgroup, pids: named, state, before_ns_per_s, after_ns_per_s, more_ns_per_s });
    }
    all.sort_by(|a, b| b.more_ns_per_s.abs().total_cmp(&a.more_ns_per_s.abs()));
    Ok(all)
}

fn times(processes: &[Process]) -> Times {
    let mut times = Times::default();
    for process in processes {
        let cgroup = process.labels.get("cgroup").cloned().unwrap_or_default();
        let group = (process.comm.clone(), cgroup);
        times.pids.entry(group.clone()).or_default().insert(process.pid);
        for (field, ns) in &process.states {
            let Some(state) = field.strip_suffix("_ns").filter(|state| counts(state)) else { continue };
            *times.by_state.entry((group.0.clone(), group.1.clone(), state)).or_default() += ns;
        }
    }
    times
}

/// Whether a thread in this state does something or is held up. `lost` is the sum of others.
fn counts(state: &str) -> bool {
    state != "lost" && State::ALL.iter().any(|known| known.name() == state && !known.is_idle())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Memory;
    use super::*;

    #[test]
    fn who_takes_more_than_before_comes_first_and_idle_time_is_none() {
        let mut store = Memory(Vec::new());
        let of = |pid: &'static str, comm: &'static str| {
            [("host", "a"), ("pid", pid), ("start", "1"), ("comm", comm)]
        };
        // Ten seconds each: nothing before, then backup reads, web waits for the disk, and a worker replaces another.
        let from = |before: f64, after: f64| [vec![before; 10], vec![after; 10]].concat();
        store.add("s7mpa_thread_time_disk_read_ns", &of("7", "web"), &from(1e6, 4e8));
        store.add("s7mpa_thread_time_oncpu_ns", &of("7", "web"), &from(3e8, 1e8));
        store.add("s7mpa_thread_time_lost_ns", &of("7", "web"), &from(1e6, 4e8));
        store.add("s7mpa_thread_time_oncpu_ns", &of("8", "backup"), &from(0.0, 6e8));
        store.add("s7mpa_thread_time_sleep_ns", &of("9", "cron"), &from(0.0, 1e9));
        store.add("s7mpa_thread_time_oncpu_ns", &of("10", "worker"), &from(5e8, 0.0));
        store.add("s7mpa_thread_time_oncpu_ns", &of("11", "worker"), &from(0.0, 5e8));
        let before = Interval { from_ms: 0, to_ms: 10_000 };
        let after = Interval { from_ms: 10_000, to_ms: 20_000 };
        let found = changes(&store, "a", before, after, 1e6).unwrap();
        let told: Vec<(&str, &str, f64)> = found
            .iter()
            .map(|one| (one.comm.as_str(), one.state, (one.more_ns_per_s / 1e6).round()))
            .collect();
        assert_eq!(told, [("backup", "oncpu", 600.0), ("web", "disk_read", 399.0), ("web", "oncpu", -200.0)]);
        assert_eq!(found[0].pids, [8]);
        assert!(changes(&store, "a", before, after, 5e8).unwrap().len() == 1);
    }
}
