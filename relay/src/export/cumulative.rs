//! Running sums of a host's counters, and the levels of its gauges: what remote write sends.
//!
//! Windows have amounts; Prometheus wants sums that rise. A sum begins with nothing when the relay starts, and when its series
//! comes back after more than [`FORGET_NS`]: a reset, as for any program that was restarted. Names are those of the embedded
//! store: `<measurement>_<field>` for a gauge, the same with `_total` for a counter.

use std::collections::HashMap;
use std::time::Duration;

use agent_common::units::UnixNs;
use agent_common::wire::line::{self, Line, Value};
use agent_common::wire::registry::{self, Kind, Measurement, Unit};
use remote_write::{Label, Metadata, MetricType, NAME, STALE, Sample, TimeSeries, WriteRequest};

/// Most series of points: what a window may have four times over. Further ones are left out and counted.
const MAX_POINTS: usize = 20_000;
/// Most series a request: Prometheus's own default of samples a request.
const MAX_SERIES_A_REQUEST: usize = 2000;
/// Sums of a series that was not seen for so long are forgotten, nanoseconds.
const FORGET_NS: u64 = 10 * 60 * 1_000_000_000;
/// Intervals after which the metrics' types are sent again: a receiver that was restarted has forgotten them.
const METADATA_EVERY: u64 = 40;

/// The sums and levels of one series of points.
#[derive(Debug)]
struct Points {
    measurement: &'static Measurement,
    labels: Vec<Label>,
    /// One a field of the measurement.
    values: Vec<Option<f64>>,
    seen: u64,
    /// It was sent, and no stale marker since.
    told: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cumulative {
    interval_ns: u64,
    due: u64,
    /// By measurement and tags as they stand in the line.
    points: HashMap<Box<str>, Points>,
    since: u64,
    turns: u64,
    left_out: u64,
}

impl Cumulative {
    pub(super) fn new(interval: Duration) -> Self {
        let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { interval_ns, due: 0, points: HashMap::new(), since: 0, turns: 0, left_out: 0 }
    }

    /// Samples that found no place since this was asked last.
    pub(super) const fn take_left_out(&mut self) -> u64 {
        std::mem::replace(&mut self.left_out, 0)
    }

    /// Adds a window; the requests that are due with it.
    pub(super) fn add(&mut self, end: UnixNs, lines: &str) -> Vec<WriteRequest> {
        for line in line::lines(lines).flatten() {
            self.add_line(end.0, &line);
        }
        if end.0 < self.due {
            return Vec::new();
        }
        let requests = self.requests(end.0);
        self.since = end.0;
        self.due = (end.0 / self.interval_ns + 1).saturating_mul(self.interval_ns);
        requests
    }

    fn add_line(&mut self, at: u64, line: &Line<'_>) {
        if !self.points.contains_key(line.key) {
            if self.points.len() >= MAX_POINTS {
                self.left_out += line.fields.len() as u64;
                return;
            }
            // Another measurement than ours is none of a collector's.
            let Some(measurement) = registry::measurement(&line.measurement()) else { return };
            let labels = line.tags().map(|(name, value)| Label::new(name, value)).collect();
            let values = vec![None; measurement.fields.len()];
            let points = Points { measurement, labels, values, seen: 0, told: false };
            self.points.insert(line.key.into(), points);
        }
        let Some(points) = self.points.get_mut(line.key) else { return };
        points.seen = at;
        for (name, value) in &line.fields {
            let value = match value {
                Value::Int(value) => *value as f64,
                Value::Float(value) => *value,
                Value::Bool(value) => f64::from(u8::from(*value)),
                Value::Text(_) => continue,
            };
            let Some(place) = points.measurement.fields.iter().position(|field| field.name == name) else {
                continue;
            };
            let entry = &mut points.values[place];
            *entry = Some(match points.measurement.fields[place].kind {
                Kind::Counter => entry.unwrap_or(0.0) + value.max(0.0),
                Kind::Gauge => value,
            });
        }
    }

    fn requests(&mut self, at: u64) -> Vec<WriteRequest> {
        let timestamp = i64::try_from(at / 1_000_000).unwrap_or(i64::MAX);
        let mut series = Vec::new();
        for points in self.points.values_mut() {
            let alive = points.seen > self.since;
            if !alive && !points.told {
                continue;
            }
            for (field, value) in points.measurement.fields.iter().zip(&points.values) {
                let Some(value) = value else { continue };
                let value = if alive { *value } else { STALE };
                let mut labels = points.labels.clone();
                labels.push(Label::new(NAME, name(points.measurement, field)));
                series.push(TimeSeries::new(labels, vec![Sample { value, timestamp }]));
            }
            points.told = alive;
        }
        self.points.retain(|_, points| points.told || at.saturating_sub(points.seen) < FORGET_NS);
        let mut requests = Vec::new();
        while !series.is_empty() {
            let rest = series.split_off(MAX_SERIES_A_REQUEST.min(series.len()));
            requests.push(WriteRequest { timeseries: series, metadata: Vec::new() });
            series = rest;
        }
        if self.turns.is_multiple_of(METADATA_EVERY)
            && let Some(first) = requests.first_mut()
        {
            first.metadata = metadata();
        }
        self.turns += 1;
        requests
    }
}

fn name(measurement: &Measurement, field: &registry::Field) -> String {
    let total = if field.kind == Kind::Counter { "_total" } else { "" };
    format!("{}_{}{total}", measurement.name, field.name)
}

/// What all metrics are.
fn metadata() -> Vec<Metadata> {
    let all = registry::measurements().flat_map(|measurement| {
        measurement
            .fields
            .iter()
            .filter(|field| field.unit != Unit::Letter)
            .map(move |field| (measurement, field))
    });
    let one = |(measurement, field): (&Measurement, &registry::Field)| Metadata {
        kind: match field.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        }
        .into(),
        metric_family_name: name(measurement, field),
        help: field.meaning.to_owned(),
        unit: field.unit.name().to_owned(),
    };
    all.map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Adds a window that ends at this second; the samples that it makes due, as `name{labels}` and value.
    fn add(sums: &mut Cumulative, second: u64, lines: &str) -> Vec<(String, f64)> {
        let stamped: String =
            lines.lines().flat_map(|line| [line.to_owned(), format!(" {}\n", second * SECOND)]).collect();
        let mut all = Vec::new();
        for request in sums.add(UnixNs(second * SECOND), &stamped) {
            for series in request.timeseries {
                assert!(series.labels.is_sorted_by_key(|label| label.name.clone()));
                let text: Vec<_> =
                    series.labels.iter().map(|label| format!("{}={}", label.name, label.value)).collect();
                assert_eq!(series.samples[0].timestamp, (second * 1000) as i64);
                all.push((text.join(","), series.samples[0].value));
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    #[test]
    fn amounts_become_sums_that_rise_and_gauges_stay() {
        let mut sums = Cumulative::new(Duration::from_secs(2));
        let line = "s7mpa_host,host=a forks=3i,load1=0.5,nonsense=1i";
        let forks = "__name__=s7mpa_host_forks_total,host=a".to_owned();
        let load = "__name__=s7mpa_host_load1,host=a".to_owned();
        assert_eq!(add(&mut sums, 10, line), [(forks.clone(), 3.0), (load.clone(), 0.5)]);
        assert!(add(&mut sums, 11, line).is_empty(), "not due");
        assert_eq!(
            add(&mut sums, 12, "s7mpa_host,host=a forks=4i,load1=0.25"),
            [(forks, 10.0), (load, 0.25)]
        );
        assert!(
            add(&mut sums, 14, "other,host=a x=1i")
                .iter()
                .all(|(_, value)| value.to_bits() == STALE.to_bits())
        );
    }

    #[test]
    fn a_series_that_ends_is_marked_once_and_goes_on_where_it_was() {
        let mut sums = Cumulative::new(Duration::from_secs(1));
        let process = "s7mpa_process,host=a,pid=7 runq_ns=5i";
        assert_eq!(add(&mut sums, 1, process)[0].1.to_bits(), 5f64.to_bits());
        let gone = add(&mut sums, 2, "");
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].1.to_bits(), STALE.to_bits());
        assert!(add(&mut sums, 3, "").is_empty(), "once");
        assert_eq!(add(&mut sums, 4, process)[0].1.to_bits(), 10f64.to_bits());
        add(&mut sums, 5, "");
        add(&mut sums, 5 + FORGET_NS / SECOND, "");
        assert!(sums.points.is_empty(), "forgotten");
    }

    #[test]
    fn requests_are_split_and_series_are_bounded() {
        let mut sums = Cumulative::new(Duration::from_secs(1));
        let line = |pid: usize| format!("s7mpa_process,host=a,pid={pid} runq_ns=1i {SECOND}");
        let lines: Vec<String> = (0..MAX_POINTS + 5).map(line).collect();
        let lines = lines.join("\n");
        let requests = sums.add(UnixNs(SECOND), &lines);
        assert_eq!((sums.take_left_out(), sums.take_left_out()), (5, 0));
        assert_eq!(requests.iter().map(|request| request.timeseries.len()).sum::<usize>(), MAX_POINTS);
        assert!(requests.iter().all(|request| request.timeseries.len() <= MAX_SERIES_A_REQUEST));
        assert!(
            requests[0].metadata.iter().any(|one| one.metric_family_name == "s7mpa_process_runq_ns_total")
        );
        assert!(requests[1..].iter().all(|request| request.metadata.is_empty()));
    }
}
