//! Answers of Prometheus's API, read without keeping their text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use promql::{Labels, NAME, ReadError};
use serde::{Deserialize, Deserializer};

use crate::store::elsewhere::collected::failed;

/// A series.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Of its metric; empty: it has none.
    pub(super) name: String,
    pub(super) labels: Labels,
    /// Unix time in ms, and value.
    pub(super) samples: Vec<(i64, f64)>,
}

/// Labels as they come.
type Pairs<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

#[derive(Deserialize)]
struct Document<T> {
    #[serde(default = "none")]
    data: Option<T>,
    error: Option<String>,
}

fn none<T>() -> Option<T> {
    None
}

#[derive(Deserialize)]
struct Matrix<'a> {
    #[serde(borrow, default)]
    result: Vec<One<'a>>,
}

#[derive(Deserialize)]
struct One<'a> {
    #[serde(borrow, default)]
    metric: Pairs<'a>,
    #[serde(default)]
    values: Vec<Sample>,
    value: Option<Sample>,
}

struct Sample(i64, f64);

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (seconds, value) = <(f64, Cow<'de, str>)>::deserialize(deserializer)?;
        let value = value.parse().map_err(serde::de::Error::custom)?;
        Ok(Self((seconds * 1e3).round() as i64, value))
    }
}

/// The samples of an answer to a query.
pub(super) fn samples(line: &[u8]) -> Result<Vec<Found>, ReadError> {
    let matrix: Option<Matrix<'_>> = read(line)?;
    Ok(matrix.into_iter().flat_map(|matrix| matrix.result).map(Found::from).collect())
}

/// A list of names.
pub(super) fn names(line: &[u8]) -> Result<Vec<String>, ReadError> {
    Ok(read(line)?.unwrap_or_default())
}

/// A list of series.
pub(super) fn series(line: &[u8]) -> Result<Vec<Found>, ReadError> {
    let series: Option<Vec<Pairs<'_>>> = read(line)?;
    Ok(series.into_iter().flatten().map(named).collect())
}

/// The data of an answer; `None`: an empty line.
fn read<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<Option<T>, ReadError> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let document: Document<T> = serde_json::from_slice(line)
        .map_err(|error| failed(format!("that is no answer of Prometheus's API: {error}")))?;
    if let Some(error) = document.error {
        let error: String = error.chars().filter(|c| !c.is_control()).take(300).collect();
        return Err(failed(format!("the store refuses the query: {error}")));
    }
    Ok(document.data)
}

fn named(mut pairs: Pairs<'_>) -> Found {
    let name = pairs.remove(NAME).unwrap_or_default().into_owned();
    let labels = Labels::new(pairs.into_iter().map(|(name, value)| ((*name).into(), (*value).into())));
    Found { name, labels, samples: Vec::new() }
}

impl From<One<'_>> for Found {
    fn from(One { metric, values, value }: One<'_>) -> Self {
        let samples = values.into_iter().chain(value).map(|Sample(ms, value)| (ms, value)).collect();
        Self { samples, ..named(metric) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_an_answer_are_read() {
        let text = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"m","a":"x\"y"},"values":[[1.5,"2"],[1700000000.001,"+Inf"]]},{"metric":{},"value":[1,"3"]}]}}"#;
        let found = samples(text).unwrap();
        assert_eq!((&*found[0].name, found[0].labels.get("a")), ("m", "x\"y"));
        assert_eq!(found[0].samples, [(1500, 2.0), (1_700_000_000_001, f64::INFINITY)]);
        assert_eq!((&*found[1].name, &found[1].samples[..]), ("", &[(1000, 3.0)][..]));
        assert_eq!(names(br#"{"data":["a","b"]}"#).unwrap(), ["a", "b"]);
        let found = series(br#"{"data":[{"__name__":"m","h":"a"}]}"#).unwrap();
        assert_eq!((&*found[0].name, found[0].labels.get("h")), ("m", "a"));
        assert!(samples(b"{}").unwrap().is_empty() && samples(b"").unwrap().is_empty());
        for (wrong, why) in [
            ("<html>", "no answer"),
            (r#"{"error":"too many"}"#, "too many"),
            (r#"{"data":[1]}"#, "no answer"),
        ] {
            assert!(names(wrong.as_bytes()).unwrap_err().message.contains(why), "{wrong}");
        }
    }
}
