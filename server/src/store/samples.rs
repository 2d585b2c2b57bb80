//! From what was stored to samples: running sums, where a series begins, where it ends. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use promql::{STALE, Sample, Span};

/// Nanoseconds of a millisecond.
pub(super) const MS: i64 = 1_000_000;
/// The longest step that windows are put together over.
pub(super) const MAX_STEP_NS: i64 = 60 * 1_000_000_000;
/// When two windows are further apart than this, and the step that the later was put together over, the earlier says nothing of
/// when the series of the later began.
pub(super) const MAX_WINDOW_GAP_NS: i64 = 60 * 1_000_000_000;
/// So far behind a span lies what says something of its last sample.
pub(super) const AFTER_NS: i64 = MAX_WINDOW_GAP_NS + MAX_STEP_NS;

/// A span as times in ns, the second excluded.
pub(super) fn times(span: Span) -> Range<i64> {
    span.from_ms.saturating_mul(MS)..span.to_ms.saturating_add(1).saturating_mul(MS)
}

/// A value that is a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

/// A value as it was stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Raw {
    /// Unix time, ns.
    pub(super) time: i64,
    /// The stream whose window it came in.
    pub(super) stream: i64,
    pub(super) number: Number,
    /// Whether running sums have it.
    pub(super) summed: bool,
}

impl Raw {
    fn value(&self) -> f64 {
        match self.number {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    /// What it adds to a running sum. Sums only rise, so less than nothing is nothing.
    fn amount(&self) -> i64 {
        match self.number {
            Number::Int(value) => value.max(0),
            Number::Float(value) => (value as i64).max(0),
        }
    }
}

/// Ends of the windows of each stream, Unix ns, and the steps that they have been put together over, ns.
#[derive(Debug, Default)]
pub(super) struct Windows(BTreeMap<i64, Vec<(i64, i64)>>);

impl Windows {
    pub(super) fn add(&mut self, stream: i64, ends: &[i64], step: i64) {
        self.0.entry(stream).or_default().extend(ends.iter().map(|end| (*end, step)));
    }

    /// Must be called after the last [`Windows::add`].
    pub(super) fn order(&mut self) {
        for ends in self.0.values_mut() {
            if !ends.is_sorted_by(|(a, _), (b, _)| a < b) {
                ends.sort_unstable();
                ends.dedup_by_key(|(end, _)| *end);
            }
        }
    }
}

/// Finds the window of one sample after the other.
struct Cursor<'a> {
    windows: &'a Windows,
    stream: i64,
    ends: &'a [(i64, i64)],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(windows: &'a Windows) -> Self {
        Self { windows, stream: i64::MIN, ends: &[], at: 0 }
    }

    /// Goes to the window that a sample came in: the first of its stream that does not end before it.
    fn go(&mut self, raw: &Raw) {
        if self.stream != raw.stream {
            self.stream = raw.stream;
            self.ends = self.windows.0.get(&raw.stream).map_or(&[], Vec::as_slice);
            self.at = self.ends.partition_point(|(end, _)| *end < raw.time);
        }
        while self.ends.get(self.at).is_some_and(|(end, _)| *end < raw.time) {
            self.at += 1;
        }
    }

    /// End of the window before, if the series is not in it; `last` is the time of its sample before.
    fn begins_after(&self, last: Option<i64>) -> Option<i64> {
        let ((own, step), (before, _)) = (*self.ends.get(self.at)?, *self.ends.get(self.at.checked_sub(1)?)?);
        let earlier = self.at.checked_sub(2).map_or(i64::MIN, |at| self.ends[at].0);
        (own.saturating_sub(before) <= MAX_WINDOW_GAP_NS + step && last.is_none_or(|last| last <= earlier))
            .then_some(before)
    }

    /// End of the window after, if the series is not in it; `next` is the time of its sample after.
    fn ends_before(&self, next: Option<i64>) -> Option<i64> {
        let (after, _) = *self.ends.get(self.at + 1)?;
        next.is_none_or(|next| next > after).then_some(after)
    }
}

/// Samples of a span.
struct Samples {
    span: Span,
    samples: Vec<Sample>,
}

impl Samples {
    fn push(&mut self, time: i64, value: f64) {
        let at_ms = time.div_euclid(MS);
        if at_ms < self.span.from_ms || at_ms > self.span.to_ms {
            return;
        }
        match self.samples.last_mut() {
            Some(last) if last.at_ms == at_ms => last.value = value,
            _ => self.samples.push(Sample { at_ms, value }),
        }
    }

    /// The end of a series of which there was something.
    fn end(&mut self, time: i64) {
        if !self.samples.is_empty() {
            self.push(time, STALE);
        }
    }
}

/// The values as they are. Where a window lacks the series, it ends.
pub(super) fn levels(raw: &[Raw], windows: &Windows, span: Span) -> Vec<Sample> {
    let mut out = Samples { span, samples: Vec::with_capacity(raw.len() + 1) };
    let mut cursor = Cursor::new(windows);
    for (at, sample) in raw.iter().enumerate() {
        out.push(sample.time, sample.value());
        cursor.go(sample);
        if let Some(end) = cursor.ends_before(raw.get(at + 1).map(|next| next.time)) {
            out.end(end);
        }
    }
    out.samples
}

/// The sum of all amounts so far, from `base` on. Where a series begins, be it again, its sum of before comes first, at the
/// end of the window before: so the differences of neighbours are the amounts, the first one too.
pub(super) fn running(raw: &[Raw], windows: &Windows, span: Span, base: i64) -> Vec<Sample> {
    let mut out = Samples { span, samples: Vec::with_capacity(raw.len() + 2) };
    let mut cursor = Cursor::new(windows);
    let mut sum = base;
    let mut last = None;
    for (at, sample) in raw.iter().enumerate() {
        if !sample.summed {
            continue;
        }
        cursor.go(sample);
        if let Some(begin) = cursor.begins_after(last) {
            out.push(begin, sum as f64);
        }
        sum = sum.saturating_add(sample.amount());
        out.push(sample.time, sum as f64);
        if let Some(end) = cursor.ends_before(raw.get(at + 1).map(|next| next.time)) {
            out.end(end);
        }
        last = Some(sample.time);
    }
    out.samples
}
