//! Samples that programs push (Telegraf, Prometheus, curl): of metrics of their own, at times of their own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Measurement of what is pushed: a field is a metric, under its own name. No collector may send it.
pub const PUSHED: &str = "s7mpa_push";
/// Value of a sample that says that its series has ended.
pub const STALE: f64 = promql::STALE;

/// What a store takes of pushed series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushLimits {
    /// Series in the store, also those that have ended and that retention has not deleted yet.
    pub max_series: u64,
    /// Series that are new, in a minute.
    pub new_series_per_minute: u32,
}

impl Default for PushLimits {
    /// A hundred hosts with Telegraf or `node_exporter`. A series has about 200 bytes in the catalogue: 20 MB.
    fn default() -> Self {
        Self { max_series: 100_000, new_series_per_minute: 20_000 }
    }
}

/// Samples of several series. Each set of labels and each name is there once.
#[derive(Debug, Default)]
pub struct Batch {
    labels: Names,
    metrics: Names,
    samples: Vec<PushedSample>,
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PushedSample {
    /// Number of its labels in the batch.
    pub labels: u32,
    /// Number of its metric in the batch.
    pub metric: u32,
    /// Unix time, ms.
    pub at_ms: i64,
    /// Its value; [`STALE`]: the series has ended.
    pub value: f64,
}

/// What a store did with a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Samples that are durable.
    pub samples: u64,
    /// Samples of new series that are above [`PushLimits::max_series`], and the first of these series.
    pub too_many: Overflow,
    /// Samples of new series that are above [`PushLimits::new_series_per_minute`].
    pub too_fast: Overflow,
    /// When there is room for all of `too_fast`, seconds.
    pub retry_after_s: u64,
}

/// Samples that a limit keeps out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overflow {
    /// How many.
    pub samples: u64,
    /// Metric and labels of the first.
    pub first: Option<String>,
}

impl Overflow {
    /// Counts one, of this metric and labels.
    pub fn add(&mut self, metric: &str, labels: &str) {
        self.samples += 1;
        self.first.get_or_insert_with(|| format!("{metric}{{{labels}}}"));
    }
}

impl Batch {
    /// The number of a set of labels without the metric's name; brings it into order. An empty value is no label.
    pub fn labels(&mut self, labels: &mut Vec<(Cow<'_, str>, Cow<'_, str>)>) -> u32 {
        labels.retain(|(_, value)| !value.is_empty());
        labels.sort_unstable();
        self.labels.number(&canonical(labels))
    }

    /// The number of a metric.
    pub fn metric(&mut self, name: &str) -> u32 {
        self.metrics.number(name)
    }

    /// Adds a sample.
    pub fn push(&mut self, sample: PushedSample) {
        self.samples.push(sample);
    }

    /// All, in the order in which they came: of two of one series and time the later counts.
    pub fn samples(&self) -> &[PushedSample] {
        &self.samples
    }

    /// The labels of a number, sorted and escaped.
    pub(in crate::store) fn labels_of(&self, number: u32) -> &Arc<str> {
        &self.labels.all[number as usize]
    }

    /// The name of a number.
    pub(in crate::store) fn metric_of(&self, number: u32) -> &Arc<str> {
        &self.metrics.all[number as usize]
    }
}

/// Texts, each once.
#[derive(Debug, Default)]
struct Names {
    all: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.all.len() as u32;
        let text: Arc<str> = text.into();
        self.all.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }
}

/// Sorted labels as one text; `embedded::catalogue::tags` reads it.
pub(in crate::store) fn canonical(labels: &[(Cow<'_, str>, Cow<'_, str>)]) -> String {
    let mut out = String::new();
    for (name, value) in labels {
        if !out.is_empty() {
            out.push(',');
        }
        escape(&mut out, name);
        out.push('=');
        escape(&mut out, value);
    }
    out
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        if matches!(c, ',' | '=' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_names_are_numbered_once_whatever_their_order() {
        let mut batch = Batch::default();
        let mut number = |labels: &[(&'static str, &'static str)]| {
            let mut labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            batch.labels(&mut labels)
        };
        assert_eq!(number(&[("b", "1"), ("a", "x,=\\")]), 0);
        assert_eq!(number(&[("a", "x,=\\"), ("c", ""), ("b", "1")]), 0);
        assert_eq!(number(&[]), 1);
        assert_eq!((batch.metric("up"), batch.metric("down"), batch.metric("up")), (0, 1, 0));
        assert_eq!(&**batch.labels_of(0), "a=x\\,\\=\\\\,b=1");
    }
}
