//! What a host as a whole did.

use std::collections::BTreeMap;

use promql::{NAME, ReadError, Reader};
use serde::Serialize;

use super::{Interval, Values, each};

/// Measurements of the host as a whole, of a CPU, a device and so on; none of a process.
const MEASUREMENTS: [&str; 16] = [
    "s7mpa_host",
    "s7mpa_cpu",
    "s7mpa_memory",
    "s7mpa_disk",
    "s7mpa_net",
    "s7mpa_pressure",
    "s7mpa_host_time",
    "s7mpa_waits",
    "s7mpa_blockio",
    "s7mpa_reclaim",
    "s7mpa_sockets",
    "s7mpa_softirq",
    "s7mpa_locks",
    "s7mpa_coverage",
    "s7mpa_lost",
    "s7mpa_self",
];

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
    let mut all: BTreeMap<&'static str, BTreeMap<BTreeMap<String, String>, Values>> = BTreeMap::new();
    each(reader, &MEASUREMENTS, &[("host", host)], interval, |labels, found| {
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
    use agent_common::wire::registry;

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
    fn every_measurement_named_is_registered() {
        for name in MEASUREMENTS {
            assert!(registry::measurement(name).is_some(), "{name}");
        }
    }
}
