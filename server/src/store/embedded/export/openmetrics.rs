//! `OpenMetrics`: one metric after the other, of each its series with all their samples. Counters are their running sums.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;

use agent_common::wire::registry::{self, Unit};
use promql::{Labels, Matcher, NAME, Operator, Reader as _, Span, is_stale};

use super::{Export, ExportError, Exported};
use crate::store::StoreError;
use crate::store::embedded::slot::damaged;
use crate::store::embedded::view::metric_name;
use crate::store::embedded::{Reader, catalogue, total};

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// A metric of the store.
struct Metric {
    name: String,
    counter: bool,
    help: Option<&'static str>,
}

impl Reader {
    /// Writes the samples as `OpenMetrics`. `progress` is called with how many metrics of how many are done.
    pub fn export_openmetrics(
        &self,
        what: &Export,
        out: &mut dyn Write,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Exported, ExportError> {
        let failed = |error: promql::ReadError| {
            ExportError::Store(StoreError::Corrupt { what: error.to_string(), source: None })
        };
        let span = Span {
            from_ms: what.from.0.div_ceil(MS).min(i64::MAX as u64).cast_signed(),
            to_ms: (what.to.0.div_ceil(MS).min(i64::MAX as u64)).cast_signed().saturating_sub(1),
        };
        let metrics = self.metrics().map_err(|e| self.error(e))?;
        let view = self.view()?;
        let mut exported = Exported::default();
        for (done, metric) in metrics.iter().enumerate() {
            let mut headed = false;
            for (number, matchers) in sets(what, &metric.name).into_iter().enumerate() {
                for series in view.select(&matchers, span).map_err(failed)? {
                    let series = series.map_err(failed)?;
                    // An earlier set has had it.
                    if what.sets[..number].iter().any(|set| series.labels.fulfil(set)) {
                        continue;
                    }
                    if !std::mem::replace(&mut headed, true) {
                        out.write_all(metric.head().as_bytes())?;
                    }
                    let labels = braced(&series.labels);
                    for sample in series.samples.iter().filter(|sample| !is_stale(sample.value)) {
                        let at = sample.at_ms;
                        let (seconds, rest) = (at.div_euclid(1000), at.rem_euclid(1000));
                        let value = promql::plain(sample.value);
                        writeln!(out, "{}{labels} {value} {seconds}.{rest:03}", metric.name)?;
                        exported.samples += 1;
                        exported.points += 1;
                    }
                }
            }
            progress(done as u64 + 1, metrics.len() as u64);
        }
        out.write_all(b"# EOF\n")?;
        Ok(exported)
    }

    /// All metrics by name, of a counter its running sum.
    fn metrics(&self) -> rusqlite::Result<Vec<Metric>> {
        let names = super::fields(self.conn())?;
        let mut fields: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        let mut statement = self.conn().prepare("SELECT DISTINCT measurement, fields FROM series")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let of = fields.entry(row.get(0)?).or_default();
            if let Some(packed) = row.get_ref(1)?.as_blob_or_null()? {
                of.extend(catalogue::unpack_fields(packed).map_err(damaged)?);
            }
        }
        let mut found: BTreeMap<String, Metric> = BTreeMap::new();
        for (measurement, fields) in fields {
            let counters: Vec<&str> = total::counters(&measurement).collect();
            for field in fields.iter().filter_map(|field| names.get(field)) {
                let known = registry::field(&measurement, field);
                if known.is_some_and(|known| known.unit == Unit::Letter) {
                    continue;
                }
                let counter = counters.contains(&field.as_str());
                let name = metric_name(&measurement, field, counter);
                let help = known.map(|known| known.meaning);
                found.insert(name.clone(), Metric { name, counter, help });
            }
        }
        Ok(found.into_values().collect())
    }
}

impl Metric {
    fn head(&self) -> String {
        let family = self.name.strip_suffix("_total").filter(|_| self.counter).unwrap_or(&self.name);
        let mut text = format!("# TYPE {family} {}\n", if self.counter { "counter" } else { "gauge" });
        if let Some(help) = self.help {
            // SANITY: writing to a String cannot fail.
            writeln!(text, "# HELP {family} {}", escaped(help)).expect("write to a String");
        }
        text
    }
}

/// The conditions of each set, and the metric's name.
fn sets(what: &Export, name: &str) -> Vec<Vec<Matcher>> {
    let named = Matcher::new(NAME, Operator::Equal, name).ok();
    let with = |set: &[Matcher]| named.iter().chain(set).cloned().collect::<Vec<_>>();
    if what.sets.is_empty() { vec![with(&[])] } else { what.sets.iter().map(|set| with(set)).collect() }
}

fn braced(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .filter(|(name, _)| ***name != *NAME)
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
