//! Prometheus's remote write 1.0: names, labels, values and stale markers as they are.

use promql::NAME;
use remote_write::{DecodeError, SeriesRef, series};

use super::limits::{Label, MAX_LABELS, MAX_SAMPLES, Times, check_labels, check_metric};
use super::report::{Parsed, Reason};
use crate::store::PushedSample;

/// Reads an uncompressed body. A body that is malformed is refused as a whole: nothing after the fault has a meaning.
pub fn remote(message: &[u8], times: &Times) -> Result<Parsed, DecodeError> {
    let mut parsed = Parsed::default();
    let mut count = 0;
    let mut labels = Vec::new();
    for one in series(message) {
        let one = one?;
        let others = one.others();
        parsed.report.left_out += others.histograms + others.exemplars;
        let metric = labels_of(one, &mut labels)?;
        let checked = check_metric(metric).and_then(|()| check_labels(&labels));
        let mut place = None;
        for sample in one.samples() {
            let sample = sample?;
            count += 1;
            let taken = checked.clone().and_then(|()| {
                if count > MAX_SAMPLES {
                    let why = format!("a request has {MAX_SAMPLES} samples at most: send fewer at a time");
                    return Err((Reason::TooMany, why));
                }
                times
                    .check(sample.timestamp)
                    .map_err(|(reason, why)| (reason, format!("{metric}: {why}")))?;
                // Series without a good sample take no memory.
                let batch = &mut parsed.batch;
                Ok(*place.get_or_insert_with(|| (batch.labels(&mut labels), batch.metric(metric))))
            });
            match taken {
                Ok((labels, metric)) => {
                    let sample =
                        PushedSample { labels, metric, at_ms: sample.timestamp, value: sample.value };
                    parsed.batch.push(sample);
                }
                Err(refused) => parsed.report.refuse(None, refused),
            }
        }
    }
    Ok(parsed)
}

/// Fills in the labels, one more than there may be at most; returns the metric's name.
fn labels_of<'a>(series: SeriesRef<'a>, labels: &mut Vec<Label<'a>>) -> Result<&'a str, DecodeError> {
    labels.clear();
    let mut metric = "";
    for label in series.labels() {
        let (name, value) = label?;
        if name == NAME && metric.is_empty() {
            metric = value;
        } else if labels.len() <= MAX_LABELS {
            labels.push((name.into(), value.into()));
        }
    }
    Ok(metric)
}
