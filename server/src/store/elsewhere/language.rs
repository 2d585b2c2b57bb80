//! In which language a store is asked.

use std::ops::Range;

use agent_common::settings::server::QueryLanguage;
use promql::{Matcher, ReadError};

use super::collected::{Collected, failed};
use super::metrics::{Metric, Names, divisions, ours};
use super::wire::Wire;
use super::{flux, influxql, prometheus};
use crate::store::influx::Api;

/// The languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// VictoriaMetrics, by Prometheus's API.
    PromQl,
    /// InfluxDB 1 and 3, and 2 where its database is mapped to a bucket.
    InfluxQl,
    /// InfluxDB 2.
    Flux,
}

/// What is asked of each series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// All points.
    Points,
    /// The sum of all values, as one point.
    Sum,
    /// One point, whichever: the series is there.
    Any,
}

/// A question.
#[derive(Debug)]
pub(super) struct Question<'q> {
    pub(super) what: What,
    pub(super) metrics: &'q [Metric],
    pub(super) matchers: &'q [Matcher],
    /// Unix time, ns.
    pub(super) times: Range<i64>,
}

impl Language {
    /// The one that was asked for, or that the server seems to speak; and whether that is sure.
    pub(super) fn find(asked: QueryLanguage, wire: &Wire<'_>) -> Result<(Self, bool), ReadError> {
        match asked {
            QueryLanguage::Promql => return Ok((Self::PromQl, true)),
            QueryLanguage::Influxql => return Ok((Self::InfluxQl, true)),
            QueryLanguage::Flux if matches!(wire.api, Api::V2 { .. }) => return Ok((Self::Flux, true)),
            QueryLanguage::Flux => {
                return Err(failed("server.influx_query = \"flux\" needs server.store = \"influx2\""));
            }
            QueryLanguage::Auto => {}
        }
        if prometheus::answers(wire)? {
            return Ok((Self::PromQl, true));
        }
        // One that names no version may be VictoriaMetrics that is not ready yet.
        let version = wire.version()?;
        let is_second =
            version.as_ref().is_some_and(|version| version.trim_start_matches('v').starts_with("2."));
        let language =
            if is_second && matches!(wire.api, Api::V2 { .. }) { Self::Flux } else { Self::InfluxQl };
        Ok((language, version.is_some()))
    }

    /// Whether all metrics must be known before one can be read.
    pub(super) fn metrics_of(self, names: &Names<'_>) -> Option<Vec<Metric>> {
        match (self, names.only()) {
            (Self::PromQl, Some(only)) => Some(vec![Metric::new("", only)]),
            (Self::Flux, Some(only)) => Some(divisions(only).collect()),
            (Self::Flux, None) => Some(ours().collect()),
            (Self::InfluxQl, _) | (Self::PromQl, None) => None,
        }
    }

    /// All metrics that the store has.
    pub(super) fn metrics(self, wire: &Wire<'_>) -> Result<Vec<Metric>, ReadError> {
        match self {
            Self::PromQl => prometheus::metrics(wire),
            Self::InfluxQl => influxql::metrics(wire),
            Self::Flux => Ok(ours().collect()),
        }
    }

    /// The metric of the windows' ends.
    pub(super) fn of_windows(self) -> Metric {
        match self {
            Self::PromQl => Metric::new("", Metric::of_windows().name()),
            Self::InfluxQl | Self::Flux => Metric::of_windows(),
        }
    }

    /// Asks.
    pub(super) fn ask(self, wire: &Wire<'_>, question: &Question<'_>) -> Result<Collected, ReadError> {
        let mut into = Collected::default();
        if question.metrics.is_empty() || question.times.is_empty() {
            return Ok(into);
        }
        match self {
            Self::PromQl => prometheus::ask(wire, question, &mut into)?,
            Self::InfluxQl => influxql::ask(wire, question, &mut into)?,
            Self::Flux => flux::ask(wire, question, &mut into)?,
        }
        Ok(into)
    }
}
