//! Answers of both sides, compared.

use std::collections::BTreeMap;

use promql::{Element, Labels, Sample, Series, Span, Value};
use serde_json::Value as Json;

/// What a query is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    /// Unix time, ms.
    Instant(i64),
    /// From when to when, and the step in ms.
    Range(Span, i64),
}

/// A value, or why there is none.
pub(crate) type Outcome = Result<Value, String>;

/// Relative difference that is none.
const EPSILON: f64 = 1e-9;
/// Numbers that are as good as zero: what is left of a difference of two equal numbers after rounding.
const ZERO: f64 = 1e-12;

/// The `data` object of Prometheus's answer.
pub(crate) fn read(data: &Json) -> Option<Value> {
    let result = data.get("result")?;
    Some(match data.get("resultType")?.as_str()? {
        "scalar" => Value::Scalar(sample(result)?),
        "string" => {
            let Sample { at_ms, .. } = Sample { at_ms: milliseconds(result.get(0)?)?, value: 0.0 };
            Value::String { at_ms, text: result.get(1)?.as_str()?.to_owned() }
        }
        "vector" => Value::Vector(result.as_array()?.iter().map(element).collect::<Option<_>>()?),
        "matrix" => Value::Matrix(result.as_array()?.iter().map(series).collect::<Option<_>>()?),
        _ => return None,
    })
}

fn element(json: &Json) -> Option<Element> {
    Some(Element { labels: labels(json.get("metric")?)?, sample: sample(json.get("value")?)? })
}

fn series(json: &Json) -> Option<Series> {
    let samples = json.get("values")?.as_array()?.iter().map(sample).collect::<Option<_>>()?;
    Some(Series { labels: labels(json.get("metric")?)?, samples })
}

fn labels(json: &Json) -> Option<Labels> {
    let pairs =
        json.as_object()?.iter().map(|(name, value)| Some((name.as_str().into(), value.as_str()?.into())));
    Some(Labels::new(pairs.collect::<Option<Vec<_>>>()?))
}

fn sample(json: &Json) -> Option<Sample> {
    Some(Sample { at_ms: milliseconds(json.get(0)?)?, value: json.get(1)?.as_str()?.parse().ok()? })
}

fn milliseconds(json: &Json) -> Option<i64> {
    Some((json.as_f64()? * 1e3).round() as i64)
}

/// How many values are the same in both; or the first difference.
pub(crate) fn compare(theirs: &Outcome, ours: &Outcome) -> Result<usize, String> {
    let (theirs, ours) = match (theirs, ours) {
        (Err(_), Err(_)) => return Ok(0),
        (Ok(theirs), Ok(ours)) => (theirs, ours),
        (Err(theirs), Ok(_)) => return Err(format!("Prometheus refuses it: {theirs}")),
        (Ok(_), Err(ours)) => return Err(format!("only Prometheus answers; here: {ours}")),
    };
    match (theirs, ours) {
        (Value::Scalar(theirs), Value::Scalar(ours)) => one("", *theirs, *ours).map(|()| 1),
        (Value::String { text: theirs, .. }, Value::String { text: ours, .. }) if theirs == ours => Ok(1),
        (Value::Vector(theirs), Value::Vector(ours)) => {
            let samples = |elements: &[Element]| {
                elements.iter().map(|one| (one.labels.clone(), vec![one.sample])).collect::<BTreeMap<_, _>>()
            };
            all(&samples(theirs), &samples(ours))
        }
        (Value::Matrix(theirs), Value::Matrix(ours)) => {
            let samples = |series: &[Series]| {
                series.iter().map(|one| (one.labels.clone(), one.samples.clone())).collect::<BTreeMap<_, _>>()
            };
            all(&samples(theirs), &samples(ours))
        }
        (theirs, ours) => Err(format!("Prometheus: {theirs:?}, here: {ours:?}")),
    }
}

fn all(
    theirs: &BTreeMap<Labels, Vec<Sample>>,
    ours: &BTreeMap<Labels, Vec<Sample>>,
) -> Result<usize, String> {
    let missing = theirs.keys().find(|labels| !ours.contains_key(labels));
    let more = ours.keys().find(|labels| !theirs.contains_key(labels));
    if let Some(labels) = missing {
        return Err(format!("only Prometheus has {labels}: {:?}", &theirs[labels][..1]));
    }
    if let Some(labels) = more {
        return Err(format!("Prometheus has no {labels}: {:?}", &ours[labels][..1]));
    }
    let mut compared = 0;
    for (labels, theirs) in theirs {
        let ours = &ours[labels];
        if theirs.len() != ours.len() {
            return Err(format!(
                "{labels}: Prometheus has {} samples, here are {}",
                theirs.len(),
                ours.len()
            ));
        }
        for (theirs, ours) in theirs.iter().zip(ours) {
            one(&labels.to_string(), *theirs, *ours)?;
        }
        compared += ours.len();
    }
    Ok(compared)
}

fn one(labels: &str, theirs: Sample, ours: Sample) -> Result<(), String> {
    let (a, b) = (theirs.value, ours.value);
    let same = a.to_bits() == b.to_bits()
        || (a.is_nan() && b.is_nan())
        || (a - b).abs() <= EPSILON * a.abs().max(b.abs())
        || (a.abs() < ZERO && b.abs() < ZERO);
    if same && theirs.at_ms == ours.at_ms {
        Ok(())
    } else {
        Err(format!("{labels}: Prometheus has {a} at {}, here is {b} at {}", theirs.at_ms, ours.at_ms))
    }
}
