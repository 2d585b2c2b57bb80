//! Where series come from.

use crate::labels::Labels;
use crate::matcher::Matcher;

/// The value that ends a series: the bits of one NaN among many, as Prometheus has it.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value is [`STALE`]; no other NaN is.
#[must_use]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// A value of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Unix time, ms.
    pub at_ms: i64,
    /// The value; [`STALE`]: from here on there is none.
    pub value: f64,
}

/// From when to when, Unix time in ms, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First.
    pub from_ms: i64,
    /// Last.
    pub to_ms: i64,
}

/// A series and its samples of a span, in the order of their times, each time once.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is called, the name of the metric among them.
    pub labels: Labels,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// Why a store did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    /// For people.
    pub message: String,
}

/// Series, one after the other: a query holds no more of them than it must.
pub type SeriesIter<'a> = Box<dyn Iterator<Item = Result<Series, ReadError>> + 'a>;

/// A store of series.
pub trait Reader {
    /// Series that fulfil all `matchers` and have samples in `span`, in any order.
    fn select(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError>;

    /// The same for who looks at the differences between samples alone (`rate`, `increase`, `irate`, …). A store of amounts may
    /// begin their running sums anywhere, if it begins them before the span.
    fn select_changes(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        self.select(matchers, span)
    }

    /// The labels of those series, without their samples. May name some that have samples a little outside of `span`.
    fn series(&self, matchers: &[Matcher], span: Span) -> Result<Vec<Labels>, ReadError>;

    /// All names of labels of series that fulfil all `matchers`, sorted.
    fn label_names(&self, matchers: &[Matcher], span: Span) -> Result<Vec<String>, ReadError> {
        let mut names: Vec<String> = Vec::new();
        for labels in self.series(matchers, span)? {
            names.extend(labels.iter().map(|(name, _)| name.to_string()));
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// All values of a label of those series, sorted.
    fn label_values(&self, label: &str, matchers: &[Matcher], span: Span) -> Result<Vec<String>, ReadError> {
        let values = self.series(matchers, span)?.into_iter().map(|labels| labels.get(label).to_owned());
        let mut values: Vec<String> = values.filter(|value| !value.is_empty()).collect();
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

/// What of a series is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Its values.
    Values,
    /// The differences between its values.
    Changes,
}
