//! A store elsewhere as PromQL reads it: InfluxDB 1, 2 and 3, or VictoriaMetrics, written to by [`influx`](super::influx).
//!
//! Points are read as they were written, and evaluated here: a query has the same answer whichever store has the data. Names
//! and labels are those of the embedded store, so are running sums and the ends of series ([`samples`](super::samples)). Each
//! language is a file: it puts what the conditions on labels say into its words as far as it safely can ([`conditions`]);
//! what it leaves is looked at here.

mod collected;
mod conditions;
mod flux;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod influxql;
mod language;
mod metrics;
mod prometheus;
mod view;
mod wire;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_common::settings::server::{QueryLanguage, StoreConfig};
use promql::ReadError;
use tokio::runtime::Handle;

use self::language::Language;
use self::metrics::Metric;
pub use self::view::View;
use self::wire::Wire;
use super::StoreError;
use super::influx::http::Http;
use super::influx::{Api, Options};

/// How long the list of metrics is used again.
const METRICS_AGE: Duration = Duration::from_secs(30);

/// A store elsewhere. It is asked from threads that may wait.
#[derive(Debug)]
pub struct Elsewhere {
    http: Http,
    api: Api,
    asked: QueryLanguage,
    runtime: Handle,
    known: Mutex<Known>,
}

/// What was found out about it.
#[derive(Debug, Default)]
struct Known {
    language: Option<Language>,
    metrics: Option<(Instant, Vec<Metric>)>,
}

impl Elsewhere {
    /// With the settings that it is written with. Does not connect. `runtime` must be driven while it is asked.
    pub fn open(options: Options, asked: QueryLanguage, runtime: Handle) -> Result<Self, StoreError> {
        let http = Http::new(&options)?;
        Ok(Self { http, api: options.api, asked, runtime, known: Mutex::default() })
    }

    /// The store that these settings name, if it is one elsewhere.
    pub fn of(settings: &StoreConfig, runtime: Handle) -> Result<Option<Self>, StoreError> {
        let (options, asked) = match settings {
            StoreConfig::Embedded => return Ok(None),
            StoreConfig::Influx1(one) => (Options::of_v1(one)?, one.query),
            StoreConfig::Influx2(two) => (Options::of_v2(two)?, two.query),
        };
        Self::open(options, asked, runtime).map(Some)
    }

    /// The store as a reader that gives up when this says so.
    pub fn view<'a>(&'a self, over: &'a dyn Fn() -> bool) -> Result<View<'a>, ReadError> {
        let wire = Wire { http: &self.http, api: &self.api, runtime: &self.runtime, over };
        Ok(View::new(self, wire, self.language(&wire)?))
    }

    fn language(&self, wire: &Wire<'_>) -> Result<Language, ReadError> {
        if let Some(known) = self.known().language {
            return Ok(known);
        }
        let (language, is_sure) = Language::find(self.asked, wire)?;
        self.known().language = is_sure.then_some(language);
        Ok(language)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All metrics that it has, as they were some seconds ago.
    fn metrics(&self, wire: &Wire<'_>, language: Language) -> Result<Vec<Metric>, ReadError> {
        if let Some((at, metrics)) = &self.known().metrics
            && at.elapsed() < METRICS_AGE
        {
            return Ok(metrics.clone());
        }
        let metrics = language.metrics(wire)?;
        self.known().metrics = Some((Instant::now(), metrics.clone()));
        Ok(metrics)
    }
}
