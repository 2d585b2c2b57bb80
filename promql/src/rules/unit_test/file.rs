//! From YAML to tests.

use super::{AlertTest, File, QueryTest, Test};
use crate::labels::Labels;
use crate::rules::file::{MAX_FILE_BYTES, Place, RuleError, duration, fault};
use crate::rules::{labels, series, yaml};

/// Interval where a file names none, as Prometheus's.
const INTERVAL_MS: i64 = 60_000;
/// Most values of all series of a test.
const MAX_VALUES: usize = 1_000_000;

type Result<T> = std::result::Result<T, RuleError>;

impl File {
    /// The tests of a file.
    pub fn parse(text: &str) -> Result<Self> {
        const KEYS: [&str; 5] =
            ["rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests"];
        let place = Place { line: 1, column: 1 };
        if text.len() > MAX_FILE_BYTES {
            return Err(
                fault(place, format!("a file of tests has at most {MAX_FILE_BYTES} bytes")).cure("split it")
            );
        }
        let mut file = match yaml::parse(text)? {
            Some(file) => file.map("a file of tests", &KEYS)?,
            None => return Err(fault(place, "it is empty").cure("it has rule_files and tests")),
        };
        let interval_ms =
            duration(&mut file, "evaluation_interval")?.filter(|ms| *ms > 0).unwrap_or(INTERVAL_MS);
        let fuzzy = file.take_text("fuzzy_compare")?.is_some_and(|text| text == "true");
        let rule_files = texts(&mut file, "rule_files")?;
        let group_order = texts(&mut file, "group_eval_order")?;
        let tests = list(&mut file, "tests")?.into_iter().map(|item| test(item, interval_ms));
        Ok(Self { rule_files, interval_ms, group_order, fuzzy, tests: tests.collect::<Result<_>>()? })
    }
}

fn test(item: yaml::Item, interval_ms: i64) -> Result<Test> {
    const KEYS: [&str; 7] = [
        "name",
        "interval",
        "input_series",
        "alert_rule_test",
        "promql_expr_test",
        "external_labels",
        "external_url",
    ];
    let mut fields = item.map("a test", &KEYS)?;
    let place = fields.place;
    let series = list(&mut fields, "input_series")?.into_iter().map(input).collect::<Result<Vec<_>>>()?;
    if series.iter().map(|(_, values)| values.len()).sum::<usize>() > MAX_VALUES {
        return Err(fault(place, format!("the series of a test have at most {MAX_VALUES} values")));
    }
    Ok(Test {
        name: fields.take_text("name")?.unwrap_or_default(),
        place,
        interval_ms: duration(&mut fields, "interval")?.filter(|ms| *ms > 0).unwrap_or(interval_ms),
        series,
        alerts: list(&mut fields, "alert_rule_test")?.into_iter().map(alert).collect::<Result<_>>()?,
        queries: list(&mut fields, "promql_expr_test")?.into_iter().map(query).collect::<Result<_>>()?,
        external_labels: map(&mut fields, "external_labels")?,
        external_url: fields.take_text("external_url")?.unwrap_or_default(),
    })
}

fn input(item: yaml::Item) -> Result<(Labels, Vec<Option<f64>>)> {
    let mut fields = item.map("an input series", &["series", "values"])?;
    let place = fields.place;
    let wrong = |error: String| fault(place, error);
    let name = required(&mut fields, "series")?;
    let values = required(&mut fields, "values")?;
    if values.contains("{{") {
        return Err(fault(place, "native histograms are not supported"));
    }
    Ok((series::labels(&name).map_err(wrong)?, series::values(&values).map_err(wrong)?))
}

fn alert(item: yaml::Item) -> Result<AlertTest> {
    let mut fields = item.map("a test of alerts", &["eval_time", "alertname", "exp_alerts"])?;
    let (place, name) = (fields.place, required(&mut fields, "alertname")?);
    let at_ms = duration(&mut fields, "eval_time")?.unwrap_or(0);
    let expected = |item: yaml::Item| {
        let mut fields = item.map("an expected alert", &["exp_labels", "exp_annotations"])?;
        let mut of_alert = map(&mut fields, "exp_labels")?;
        of_alert.set("alertname", name.as_str());
        Ok((of_alert, map(&mut fields, "exp_annotations")?))
    };
    let alerts = list(&mut fields, "exp_alerts")?.into_iter().map(expected).collect::<Result<_>>()?;
    Ok(AlertTest { place, at_ms, name, alerts })
}

fn query(item: yaml::Item) -> Result<QueryTest> {
    let mut fields = item.map("a test of a query", &["expr", "eval_time", "exp_samples"])?;
    let place = fields.place;
    let query = required(&mut fields, "expr")?;
    let at_ms = duration(&mut fields, "eval_time")?.unwrap_or(0);
    let sample = |item: yaml::Item| {
        let mut fields = item.map("an expected sample", &["labels", "value"])?;
        let place = fields.place;
        let text = fields.take_text("labels")?.unwrap_or_else(|| "{}".to_owned());
        let text = if text.trim().is_empty() { "{}" } else { text.as_str() };
        let labels = series::labels(text).map_err(|error| fault(place, error))?;
        let value = fields.take_text("value")?.unwrap_or_else(|| "0".to_owned());
        // YAML writes `.inf` and `.nan`.
        let value = value
            .trim()
            .replace(".inf", "inf")
            .replace(".Inf", "inf")
            .replace(".nan", "nan")
            .replace(".NaN", "nan");
        let value = value.parse().map_err(|_| fault(place, format!("{value:?} is no number")))?;
        Ok((labels, value))
    };
    let samples = list(&mut fields, "exp_samples")?.into_iter().map(sample).collect::<Result<_>>()?;
    Ok(QueryTest { place, at_ms, query, samples })
}

fn required(fields: &mut yaml::Fields, key: &str) -> Result<String> {
    let place = fields.place;
    let text = fields.take_text(key)?.filter(|text| !text.is_empty());
    text.ok_or_else(|| fault(place, format!("{key} is missing")).cure(format!("add `{key}: …`")))
}

fn list(fields: &mut yaml::Fields, key: &str) -> Result<Vec<yaml::Item>> {
    fields.take(key).map_or(Ok(Vec::new()), |item| item.list(key))
}

fn texts(fields: &mut yaml::Fields, key: &str) -> Result<Vec<String>> {
    list(fields, key)?.into_iter().map(|item| item.text(key)).collect()
}

fn map(fields: &mut yaml::Fields, key: &str) -> Result<Labels> {
    let Some(item) = fields.take(key) else { return Ok(Labels::default()) };
    Ok(labels(item.texts(key)?))
}
