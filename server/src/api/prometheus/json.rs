//! Values as JSON text. Numbers of samples are strings, since JSON has no NaN; times are seconds.

use std::fmt::Write as _;

use promql::{Labels, Sample, Series, Value, plain};

/// A text.
pub(super) fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A list of texts.
pub(super) fn texts<T: AsRef<str>>(all: &[T]) -> String {
    list(all, |out, one| out.push_str(&text(one.as_ref())))
}

/// A list of sets of labels.
pub(super) fn label_sets(all: &[Labels]) -> String {
    list(all, labels)
}

/// The `data` object of Prometheus's API: `{"resultType":…,"result":…}`.
pub fn value(value: &Value) -> String {
    let (kind, result) = match value {
        Value::Scalar(one) => {
            let mut out = String::new();
            sample(&mut out, one);
            ("scalar", out)
        }
        Value::String { at_ms, text: said } => ("string", format!("[{},{}]", seconds(*at_ms), text(said))),
        Value::Vector(elements) => {
            let vector = list(elements, |out, element| {
                out.push_str("{\"metric\":");
                labels(out, &element.labels);
                out.push_str(",\"value\":");
                sample(out, &element.sample);
                out.push('}');
            });
            ("vector", vector)
        }
        Value::Matrix(series) => ("matrix", list(series, one_series)),
    };
    format!("{{\"resultType\":\"{kind}\",\"result\":{result}}}")
}

fn one_series(out: &mut String, series: &Series) {
    out.push_str("{\"metric\":");
    labels(out, &series.labels);
    out.push_str(",\"values\":");
    out.push_str(&list(&series.samples, sample));
    out.push('}');
}

fn list<T>(all: &[T], mut each: impl FnMut(&mut String, &T)) -> String {
    let mut out = String::from("[");
    for (at, one) in all.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        each(&mut out, one);
    }
    out.push(']');
    out
}

fn labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let _ = write!(out, "{}:{}", text(name), text(value));
    }
    out.push('}');
}

fn sample(out: &mut String, sample: &Sample) {
    let _ = write!(out, "[{},\"{}\"]", seconds(sample.at_ms), plain(sample.value));
}

/// Seconds with as many decimals as it takes.
fn seconds(at_ms: i64) -> String {
    let sign = if at_ms < 0 { "-" } else { "" };
    let (whole, rest) = (at_ms.unsigned_abs() / 1_000, at_ms.unsigned_abs() % 1_000);
    if rest == 0 {
        return format!("{sign}{whole}");
    }
    let rest = format!("{rest:03}");
    format!("{sign}{whole}.{}", rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_and_texts_are_escaped() {
        let cases =
            [(0, "0"), (1_500, "1.5"), (-1, "-0.001"), (1_700_000_000_010, "1700000000.01"), (4_000, "4")];
        for (at_ms, expected) in cases {
            assert_eq!(seconds(at_ms), expected);
        }
        assert_eq!(text("a\"\\\n\u{1}<"), r#""a\"\\\n\u0001<""#);
        let scalar = Value::Scalar(Sample { at_ms: 4_000, value: f64::INFINITY });
        assert_eq!(value(&scalar), r#"{"resultType":"scalar","result":[4,"+Inf"]}"#);
    }
}
