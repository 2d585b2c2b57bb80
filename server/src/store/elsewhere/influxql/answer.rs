//! Answers of InfluxDB's `/query`: JSON, one document a line.

use std::collections::BTreeMap;

use promql::{Labels, ReadError};
use serde::Deserialize;
use serde_json::Value;

use crate::store::elsewhere::collected::failed;

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    results: Vec<Statement>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Statement {
    #[serde(default)]
    series: Vec<Series>,
    error: Option<String>,
}

/// Rows of a series; more of them may come in further documents.
#[derive(Debug, Deserialize)]
pub(in crate::store::elsewhere) struct Series {
    /// Of its measurement.
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) columns: Vec<String>,
    #[serde(default)]
    pub(super) values: Vec<Vec<Value>>,
}

impl Series {
    pub(super) fn labels(&self) -> Labels {
        Labels::new(self.tags.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())))
    }
}

/// A value that is a number, or a boolean.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        value => value.as_f64(),
    }
}

/// Calls with each series of a document.
pub(in crate::store::elsewhere) fn read(
    line: &[u8],
    mut each: impl FnMut(&Series) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    let document: Document = serde_json::from_slice(line)
        .map_err(|error| failed(format!("that is no answer of InfluxDB's /query: {error}")))?;
    let refused = |error: String| {
        let error: String = error.chars().filter(|c| !c.is_control()).take(300).collect();
        failed(format!("InfluxDB refuses the query: {error}"))
    };
    if let Some(error) = document.error {
        return Err(refused(error));
    }
    for statement in document.results {
        if let Some(error) = statement.error {
            return Err(refused(error));
        }
        statement.series.iter().try_for_each(&mut each)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::elsewhere::collected::Collected;
    use crate::store::elsewhere::influxql::collect;
    use crate::store::elsewhere::metrics::Metric;

    #[test]
    fn rows_become_points_of_each_field() {
        let line = br#"{"results":[{"statement_id":0,"series":[{"name":"m","tags":{"host":"a","pid":""},
            "columns":["time","f","g"],"values":[[1,2,null],[2,3.5,true]],"partial":true}],"partial":true}]}"#;
        let metrics = [Metric::new("m", "g"), Metric::new("m", "f")];
        let mut all = Collected::default();
        collect(line, &metrics, &mut all).unwrap();
        let found: Vec<_> =
            all.ordered().into_iter().map(|one| (one.metric, one.labels.to_string(), one.points)).collect();
        let a = r#"{host="a"}"#.to_owned();
        assert_eq!(found, [(1, a.clone(), vec![(1, 2.0), (2, 3.5)]), (0, a, vec![(2, 1.0)])]);
    }

    #[test]
    fn refusals_and_what_is_no_answer_are_errors() {
        let error = |line: &str| read(line.as_bytes(), |_| Ok(())).unwrap_err().message;
        assert!(error(r#"{"error":"database not found: x"}"#).contains("database not found"));
        assert!(error(r#"{"results":[{"statement_id":0,"error":"timeout\u0007"}]}"#).ends_with(": timeout"));
        assert!(error("<html>").contains("no answer of InfluxDB"));
        assert!(read(b" \r", |_| Ok(())).is_ok() && read(b"{}", |_| Ok(())).is_ok());
    }
}
