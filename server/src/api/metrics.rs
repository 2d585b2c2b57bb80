//! `/metrics`: the latest values of the hosts' own series, and how the server is, for a Prometheus to scrape.
//!
//! The names are those that queries here have, units included: one dashboard works on both. Series of single processes are
//! not there: there are too many, and they come and go.

mod health;
mod text;

use std::collections::BTreeMap;

use agent_common::wire::registry::{self, Kind, Unit};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Response};
use promql::{Labels, Matcher, NAME, Operator, Reader, Span, is_stale};

pub use self::health::Health;
pub(super) use self::health::{Counts, Shared};
use self::text::{Family, Page};
use super::prometheus::Failure;
use super::routes::{Need, Routes};
use super::work::End;
use crate::access::Role;

/// Measurements of hosts, each with few series a host.
const MEASUREMENTS: [&str; 11] = [
    "s7mpa_host",
    "s7mpa_cpu",
    "s7mpa_memory",
    "s7mpa_disk",
    "s7mpa_net",
    "s7mpa_pressure",
    "s7mpa_host_time",
    "s7mpa_sockets",
    "s7mpa_coverage",
    "s7mpa_lost",
    "s7mpa_self",
];
/// Of each CPU by itself a large host would have thousands.
const ONLY: (&str, &str, &str) = ("s7mpa_cpu", "cpu", "all");
/// Most series of hosts: some 300 of each. What is left out is counted.
const MAX_SERIES: usize = 5_000;
/// A value that is older is none.
const MAX_AGE_MS: i64 = 2 * 60 * 1_000;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    routes.at(&[Method::GET], "/metrics", Need::Read(Role::Viewer), answer)
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let wanted = request.headers().get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let open_metrics = wanted.flat_map(|list| list.split(',')).any(is_open_metrics);
    // Of a database elsewhere Prometheus can have them itself.
    let hosts =
        if shared.work.keeps_sums() { shared.work.run(None, latest).await.map(Some) } else { Ok(None) };
    let mut page = Page::new(open_metrics);
    match &hosts {
        Ok(Some(hosts)) => hosts.write(&mut page),
        Ok(None) => {}
        Err(failure) => tracing::debug!("api: /metrics: {failure:?}"),
    }
    shared.health.write(&mut page, hosts.is_ok());
    let mut response = Response::new(Body::from(page.end()));
    let kind = if open_metrics {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Whether a media range of `Accept` asks for OpenMetrics 1.
fn is_open_metrics(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    parts.next() == Some("application/openmetrics-text")
        && parts.all(|part| part.strip_prefix("version=").is_none_or(|version| version.starts_with("1.")))
}

/// Latest values, by metric.
struct Hosts {
    metrics: BTreeMap<String, Vec<(Labels, f64)>>,
    left_out: usize,
}

fn latest(reader: &dyn Reader, end: &End) -> Result<Hosts, Failure> {
    let now = super::prometheus::now_ms();
    let span = Span { from_ms: now - MAX_AGE_MS, to_ms: now };
    let mut hosts = Hosts { metrics: BTreeMap::new(), left_out: 0 };
    let mut count = 0;
    for measurement in registry::measurements().filter(|one| MEASUREMENTS.contains(&one.name)) {
        let names: Vec<String> =
            measurement.fields.iter().filter_map(|field| name(measurement.name, field)).collect();
        let matcher = |label, operator, value: &str| {
            Matcher::new(label, operator, value).map_err(|e| Failure::internal(e.to_string()))
        };
        let mut matchers = vec![matcher(NAME, Operator::Matches, &names.join("|"))?];
        if measurement.name == ONLY.0 {
            matchers.push(matcher(ONLY.1, Operator::Equal, ONLY.2)?);
        }
        for series in reader.select(&matchers, span)? {
            if end.is_over() {
                return Err(Failure::timeout("the store took too long"));
            }
            let series = series?;
            let Some(last) = series.samples.last().filter(|sample| !is_stale(sample.value)) else { continue };
            if count >= MAX_SERIES {
                hosts.left_out += 1;
                continue;
            }
            count += 1;
            let name = series.labels.get(NAME).to_owned();
            hosts.metrics.entry(name).or_default().push((series.labels, last.value));
        }
    }
    Ok(hosts)
}

/// The metric of a field: of counters the running sum.
fn name(measurement: &str, field: &registry::Field) -> Option<String> {
    let total = if field.kind == Kind::Counter { "_total" } else { "" };
    (field.unit != Unit::Letter).then(|| format!("{measurement}_{}{total}", field.name))
}

impl Hosts {
    fn write(&self, page: &mut Page) {
        for measurement in registry::measurements() {
            for field in measurement.fields {
                let Some(name) = name(measurement.name, field) else { continue };
                let Some(series) = self.metrics.get(&name) else { continue };
                let mut family = match field.kind {
                    Kind::Counter => page.counter(&name, field.meaning),
                    Kind::Gauge => page.gauge(&name, field.meaning),
                };
                for (labels, value) in series {
                    let labels = labels.iter().filter(|(label, _)| label.as_ref() != NAME);
                    let labels: Vec<(&str, &str)> = labels.map(|(name, value)| (&**name, &**value)).collect();
                    family.sample(&labels, *value);
                }
            }
        }
        let help = "Series of hosts that this page has no room for.";
        page.gauge("s7mpa_server_series_left_out", help).sample(&[], self.left_out as f64);
    }
}

impl Family<'_> {
    /// A sample without labels.
    fn value(mut self, value: u64) {
        self.sample(&[], value as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_what_asks_for_it() {
        assert!(is_open_metrics("application/openmetrics-text;version=1.0.0;q=0.6"));
        assert!(is_open_metrics(" application/openmetrics-text"));
        for other in ["text/plain;version=0.0.4", "*/*", "application/openmetrics-text; version=2.0.0", ""] {
            assert!(!is_open_metrics(other), "{other}");
        }
    }

    #[test]
    fn every_measurement_is_in_the_registry_and_none_is_of_single_processes() {
        for name in MEASUREMENTS {
            let measurement = registry::measurement(name).unwrap_or_else(|| panic!("{name}"));
            assert!(measurement.tags.iter().all(|tag| !["pid", "comm"].contains(&tag.name)), "{name}");
        }
    }
}
