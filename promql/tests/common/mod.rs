//! A store in memory, filled from Prometheus's notation of series: `x_total{a="b"} 0+10x5 _ stale`.

#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use promql::{Labels, Matcher, ReadError, Reader, STALE, Sample, Series, SeriesIter, Span};

/// A value of the notation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Point {
    Value(f64),
    Missing,
    /// A native histogram, whatever it holds.
    Histogram,
}

/// Series with their samples.
#[derive(Debug, Default, Clone)]
pub(crate) struct Store {
    pub(crate) series: Vec<Series>,
}

impl Store {
    /// Series of these lines, of which the first sample is at 0 and the next ones follow each `step_ms`.
    pub(crate) fn of(step_ms: i64, lines: &str) -> Self {
        let mut store = Self::default();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (labels, points) = series(line).unwrap_or_else(|| panic!("no series: {line}"));
            store.add(labels, &points, step_ms);
        }
        store
    }

    /// Adds samples to a series.
    pub(crate) fn add(&mut self, labels: Labels, points: &[Point], step_ms: i64) {
        let samples = points.iter().enumerate().filter_map(|(nth, point)| match point {
            Point::Value(value) => Some(Sample { at_ms: nth as i64 * step_ms, value: *value }),
            Point::Missing | Point::Histogram => None,
        });
        match self.series.iter_mut().find(|series| series.labels == labels) {
            Some(series) => {
                // Of two samples of one time the later counts.
                let mut all: BTreeMap<i64, f64> =
                    series.samples.iter().map(|sample| (sample.at_ms, sample.value)).collect();
                all.extend(samples.map(|sample| (sample.at_ms, sample.value)));
                series.samples = all.into_iter().map(|(at_ms, value)| Sample { at_ms, value }).collect();
            }
            None => self.series.push(Series { labels, samples: samples.collect() }),
        }
    }
}

impl Reader for Store {
    fn select(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        let matchers = matchers.to_vec();
        let fulfilling = self.series.iter().filter(move |series| series.labels.fulfil(&matchers));
        Ok(Box::new(fulfilling.filter_map(move |series| {
            let begin = series.samples.partition_point(|sample| sample.at_ms < span.from_ms);
            let end = series.samples.partition_point(|sample| sample.at_ms <= span.to_ms);
            (begin < end).then(|| {
                Ok(Series { labels: series.labels.clone(), samples: series.samples[begin..end].to_vec() })
            })
        })))
    }

    fn series(&self, matchers: &[Matcher], _: Span) -> Result<Vec<Labels>, ReadError> {
        let fulfilling = self.series.iter().filter(|series| series.labels.fulfil(matchers));
        Ok(fulfilling.map(|series| series.labels.clone()).collect())
    }
}

/// Labels and values of a line.
pub(crate) fn series(line: &str) -> Option<(Labels, Vec<Point>)> {
    let (labels, rest) = labels(line)?;
    Some((labels, points(rest)?))
}

/// The labels with which a line begins, and the rest.
pub(crate) fn labels(line: &str) -> Option<(Labels, &str)> {
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(name_end);
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = vec![("__name__".into(), name.into())];
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            inside = inside.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
            if let Some(after) = inside.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = if inside.starts_with(['"', '\'']) {
                quoted(inside)?
            } else {
                let end = inside.find(|c: char| c == '=' || c.is_whitespace())?;
                (inside[..end].to_owned(), &inside[end..])
            };
            let Some(value) = after.trim_start().strip_prefix('=') else {
                // `{"name", a="b"}`
                pairs.push(("__name__".into(), label.into()));
                inside = after;
                continue;
            };
            let (value, after) = quoted(value.trim_start())?;
            pairs.push((label.into(), value.into()));
            inside = after;
        }
    }
    Some((Labels::new(pairs), rest))
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote != '`' => value.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            _ if c == quote => return Some((value, &text[at + 1..])),
            _ => value.push(c),
        }
    }
    None
}

/// The values of `1 2+3x4 _ _x2 stale NaN`; a histogram where one of them is.
pub(crate) fn points(text: &str) -> Option<Vec<Point>> {
    if text.contains("{{") {
        return Some(vec![Point::Histogram]);
    }
    let mut points = Vec::new();
    text.split_whitespace().try_for_each(|word| repeated(word, &mut points))?;
    Some(points)
}

fn repeated(word: &str, into: &mut Vec<Point>) -> Option<()> {
    let (step, times) = match word.rsplit_once('x') {
        Some((step, times)) => (step, Some(times.parse::<usize>().ok()?)),
        None => (word, None),
    };
    match step {
        "_" => into.extend(vec![Point::Missing; times.unwrap_or(1)]),
        "stale" => into.extend(vec![Point::Value(STALE); times.map_or(1, |times| times + 1)]),
        _ => {
            let signs = step
                .char_indices()
                .skip(1)
                .filter(|(at, c)| matches!(c, '+' | '-') && !step[..*at].ends_with(['e', 'E']));
            let split = if times.is_some() { signs.last() } else { None };
            let (first, change) = match split {
                Some((at, _)) => (number(&step[..at])?, number(&step[at..])?),
                None => (number(step)?, 0.0),
            };
            let mut value = first;
            for _ in 0..=times.unwrap_or(0) {
                into.push(Point::Value(value));
                value += change;
            }
        }
    }
    Some(())
}

/// A number as Go reads it.
pub(crate) fn number(text: &str) -> Option<f64> {
    text.parse().ok().or_else(|| {
        let (sign, digits) = text.strip_prefix('-').map_or((1.0, text), |digits| (-1.0, digits));
        i64::from_str_radix(digits.strip_prefix("0x")?, 16).ok().map(|value| sign * value as f64)
    })
}

/// Milliseconds of `1h30m`, `10s`, `5` (seconds).
pub(crate) fn duration(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Some((seconds * 1e3).round() as i64);
    }
    match text.strip_prefix('-') {
        Some(text) => promql::milliseconds(text).map(|ms| -ms),
        None => promql::milliseconds(text),
    }
}

/// Numbers that are the same in each run (xorshift).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// From 0 to 1, three digits.
    pub(crate) fn share(&mut self) -> f64 {
        self.below(1001) as f64 / 1000.0
    }
}
