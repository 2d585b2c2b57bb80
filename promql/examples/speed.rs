//! How long the query of a page takes: `sum by (comm)` of the rates of 300 series by second, over an hour.
//!
//! `cargo run --release -p promql --example speed`

use std::hint::black_box;
use std::time::Instant;

use promql::{Labels, Matcher, Options, Query, ReadError, Reader, Sample, Series, SeriesIter, Span};

const SERIES: usize = 300;
const SECONDS: i64 = 3_600;

struct Hour(Vec<Series>);

impl Reader for Hour {
    fn select(&self, _: &[Matcher], _: Span) -> Result<SeriesIter<'_>, ReadError> {
        Ok(Box::new(self.0.iter().cloned().map(Ok)))
    }

    fn series(&self, _: &[Matcher], _: Span) -> Result<Vec<Labels>, ReadError> {
        Ok(Vec::new())
    }
}

fn main() {
    let series = (0..SERIES).map(|nth| {
        let labels = [
            ("__name__", "x_total".to_owned()),
            ("comm", format!("c{}", nth % 20)),
            ("pid", nth.to_string()),
        ];
        let samples =
            (0..SECONDS).map(|second| Sample { at_ms: second * 1000, value: (second * nth as i64) as f64 });
        Series {
            labels: Labels::new(labels.map(|(name, value)| (name.into(), value.into()))),
            samples: samples.collect(),
        }
    });
    let hour = Hour(series.collect());
    let span = Span { from_ms: 0, to_ms: SECONDS * 1000 };
    for text in [
        "sum by (comm) (rate(x_total[1m]))",
        "sum by (comm) (avg_over_time(x_total[1m]))",
        "topk(5, rate(x_total[1m]))",
        "x_total",
    ] {
        for step_ms in [60_000, 10_000, 1_000] {
            let mut best = f64::INFINITY;
            for _ in 0..5 {
                let start = Instant::now();
                let query = Query::parse(text).expect("a query");
                black_box(query.range(&hour, span, step_ms, &Options::default()).expect("an answer"));
                best = best.min(start.elapsed().as_secs_f64() * 1e3);
            }
            println!("{text:45} {:5} steps {best:8.1} ms", SECONDS * 1000 / step_ms);
        }
    }
}
