//! Which metrics conditions on the name mean.

use agent_common::wire::head;
use agent_common::wire::registry::{self, Kind, Unit};
use promql::{Matcher, NAME, Operator};

/// What the name of a running sum ends with.
const TOTAL: &str = "_total";

/// A metric as it was written: a field of a measurement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Metric {
    pub(super) measurement: String,
    pub(super) field: String,
}

impl Metric {
    pub(super) fn new(measurement: impl Into<String>, field: impl Into<String>) -> Self {
        Self { measurement: measurement.into(), field: field.into() }
    }

    /// As the embedded store calls it.
    pub(super) fn name(&self) -> String {
        // A store that knows no measurements has the whole name.
        if self.measurement.is_empty() {
            return self.field.clone();
        }
        format!("{}_{}", self.measurement, self.field)
    }

    /// The ends of the windows.
    pub(super) fn of_windows() -> Self {
        Self::new(head::MEASUREMENT, "seq")
    }

    fn known(&self) -> Option<&'static registry::Field> {
        if self.measurement.is_empty() {
            return by_name(&self.field).and_then(|metric| metric.known());
        }
        registry::field(&self.measurement, &self.field)
    }

    fn is_of_windows(&self) -> bool {
        self.name().strip_prefix(head::MEASUREMENT).is_some_and(|rest| rest.starts_with('_'))
    }

    fn is_counter(&self) -> bool {
        self.known().is_some_and(|field| field.kind == Kind::Counter)
    }

    fn is_text(&self) -> bool {
        self.known().is_some_and(|field| field.unit == Unit::Letter)
    }
}

/// A metric of ours by its name.
fn by_name(name: &str) -> Option<Metric> {
    ours().find(|metric| metric.name() == name)
}

/// All metrics of ours.
pub(super) fn ours() -> impl Iterator<Item = Metric> {
    registry::measurements().flat_map(|measurement| {
        measurement.fields.iter().map(|field| Metric::new(measurement.name, field.name))
    })
}

/// Every way to divide a name into measurement and field.
pub(super) fn divisions(name: &str) -> impl Iterator<Item = Metric> {
    name.match_indices('_')
        .map(|(at, _)| Metric::new(&name[..at], &name[at + 1..]))
        .filter(|metric| !metric.measurement.is_empty() && !metric.field.is_empty())
}

/// The conditions on the name.
pub(super) struct Names<'m>(Vec<&'m Matcher>);

/// What is wanted of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) metric: Metric,
    /// Its values.
    pub(super) values: bool,
    /// Their running sum.
    pub(super) total: bool,
}

impl Wanted {
    /// The name of the values, or of their running sum.
    pub(super) fn name(&self, total: bool) -> String {
        format!("{}{}", self.metric.name(), if total { TOTAL } else { "" })
    }
}

impl<'m> Names<'m> {
    pub(super) fn new(matchers: &'m [Matcher]) -> Self {
        Self(matchers.iter().filter(|matcher| matcher.label == NAME).collect())
    }

    /// The name, where there is only one; for that of a running sum of ours, that of its amounts.
    pub(super) fn only(&self) -> Option<&str> {
        let equal = self.0.iter().find(|matcher| matcher.operator == Operator::Equal)?;
        let amounts = equal.value.strip_suffix(TOTAL);
        let amounts = amounts.filter(|name| by_name(name).is_some_and(|metric| metric.is_counter()));
        Some(amounts.unwrap_or(&equal.value))
    }

    /// What of a metric fulfils the conditions, if anything does.
    pub(super) fn wanted(&self, metric: Metric) -> Option<Wanted> {
        // The windows are points only here: a pattern finds what it finds in the embedded store.
        if metric.is_text() || (self.only().is_none() && metric.is_of_windows()) {
            return None;
        }
        let fulfils = |name: &str| self.0.iter().all(|matcher| matcher.matches(name));
        let wanted = Wanted { metric, values: false, total: false };
        let values = fulfils(&wanted.name(false));
        let total = wanted.metric.is_counter() && fulfils(&wanted.name(true));
        (values || total).then_some(Wanted { values, total, ..wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(operator: Operator, value: &str) -> Vec<(String, bool, bool)> {
        let matchers = [Matcher::new(NAME, operator, value).unwrap()];
        let names = Names::new(&matchers);
        let found = ours().filter_map(|metric| names.wanted(metric));
        found.map(|one| (one.metric.name(), one.values, one.total)).collect()
    }

    #[test]
    fn a_name_means_the_amounts_or_their_sum() {
        let user = "s7mpa_process_user_ns".to_owned();
        assert_eq!(wanted(Operator::Equal, &user), [(user.clone(), true, false)]);
        assert_eq!(wanted(Operator::Equal, "s7mpa_process_user_ns_total"), [(user.clone(), false, true)]);
        assert_eq!(wanted(Operator::Matches, "s7mpa_process_user_ns.*"), [(user, true, true)]);
        assert_eq!(wanted(Operator::Equal, "s7mpa_process_rss_bytes_total"), [], "no counter");
        assert_eq!(wanted(Operator::Equal, "s7mpa_process_state"), [], "a text");
        assert_eq!(wanted(Operator::Matches, "s7mpa_window_.*"), [], "nothing of ours in the embedded store");
        assert_eq!(wanted(Operator::Equal, "s7mpa_window_seq").len(), 1);
    }

    #[test]
    fn the_only_name_is_that_of_the_amounts() {
        let only = |name: &str| {
            let matchers = [Matcher::new(NAME, Operator::Equal, name).unwrap()];
            Names::new(&matchers).only().map(str::to_owned)
        };
        assert_eq!(only("s7mpa_process_user_ns_total").as_deref(), Some("s7mpa_process_user_ns"));
        assert_eq!(only("http_requests_total").as_deref(), Some("http_requests_total"), "none of ours");
        let names: Vec<_> = divisions("cpu_usage_idle").map(|one| (one.measurement, one.field)).collect();
        assert_eq!(names, [("cpu".into(), "usage_idle".into()), ("cpu_usage".into(), "idle".into())]);
        assert_eq!(divisions("_a_").count(), 0);
    }
}
