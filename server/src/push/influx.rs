//! InfluxDB's line protocol: a field of a measurement is the metric `<measurement>_<field>`, tags are labels, as
//! `VictoriaMetrics` has it. Texts are left out.

use std::borrow::Cow;
use std::collections::HashMap;

use agent_common::wire::line::{LooseLine, Value, loose};

use super::limits::{Label, MAX_SAMPLES, Times, check_labels, check_metric};
use super::report::{Parsed, Reason};
use crate::store::PushedSample;

/// Label with the database of InfluxDB 1, unless a tag is called so.
const DATABASE: &str = "db";

/// Unit of the times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nanoseconds.
    #[default]
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl Precision {
    /// As the parameter `precision` of either version has it; empty: nanoseconds.
    pub fn of(text: &str) -> Option<Self> {
        Some(match text {
            "" | "n" | "ns" => Self::Nanoseconds,
            "u" | "us" | "µ" | "µs" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => return None,
        })
    }

    fn ms(self, time: i64) -> i64 {
        match self {
            Self::Nanoseconds => time.div_euclid(1_000_000),
            Self::Microseconds => time.div_euclid(1_000),
            Self::Milliseconds => time,
            Self::Seconds => time.saturating_mul(1_000),
            Self::Minutes => time.saturating_mul(60_000),
            Self::Hours => time.saturating_mul(3_600_000),
        }
    }
}

/// The measurement of a key, and the number of its labels.
type Key<'a> = (Cow<'a, str>, u32);

/// Reads a body. Times that are missing are now.
pub fn influx(text: &str, precision: Precision, database: &str, times: &Times) -> Parsed {
    let mut parsed = Parsed::default();
    let mut keys: HashMap<&str, Key<'_>> = HashMap::new();
    let mut count = 0;
    for line in loose(text) {
        match line {
            Err(error) => {
                let why = format!("column {}: {}", error.column, error.problem);
                parsed.report.refuse(Some(error.line), (Reason::Malformed, why));
            }
            Ok(line) => {
                let number = line.number;
                if let Err(refused) =
                    take(&mut parsed, &mut keys, &mut count, line, precision, database, times)
                {
                    parsed.report.refuse(Some(number), refused);
                }
            }
        }
    }
    parsed
}

fn take<'a>(
    parsed: &mut Parsed,
    keys: &mut HashMap<&'a str, Key<'a>>,
    count: &mut u64,
    LooseLine { line, time, .. }: LooseLine<'a>,
    precision: Precision,
    database: &str,
    times: &Times,
) -> Result<(), (Reason, String)> {
    *count += line.fields.len() as u64;
    if *count > MAX_SAMPLES {
        let why = format!("a request has {MAX_SAMPLES} values at most: send fewer lines at a time");
        return Err((Reason::TooMany, why));
    }
    let at_ms = time.map_or(times.now_ms, |time| precision.ms(time));
    times.check(at_ms)?;
    if !keys.contains_key(line.key) {
        let mut labels: Vec<Label<'_>> = line.tags().collect();
        if !database.is_empty() && labels.iter().all(|(name, _)| name != DATABASE) {
            labels.push((DATABASE.into(), database.into()));
        }
        check_labels(&labels)?;
        keys.insert(line.key, (line.measurement(), parsed.batch.labels(&mut labels)));
    }
    let (measurement, labels) = &keys[line.key];
    for (field, value) in &line.fields {
        let value = match value {
            Value::Int(value) => *value as f64,
            Value::Float(value) => *value,
            Value::Bool(value) => f64::from(u8::from(*value)),
            Value::Text(_) => {
                parsed.report.left_out += 1;
                continue;
            }
        };
        let name = format!("{measurement}_{field}");
        check_metric(&name)?;
        let metric = parsed.batch.metric(&name);
        parsed.batch.push(PushedSample { labels: *labels, metric, at_ms, value });
    }
    Ok(())
}
