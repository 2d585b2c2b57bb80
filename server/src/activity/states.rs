//! Where threads spent their time, over time: the series behind a stacked bar.

use std::collections::BTreeMap;

use agent_common::wire::registry;
use promql::{NAME, Operator, ReadError, Reader, is_stale};
use serde::Serialize;

use super::series::{Parts, Seen};
use super::{Interval, matcher};

const OF_PROCESS: &str = "s7mpa_thread_time";
const OF_HOST: &str = "s7mpa_host_time";

/// Thread time by state in each part of an interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct States {
    /// Windows that are known in each part; 0: nothing is known of it.
    pub windows: Vec<u32>,
    /// By state, without `_ns`: ns in each part. `lost` is the sum of others.
    pub states: BTreeMap<String, Vec<f64>>,
}

/// Whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// All threads of the host.
    Host,
    /// Those of a process, and of one that began at this time since boot, ms.
    Process(u32, Option<u64>),
}

/// Thread time by state in each `step_ms` of the interval. A window belongs to the part in which it ends.
pub fn states(
    reader: &dyn Reader,
    host: &str,
    whose: Whose,
    interval: Interval,
    step_ms: i64,
) -> Result<States, ReadError> {
    let measurement = if whose == Whose::Host { OF_HOST } else { OF_PROCESS };
    let fields = registry::measurement(measurement).map_or(&[][..], |measurement| measurement.fields);
    let names: Vec<String> = fields.iter().map(|field| format!("{measurement}_{}", field.name)).collect();
    let mut matchers =
        vec![matcher(NAME, Operator::Matches, &names.join("|"))?, matcher("host", Operator::Equal, host)?];
    if let Whose::Process(pid, start_ms) = whose {
        matchers.push(matcher("pid", Operator::Equal, &pid.to_string())?);
        if let Some(start) = start_ms {
            matchers.push(matcher("start", Operator::Equal, &start.to_string())?);
        }
    }
    let parts = Parts::of(interval, step_ms);
    let mut seen = Seen::new(parts);
    let mut all = States::default();
    for series in reader.select(&matchers, interval.span())? {
        let series = series?;
        let name = series.labels.get(NAME).strip_prefix(measurement).and_then(|name| name.strip_prefix('_'));
        let Some(state) = name.and_then(|name| name.strip_suffix("_ns")) else { continue };
        let values = all.states.entry(state.to_owned()).or_insert_with(|| vec![0.0; parts.count()]);
        for sample in series.samples.iter().filter(|sample| !is_stale(sample.value)) {
            if let Some(part) = seen.window(sample.at_ms) {
                values[part] += sample.value;
            }
        }
    }
    all.windows = seen.counts();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Memory;
    use super::*;

    #[test]
    fn amounts_are_summed_in_the_parts_in_which_their_windows_end() {
        let mut store = Memory(Vec::new());
        let of = |start: &'static str| [("host", "a"), ("pid", "7"), ("start", start), ("comm", "web")];
        store.add("s7mpa_thread_time_oncpu_ns", &of("1"), &[1.0, 2.0, 4.0, 8.0, 16.0]);
        store.add("s7mpa_thread_time_oncpu_ns_total", &of("1"), &[1.0, 3.0, 7.0, 15.0, 31.0]);
        store.add("s7mpa_thread_time_poll_ns", &of("1"), &[9.0, 9.0]);
        store.add("s7mpa_thread_time_oncpu_ns", &of("2"), &[100.0; 5]);
        store.add("s7mpa_host_time_oncpu_ns", &[("host", "a")], &[7.0; 5]);
        let interval = Interval { from_ms: 0, to_ms: 6_000 };
        let found = states(&store, "a", Whose::Process(7, Some(1)), interval, 2_000).unwrap();
        assert_eq!(found.states["oncpu"], [3.0, 12.0, 16.0]);
        assert_eq!(found.states["poll"], [18.0, 0.0, 0.0]);
        assert_eq!(found.windows, [2, 2, 1]);
        let both = states(&store, "a", Whose::Process(7, None), interval, 6_000).unwrap();
        assert_eq!(both.states["oncpu"], [531.0]);
        let host = states(&store, "a", Whose::Host, interval, 6_000).unwrap();
        assert_eq!((host.states["oncpu"].as_slice(), host.windows.as_slice()), (&[35.0][..], &[5][..]));
    }
}
