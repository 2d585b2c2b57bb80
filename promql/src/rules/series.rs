//! Series in Prometheus's notation, `x{a="b"}` with the values `0+10x5 _ stale`; and a store in memory of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::text;
use crate::labels::{Labels, NAME};
use crate::matcher::Matcher;
use crate::reader::{ReadError, Reader, STALE, Sample, Series, SeriesIter, Span};

/// Most values of one series: a year of hours, thirteen hours of seconds.
const MAX_VALUES: usize = 50_000;

/// Labels of `x`, `x{a="b"}` or `{a="b"}`.
pub(super) fn labels(text: &str) -> Result<Labels, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is no series; write it as name{{label=\"value\"}}");
    let name_end = text.find('{').unwrap_or(text.len());
    let (name, rest) = (text[..name_end].trim_end(), &text[name_end..]);
    if name.contains(|c: char| c.is_whitespace() || "\"'`=,}".contains(c)) {
        return Err(wrong());
    }
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    if !name.is_empty() {
        pairs.push((NAME.into(), name.into()));
    }
    let Some(mut inside) = rest.strip_prefix('{') else {
        return if name.is_empty() { Err(wrong()) } else { Ok(Labels::new(pairs)) };
    };
    loop {
        inside = inside.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if let Some(after) = inside.strip_prefix('}') {
            return if after.is_empty() { Ok(Labels::new(pairs)) } else { Err(wrong()) };
        }
        let (label, after) = if let Some(found) = text::quoted(inside) {
            found
        } else {
            let end = inside.find(|c: char| c == '=' || c.is_whitespace()).ok_or_else(wrong)?;
            (inside[..end].to_owned(), &inside[end..])
        };
        let Some(value) = after.trim_start().strip_prefix('=') else {
            // `{"name", a="b"}`
            pairs.push((NAME.into(), label.into()));
            inside = after;
            continue;
        };
        let (value, after) = text::quoted(value.trim_start()).ok_or_else(wrong)?;
        pairs.push((label.into(), value.into()));
        inside = after;
    }
}

/// Values one step after the other, nothing where there is none.
pub(super) fn values(text: &str) -> Result<Vec<Option<f64>>, String> {
    let mut values = Vec::new();
    for word in text.split_whitespace() {
        repeated(word, &mut values)
            .ok_or_else(|| format!("{word:?} is no value; write 1, _, stale, 0+10x5, 3x4 or _x4"))?;
        if values.len() > MAX_VALUES {
            return Err(format!("a series has at most {MAX_VALUES} values"));
        }
    }
    Ok(values)
}

fn repeated(word: &str, into: &mut Vec<Option<f64>>) -> Option<()> {
    let (step, times) = match word.rsplit_once('x') {
        // `0x4` is five zeros here, no hexadecimal number.
        Some((step, times)) => (step, Some(times.parse::<usize>().ok()?.min(MAX_VALUES))),
        None => (word, None),
    };
    match step {
        "_" => into.extend(vec![None; times.unwrap_or(1)]),
        "stale" if times.is_none() => into.push(Some(STALE)),
        _ => {
            let is_sign =
                |(at, c): &(usize, char)| matches!(c, '+' | '-') && !step[..*at].ends_with(['e', 'E']);
            let sign = step.char_indices().skip(1).filter(is_sign).last();
            let (first, change): (f64, f64) = match sign.filter(|_| times.is_some()) {
                Some((at, _)) => (step[..at].parse().ok()?, step[at..].parse().ok()?),
                None => (step.parse().ok()?, 0.0),
            };
            let mut value = first;
            for _ in 0..=times.unwrap_or(0) {
                into.push(Some(value));
                value += change;
            }
        }
    }
    Some(())
}

/// Series in memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    series: BTreeMap<Labels, Vec<Sample>>,
}

impl Memory {
    /// Adds a sample, which is later than those before it.
    pub(super) fn add(&mut self, labels: &Labels, sample: Sample) {
        match self.series.get_mut(labels) {
            Some(samples) => match samples.last_mut() {
                // Of two of one time the later counts.
                Some(last) if last.at_ms >= sample.at_ms => last.value = sample.value,
                _ => samples.push(sample),
            },
            None => drop(self.series.insert(labels.clone(), vec![sample])),
        }
    }
}

impl Reader for Memory {
    fn select(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        let matchers = matchers.to_vec();
        let fulfilling = self.series.iter().filter(move |(labels, _)| labels.fulfil(&matchers));
        Ok(Box::new(fulfilling.filter_map(move |(labels, samples)| {
            let begin = samples.partition_point(|sample| sample.at_ms < span.from_ms);
            let end = samples.partition_point(|sample| sample.at_ms <= span.to_ms);
            let samples = samples.get(begin..end).filter(|samples| !samples.is_empty())?;
            Some(Ok(Series { labels: labels.clone(), samples: samples.to_vec() }))
        })))
    }

    fn series(&self, matchers: &[Matcher], _: Span) -> Result<Vec<Labels>, ReadError> {
        Ok(self.series.keys().filter(|labels| labels.fulfil(matchers)).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_notation() {
        let read = |text: &str| values(text).expect(text);
        assert_eq!(read("1 _ 2.5 _x2"), [Some(1.0), None, Some(2.5), None, None]);
        assert_eq!(read("0+10x2 5-2x1 3x1"), [0.0, 10.0, 20.0, 5.0, 3.0, 3.0, 3.0].map(Some));
        assert_eq!(read("-1-2x1 1e3+1e-1x1 0x1"), [-1.0, -3.0, 1000.0, 1000.1, 0.0, 0.0].map(Some));
        assert!(read("stale")[0].is_some_and(crate::reader::is_stale));
        for wrong in ["x", "1x", "a+bx3", "1+1x-2", "stalex2", "1+1x99999999999999999999", "0x1F"] {
            assert!(values(wrong).is_err(), "{wrong}");
        }
        assert!(
            values("0x40000").is_ok()
                && values("0x100000").is_err()
                && values(&"1x40000 ".repeat(3)).is_err()
        );
    }

    #[test]
    fn labels_are_read_as_in_a_query() {
        for (text, shown) in [
            ("x", "x"),
            ("x{}", "x"),
            ("{}", "{}"),
            (r#"x{a="b", c='d"',}"#, r#"x{a="b",c="d\""}"#),
            (r#"{__name__="x", "a b"="c"}"#, r#"x{"a b"="c"}"#),
            (r#"{"x", a="b"}"#, r#"x{a="b"}"#),
        ] {
            assert_eq!(labels(text).expect(text).to_string(), shown);
        }
        for wrong in ["", "x{", "x{a}", "x{a=b}", "x{a=\"b\"} y", "x y"] {
            assert!(labels(wrong).is_err(), "{wrong}");
        }
    }
}
