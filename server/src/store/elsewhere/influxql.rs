//! `InfluxQL`: InfluxDB 1, 3, and 2 where its bucket has a database mapped to it.

mod answer;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use promql::ReadError;
use reqwest::RequestBuilder;

pub(super) use self::answer::read;
use super::collected::{Collected, failed};
use super::conditions::{Condition, passed_on};
use super::language::{Question, What};
use super::metrics::Metric;
use super::wire::Wire;
use crate::store::influx::Api;

/// Points that come in one piece.
const CHUNK_POINTS: &str = "10000";

/// All fields of all measurements that are numbers or booleans.
pub(super) fn metrics(wire: &Wire<'_>) -> Result<Vec<Metric>, ReadError> {
    let mut metrics = Vec::new();
    wire.lines(request(wire, "SHOW FIELD KEYS"), &mut |line| {
        read(line, |series| {
            for row in &series.values {
                if let [Some(field), Some(kind), ..] =
                    [0, 1].map(|at| row.get(at).and_then(|one| one.as_str()))
                    && kind != "string"
                {
                    metrics.push(Metric::new(&*series.name, field));
                }
            }
            Ok(())
        })
    })?;
    Ok(metrics)
}

/// Asks, and takes the answer apart.
pub(super) fn ask(wire: &Wire<'_>, question: &Question<'_>, into: &mut Collected) -> Result<(), ReadError> {
    wire.lines(request(wire, &query(question)), &mut |line| collect(line, question.metrics, into))
}

/// Takes a line of an answer.
pub(super) fn collect(line: &[u8], metrics: &[Metric], into: &mut Collected) -> Result<(), ReadError> {
    read(line, |series| {
        let labels = series.labels();
        for (at, column) in series.columns.iter().enumerate() {
            let is_it = |metric: &Metric| metric.measurement == series.name && metric.field == *column;
            let Some(metric) = metrics.iter().position(is_it) else { continue };
            let mut place = None;
            for row in &series.values {
                let Some(value) = row.get(at).and_then(answer::number) else { continue };
                let time = row.first().and_then(serde_json::Value::as_i64);
                let time = time.ok_or_else(|| failed("InfluxDB sent a point without a time"))?;
                // A series has no values of a field that another of its measurement has.
                let place = match place {
                    Some(place) => place,
                    None => *place.insert(into.series(metric, labels.clone())?),
                };
                into.point(place, time, value)?;
            }
        }
        Ok(())
    })
}

fn request(wire: &Wire<'_>, query: &str) -> RequestBuilder {
    let db = match wire.api {
        Api::V1 { db, .. } => db,
        Api::V2 { bucket, .. } => bucket,
    };
    let form =
        [("db", &**db), ("q", query), ("epoch", "ns"), ("chunked", "true"), ("chunk_size", CHUNK_POINTS)];
    wire.post("/query").form(&form)
}

/// The statements of a question, one a measurement.
fn query(question: &Question<'_>) -> String {
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for metric in question.metrics {
        fields.entry(&metric.measurement).or_default().push(&metric.field);
    }
    let mut where_ = format!("time >= {} AND time < {}", question.times.start, question.times.end);
    for condition in passed_on(question.matchers) {
        let _ = match condition {
            Condition::Is(label, value) => write!(where_, " AND {}::tag = {}", name(label), text(value)),
            // Slashes end an expression; nothing else in a plain one means more than in the expression itself.
            Condition::Matches(label, expression) => {
                write!(where_, " AND {}::tag =~ /^(?s:{})$/", name(label), expression.replace('/', "\\/"))
            }
        };
    }
    let mut all = String::new();
    for (measurement, fields) in fields {
        let selected = fields.into_iter().map(|field| {
            let field = name(field);
            match question.what {
                What::Points => format!("{field}::field"),
                What::Sum => format!("sum({field}::field) AS {field}"),
                What::Any => format!("last({field}::field) AS {field}"),
            }
        });
        let selected = selected.collect::<Vec<_>>().join(", ");
        let _ = writeln!(all, "SELECT {selected} FROM {} WHERE {where_} GROUP BY *;", name(measurement));
    }
    all
}

/// A name in double quotes.
fn name(name: &str) -> String {
    quoted(name, '"')
}

/// A text in single quotes.
fn text(text: &str) -> String {
    quoted(text, '\'')
}

fn quoted(text: &str, quote: char) -> String {
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use promql::{Matcher, Operator};

    use super::*;

    fn asked(what: What, matchers: &[(&str, Operator, &str)]) -> String {
        let made = |(label, operator, value): &(&str, Operator, &str)| {
            Matcher::new(*label, *operator, *value).unwrap()
        };
        let matchers: Vec<_> = matchers.iter().map(made).collect();
        let metrics = [Metric::new("m", "f"), Metric::new("m", "g")];
        query(&Question { what, metrics: &metrics, matchers: &matchers, times: 5..9 })
    }

    #[test]
    fn a_question_is_one_statement_a_measurement() {
        assert_eq!(
            asked(What::Points, &[]),
            "SELECT \"f\"::field, \"g\"::field FROM \"m\" WHERE time >= 5 AND time < 9 GROUP BY *;\n"
        );
        assert_eq!(
            asked(What::Sum, &[("host", Operator::Equal, "a"), ("pid", Operator::Equal, "")]),
            "SELECT sum(\"f\"::field) AS \"f\", sum(\"g\"::field) AS \"g\" FROM \"m\" WHERE time >= 5 AND time < 9 \
             AND \"host\"::tag = 'a' GROUP BY *;\n"
        );
        assert!(
            asked(What::Any, &[("c", Operator::Matches, "a/b|c")])
                .contains("\"c\"::tag =~ /^(?s:a\\/b|c)$/ ")
        );
    }

    #[test]
    fn nothing_ends_a_text_or_a_name() {
        let hostile = "a' OR time > 0; DROP DATABASE \"x\"; -- \\' \n";
        let asked = asked(What::Points, &[("host", Operator::Equal, hostile)]);
        let text = "'a\\' OR time > 0; DROP DATABASE \"x\"; -- \\\\\\' \\n'";
        assert!(asked.ends_with(&format!("AND \"host\"::tag = {text} GROUP BY *;\n")), "{asked}");
        assert_eq!(name("a\"b\\c'"), "\"a\\\"b\\\\c'\"");
    }
}
