//! Series as Prometheus takes them.

use promql::Series;
use remote_write::{Label, Sample, TimeSeries, WriteRequest};

/// The body of a request with these series.
pub(crate) fn body(series: &[Series]) -> Vec<u8> {
    let one = |series: &Series| {
        let labels = series.labels.iter().map(|(name, value)| Label::new(&**name, &**value)).collect();
        let sample = |sample: &promql::Sample| Sample { value: sample.value, timestamp: sample.at_ms };
        TimeSeries::new(labels, series.samples.iter().map(sample).collect())
    };
    let timeseries = series.iter().map(one).collect();
    WriteRequest { timeseries, metadata: Vec::new() }.encode_body()
}
