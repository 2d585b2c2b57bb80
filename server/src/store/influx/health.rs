//! Lines that a server drops without an error in its answer.
//!
//! VictoriaMetrics answers 204 to a line that it cannot parse, to a time outside its retention and to one in the
//! future. Only its counters show the drops.

use std::collections::BTreeMap;

/// The counters that mean loss.
const COUNTERS: [&str; 4] = [
    "vm_rows_invalid_total",
    "vm_rows_ignored_total",
    "vm_metrics_with_dropped_labels_total",
    "vm_too_long_label_values_total",
];

/// Reads them out of a Prometheus text; those for other protocols than InfluxDB's are left out.
pub(super) fn drop_counters(text: &str) -> Vec<(String, u64)> {
    text.lines()
        .filter(|line| COUNTERS.iter().any(|name| line.starts_with(name)))
        .filter(|line| !line.contains("type=\"") || line.contains("type=\"influx\""))
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            let value: f64 = value.parse().ok()?;
            Some((name.to_owned(), value as u64))
        })
        .collect()
}

/// What was dropped since this program began to write.
#[derive(Debug, Default)]
pub(super) struct Drops {
    begun: Option<BTreeMap<String, u64>>,
}

impl Drops {
    pub(super) fn unknown(&self) -> bool {
        self.begun.is_none()
    }

    pub(super) fn begin(&mut self, counters: Vec<(String, u64)>) {
        self.begun = Some(counters.into_iter().collect());
    }

    /// The differences above zero. A counter below its beginning belongs to a server that was started again.
    pub(super) fn since(&mut self, counters: Vec<(String, u64)>) -> Vec<(String, u64)> {
        let Some(begun) = &self.begun else {
            self.begin(counters);
            return Vec::new();
        };
        counters
            .into_iter()
            .filter_map(|(name, now)| {
                let before = begun.get(&name).copied().unwrap_or(0);
                let count = if now >= before { now - before } else { now };
                (count > 0).then_some((name, count))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "vm_rows_invalid_total{type=\"influx\"} 3\nvm_rows_invalid_total{type=\"csvimport\"} 9\n\
                        vm_rows_ignored_total{reason=\"big_timestamp\"} 1e1\nvm_rows_inserted_total{type=\"influx\"} 7\n";

    #[test]
    fn only_our_losses_since_the_beginning_count() {
        let counters = drop_counters(TEXT);
        assert_eq!(
            counters,
            [
                ("vm_rows_invalid_total{type=\"influx\"}".to_owned(), 3),
                ("vm_rows_ignored_total{reason=\"big_timestamp\"}".to_owned(), 10)
            ]
        );
        let mut drops = Drops::default();
        assert!(drops.unknown());
        drops.begin(counters.clone());
        assert_eq!(drops.since(counters.clone()), []);
        let more: Vec<_> = counters.iter().map(|(name, n)| (name.clone(), n + 2)).collect();
        assert_eq!(drops.since(more).iter().map(|(_, n)| *n).sum::<u64>(), 4);
        let restarted = vec![(counters[0].0.clone(), 1)];
        assert_eq!(drops.since(restarted), [(counters[0].0.clone(), 1)]);
    }
}
