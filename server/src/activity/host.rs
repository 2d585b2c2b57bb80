//! What a host as a whole did.

use std::collections::BTreeMap;

use agent_common::wire::registry::{self, Origin};
use promql::{NAME, ReadError, Reader};
use serde::Serialize;

use super::{Interval, Values, each};

/// Label that the measurements of processes have, and no other.
const OF_PROCESS: &str = "pid";

/// Values of one set of labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// All but the host.
    pub labels: BTreeMap<String, String>,
    /// Fields of the measurement.
    pub values: Values,
}

/// What is known of a host in an interval, by measurement; empty if it has no window there.
pub fn host(
    reader: &dyn Reader,
    host: &str,
    interval: Interval,
) -> Result<BTreeMap<&'static str, Vec<Row>>, ReadError> {
    let of_host = registry::measurements().filter(|measurement| {
        measurement.origin == Origin::Window && measurement.tags.iter().all(|tag| tag.name != OF_PROCESS)
    });
    let measurements: Vec<&'static str> = of_host.map(|measurement| measurement.name).collect();
    let mut all: BTreeMap<&'static str, BTreeMap<BTreeMap<String, String>, Values>> = BTreeMap::new();
    each(reader, &measurements, &[("host", host)], interval, |labels, found| {
        let more = labels.iter().filter(|(name, _)| ![NAME, "host"].contains(&&***name));
        let labels = more.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        found.add_to(all.entry(found.measurement).or_default().entry(labels).or_default());
    })?;
    let rows =
        |rows: BTreeMap<_, _>| rows.into_iter().map(|(labels, values)| Row { labels, values }).collect();
    Ok(all.into_iter().map(|(measurement, own)| (measurement, rows(own))).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::Memory;
    use super::*;

    #[test]
    fn rows_of_a_measurement_are_told_apart_by_their_labels() {
        let mut store = Memory(Vec::new());
        store.add("s7mpa_cpu_user_ns", &[("host", "a"), ("cpu", "0")], &[1.0, 2.0]);
        store.add("s7mpa_cpu_user_ns", &[("host", "a"), ("cpu", "1")], &[5.0, 5.0]);
        store.add("s7mpa_cpu_idle_ns", &[("host", "a"), ("cpu", "1")], &[7.0, 7.0]);
        store.add("s7mpa_host_load1", &[("host", "a")], &[0.5, 0.25]);
        store.add("s7mpa_host_load1", &[("host", "b")], &[9.0, 9.0]);
        let found = host(&store, "a", Interval { from_ms: 0, to_ms: 2000 }).unwrap();
        assert_eq!(found["s7mpa_host"][0].values, Values::from([("load1", 0.25)]));
        let cpus = &found["s7mpa_cpu"];
        assert_eq!(cpus.len(), 2);
        assert_eq!(cpus[1].labels, BTreeMap::from([("cpu".to_owned(), "1".to_owned())]));
        assert_eq!(cpus[1].values, Values::from([("idle_ns", 14.0), ("user_ns", 10.0)]));
    }

    #[test]
    fn every_measurement_but_those_of_processes_is_there() {
        let mut store = Memory(Vec::new());
        store.add("s7mpa_filesystem_free_bytes", &[("host", "a"), ("mountpoint", "/")], &[1.0]);
        for of_process in ["s7mpa_process_user_ns", "s7mpa_syscall_count", "s7mpa_thread_time_lost_ns"] {
            store.add(of_process, &[("host", "a"), ("pid", "7")], &[1.0]);
        }
        let found = host(&store, "a", Interval { from_ms: 0, to_ms: 2000 }).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), [&"s7mpa_filesystem"]);
    }
}
