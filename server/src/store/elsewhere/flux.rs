//! Flux: InfluxDB 2.
//!
//! `influxdb2` sends a query, too, and reads its whole answer into memory, however large; and it drops a path in the URL. So the
//! request is ours, and the answer is read line by line (`csv`).

mod csv;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use promql::ReadError;
use serde_json::json;

pub(super) use self::csv::{Reader, Row};
use super::collected::Collected;
use super::conditions::{Condition, passed_on};
use super::language::{Question, What};
use super::wire::Wire;
use crate::store::influx::Api;

/// Asks, and takes the answer apart.
pub(super) fn ask(wire: &Wire<'_>, question: &Question<'_>, into: &mut Collected) -> Result<(), ReadError> {
    let Api::V2 { org, bucket, .. } = wire.api else { return Ok(()) };
    let body = json!({
        "query": query(bucket, question),
        "type": "flux",
        "dialect": { "header": true, "delimiter": ",", "annotations": ["datatype", "group", "default"] },
    });
    let request = wire
        .post("/api/v2/query")
        .query(&[("org", org)])
        .header("Content-Type", "application/json")
        .header("Accept", "application/csv")
        .body(body.to_string());
    let mut collect = collecting(question, into);
    let mut reader = Reader::default();
    wire.lines(request, &mut |line| reader.line(line, &mut collect))?;
    reader.end(&mut collect)
}

/// Takes rows.
pub(super) fn collecting<'a>(
    question: &'a Question<'_>,
    into: &'a mut Collected,
) -> impl FnMut(Row<'_>) -> Result<(), ReadError> + 'a {
    let mut before: Option<(u64, Option<usize>)> = None;
    move |row| {
        // Rows of one table are of one series.
        let place = match before {
            Some((table, place)) if table == row.table => place,
            _ => {
                let metric = question
                    .metrics
                    .iter()
                    .position(|metric| metric.measurement == row.measurement && metric.field == row.field);
                let place = metric.map(|metric| into.series(metric, (row.labels)())).transpose()?;
                before = Some((row.table, place));
                place
            }
        };
        match place {
            Some(place) => into.point(place, row.time, row.value),
            None => Ok(()),
        }
    }
}

/// The query of a question.
fn query(bucket: &str, question: &Question<'_>) -> String {
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for metric in question.metrics {
        fields.entry(&metric.measurement).or_default().push(&metric.field);
    }
    let wanted = fields.into_iter().map(|(measurement, fields)| {
        let fields: Vec<_> = fields.into_iter().map(|field| format!("r._field == {}", text(field))).collect();
        format!("(r._measurement == {} and ({}))", text(measurement), fields.join(" or "))
    });
    let wanted = wanted.collect::<Vec<_>>().join(" or ");
    let mut query = format!(
        "from(bucket: {}) |> range(start: time(v: {}), stop: time(v: {})) |> filter(fn: (r) => {wanted})",
        text(bucket),
        question.times.start,
        question.times.end
    );
    for condition in passed_on(question.matchers) {
        let _ = match condition {
            Condition::Is(label, value) => {
                write!(query, " |> filter(fn: (r) => r[{}] == {})", text(label), text(value))
            }
            Condition::Matches(label, expression) => {
                let (label, expression) = (text(label), expression.replace('/', "\\/"));
                write!(
                    query,
                    " |> filter(fn: (r) => exists r[{label}] and r[{label}] =~ /^(?s:{expression})$/)"
                )
            }
        };
    }
    query.push_str(match question.what {
        What::Points => "",
        What::Sum => " |> sum()",
        What::Any => " |> last()",
    });
    query.push_str(" |> drop(columns: [\"_start\", \"_stop\"])");
    query
}

/// A text in double quotes. Whatever could mean more than itself (`"`, `\`, `${`) is written as its bytes' numbers.
fn text(text: &str) -> String {
    let mut out = String::from('"');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_ .:/-".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use promql::{Matcher, Operator};

    use super::*;
    use crate::store::elsewhere::metrics::Metric;

    #[test]
    fn a_question_is_one_query() {
        let metrics = [Metric::new("m", "f"), Metric::new("m", "g")];
        let matchers = [
            Matcher::new("host", Operator::Equal, "a").unwrap(),
            Matcher::new("comm", Operator::Matches, "b/c|d").unwrap(),
        ];
        let question = Question { what: What::Sum, metrics: &metrics, matchers: &matchers, times: 5..9 };
        assert_eq!(
            query("my bucket", &question),
            "from(bucket: \"my bucket\") |> range(start: time(v: 5), stop: time(v: 9)) \
             |> filter(fn: (r) => (r._measurement == \"m\" and (r._field == \"f\" or r._field == \"g\"))) \
             |> filter(fn: (r) => r[\"host\"] == \"a\") \
             |> filter(fn: (r) => exists r[\"comm\"] and r[\"comm\"] =~ /^(?s:b\\/c|d)$/) \
             |> sum() |> drop(columns: [\"_start\", \"_stop\"])"
        );
    }

    #[test]
    fn nothing_ends_a_text_or_is_put_into_it() {
        assert_eq!(text("a\") |> drop() //"), r#""a\x22\x29 \x7c\x3e drop\x28\x29 //""#);
        assert_eq!(text("${secret}\\\n"), r#""\x24\x7bsecret\x7d\x5c\x0a""#);
        assert_eq!(text("ä"), r#""\xc3\xa4""#);
    }
}
