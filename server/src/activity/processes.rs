//! What each process did.

use std::collections::BTreeMap;

use promql::{Labels, ReadError, Reader};
use serde::Serialize;

use super::{Interval, Values, each};

const PROCESS: &str = "s7mpa_process";
const STATES: &str = "s7mpa_thread_time";
const SYSCALL: &str = "s7mpa_syscall";
/// Labels that every row of a process has; what else its series carry (cgroup, container, …) describes it.
const IDENTITY: [&str; 5] = ["__name__", "host", "pid", "start", "comm"];

/// A process in an interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Process {
    /// Host name.
    pub host: String,
    /// Thread-group id; 0: all processes without rows of their own.
    pub pid: u32,
    /// Start in ms since boot; 0: not known.
    pub start_ms: u64,
    /// Its name.
    pub comm: String,
    /// What else is known of it: cgroup, container.
    pub labels: BTreeMap<String, String>,
    /// Fields of `s7mpa_process`.
    pub values: Values,
    /// Thread states in ns, fields of `s7mpa_thread_time`.
    pub states: Values,
}

/// What a process did with one system call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Syscall {
    /// Its name.
    pub syscall: String,
    /// Fields of `s7mpa_syscall`.
    pub values: Values,
}

/// Processes of a host that have rows in the interval; with a PID, that one alone. The one with most lost time first, then
/// by CPU time.
pub fn processes(
    reader: &dyn Reader,
    host: &str,
    pid: Option<u32>,
    interval: Interval,
) -> Result<Vec<Process>, ReadError> {
    let pid = pid.map(|pid| pid.to_string());
    let mut labels = vec![("host", host)];
    labels.extend(pid.as_deref().map(|pid| ("pid", pid)));
    let mut all: BTreeMap<(u32, u64), Process> = BTreeMap::new();
    each(reader, &[PROCESS, STATES], &labels, interval, |labels, found| {
        let (pid, start_ms) = (number(labels, "pid"), number(labels, "start"));
        let process = all.entry((pid, start_ms)).or_insert_with(|| Process {
            host: host.to_owned(),
            pid,
            start_ms,
            comm: String::new(),
            labels: BTreeMap::new(),
            values: Values::new(),
            states: Values::new(),
        });
        if process.comm.is_empty() || !found.ended {
            labels.get("comm").clone_into(&mut process.comm);
        }
        if found.measurement == PROCESS {
            let more = labels.iter().filter(|(name, _)| !IDENTITY.contains(&&***name));
            process.labels.extend(more.map(|(name, value)| (name.to_string(), value.to_string())));
        }
        found.add_to(if found.measurement == PROCESS { &mut process.values } else { &mut process.states });
    })?;
    let mut all: Vec<Process> = all.into_values().collect();
    all.sort_by(|a, b| b.weight().partial_cmp(&a.weight()).unwrap_or(std::cmp::Ordering::Equal));
    Ok(all)
}

impl Process {
    /// Lost time and CPU time, ns.
    fn weight(&self) -> (f64, f64) {
        let value = |name: &str| self.values.get(name).copied().unwrap_or(0.0);
        (self.states.get("lost_ns").copied().unwrap_or(0.0), value("user_ns") + value("system_ns"))
    }
}

/// The system calls of a process in an interval, those that took most time first, then by count. A process is its PID and
/// start; without the start it is whoever had the PID.
pub fn syscalls(
    reader: &dyn Reader,
    host: &str,
    pid: u32,
    start_ms: Option<u64>,
    interval: Interval,
) -> Result<Vec<Syscall>, ReadError> {
    let (pid, start) = (pid.to_string(), start_ms.map(|start| start.to_string()));
    let mut labels = vec![("host", host), ("pid", &*pid)];
    labels.extend(start.as_deref().map(|start| ("start", start)));
    let mut all: BTreeMap<String, Values> = BTreeMap::new();
    each(reader, &[SYSCALL], &labels, interval, |labels, found| {
        found.add_to(all.entry(labels.get("syscall").to_owned()).or_default());
    })?;
    let mut all: Vec<Syscall> =
        all.into_iter().map(|(syscall, values)| Syscall { syscall, values }).collect();
    let weight = |one: &Syscall| {
        let value = |name: &str| one.values.get(name).copied().unwrap_or(0.0);
        (value("total_ns"), value("count"))
    };
    all.sort_by(|a, b| weight(b).partial_cmp(&weight(a)).unwrap_or(std::cmp::Ordering::Equal));
    Ok(all)
}

fn number<N: std::str::FromStr + Default>(labels: &Labels, name: &str) -> N {
    labels.get(name).parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use promql::STALE;

    use super::super::testing::Memory;
    use super::*;

    #[test]
    fn amounts_add_up_over_the_interval_and_levels_are_the_last() {
        let mut store = Memory(Vec::new());
        let web =
            [("host", "a"), ("pid", "7"), ("start", "100"), ("comm", "web"), ("cgroup", "/web.service")];
        let idle = [("host", "a"), ("pid", "8"), ("start", "200"), ("comm", "idle")];
        store.add("s7mpa_process_user_ns", &web, &[1.0, 2.0, 4.0, 8.0]);
        store.add("s7mpa_process_user_ns_total", &web, &[1.0, 3.0, 7.0, 15.0]);
        store.add("s7mpa_process_rss_bytes", &web, &[10.0, 20.0, 30.0, STALE]);
        store.add("s7mpa_thread_time_lost_ns", &web[..4], &[0.0, 5.0, 5.0, 0.0]);
        store.add("s7mpa_process_user_ns", &idle, &[9.0, 9.0, 9.0, 9.0]);
        store.add("s7mpa_process_user_ns", &[("host", "b"), ("pid", "7")], &[1.0; 4]);
        let found = processes(&store, "a", None, Interval { from_ms: 1000, to_ms: 4000 }).unwrap();
        let names: Vec<&str> = found.iter().map(|process| process.comm.as_str()).collect();
        assert_eq!(names, ["web", "idle"], "lost time counts before CPU time");
        assert_eq!(found[0].values, Values::from([("rss_bytes", 30.0), ("user_ns", 14.0)]));
        assert_eq!(found[0].states, Values::from([("lost_ns", 10.0)]));
        assert_eq!(found[0].labels, BTreeMap::from([("cgroup".to_owned(), "/web.service".to_owned())]));
        assert_eq!((found[0].pid, found[0].start_ms), (7, 100));
        // It takes another name by exec: one process, the sum of its amounts, its last level.
        let after = [("host", "a"), ("pid", "8"), ("start", "200"), ("comm", "busy")];
        store.add("s7mpa_process_rss_bytes", &idle, &[500.0, STALE]);
        store.add("s7mpa_process_rss_bytes", &after, &[60.0, 70.0, 80.0, 90.0]);
        store.add("s7mpa_process_user_ns", &after, &[0.0, 1.0, 1.0, 1.0]);
        let one = processes(&store, "a", Some(8), Interval { from_ms: 0, to_ms: 4000 }).unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].values, Values::from([("rss_bytes", 90.0), ("user_ns", 39.0)]));
    }

    #[test]
    fn system_calls_of_a_process_are_those_since_its_start() {
        let mut store = Memory(Vec::new());
        let of = |start: &'static str, call: &'static str| {
            [("host", "a"), ("pid", "7"), ("start", start), ("comm", "web"), ("syscall", call)]
        };
        store.add("s7mpa_syscall_count", &of("1", "read"), &[3.0, 4.0]);
        store.add("s7mpa_syscall_total_ns", &of("1", "read"), &[10.0, 10.0]);
        store.add("s7mpa_syscall_count", &of("1", "write"), &[100.0, 100.0]);
        store.add("s7mpa_syscall_count", &of("2", "openat"), &[1.0, 1.0]);
        let interval = Interval { from_ms: 0, to_ms: 2000 };
        let found = syscalls(&store, "a", 7, Some(1), interval).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].syscall, "read");
        assert_eq!(found[0].values, Values::from([("count", 7.0), ("total_ns", 20.0)]));
        assert_eq!(syscalls(&store, "a", 7, None, interval).unwrap().len(), 3);
    }
}
