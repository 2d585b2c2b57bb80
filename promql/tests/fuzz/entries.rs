//! Entries for fuzzing, one an input format: what strangers and operators write. Each must return, whatever the text, in bounded
//! time and memory. The targets of `cargo fuzz` in `fuzz/` call them; the test beside replays texts that were changed at random.

use promql::rules::unit_test::File;
use promql::rules::{Context, Subject, Template};
use promql::{
    Alerts, Group, Labels, Macros, Matcher, Options, Query, ReadError, Reader, Rule, STALE, Sample, Series,
    SeriesIter, Span,
};

/// An entry, and its name.
pub(crate) type Entry = (&'static str, fn(&str));

/// All of them.
pub(crate) const ENTRIES: [Entry; 4] =
    [("query", query), ("macros", macros), ("rules", rules), ("unit_test", unit_test)];

/// Three series of a minute, with an end and values that are no numbers.
struct Small;

impl Small {
    fn series() -> impl Iterator<Item = Series> {
        [("x_total", "a"), ("x_total", "b"), ("y_bucket", "a")].into_iter().enumerate().map(
            |(nth, (name, host))| {
                let pairs = [("__name__", name), ("host", host), ("le", if nth == 2 { "+Inf" } else { "" })];
                let labels = Labels::new(pairs.map(|(name, value)| (name.into(), value.into())));
                let value = |second: i64| match second % 17 {
                    3 => f64::NAN,
                    5 => STALE,
                    7 => f64::INFINITY,
                    _ => second as f64,
                };
                let samples =
                    (0..60).map(|second| Sample { at_ms: second * 1000, value: value(second + nth as i64) });
                Series { labels, samples: samples.collect() }
            },
        )
    }
}

impl Reader for Small {
    fn select(&self, matchers: &[Matcher], span: Span) -> Result<SeriesIter<'_>, ReadError> {
        let matchers = matchers.to_vec();
        Ok(Box::new(Self::series().filter(move |series| series.labels.fulfil(&matchers)).map(
            move |mut series| {
                series.samples.retain(|sample| (span.from_ms..=span.to_ms).contains(&sample.at_ms));
                Ok(series)
            },
        )))
    }

    fn series(&self, matchers: &[Matcher], _: Span) -> Result<Vec<Labels>, ReadError> {
        Ok(Self::series().map(|series| series.labels).filter(|labels| labels.fulfil(matchers)).collect())
    }
}

/// Bounds that a text of some bytes cannot turn into seconds.
fn bounded(expired: &dyn Fn() -> bool) -> Options<'_> {
    Options { max_points: 50, max_bytes: 4 << 20, expired: Some(expired), ..Options::default() }
}

/// Is true after so many questions: a clock would make runs differ.
fn after(questions: u32) -> impl Fn() -> bool {
    let asked = std::cell::Cell::new(0);
    move || {
        asked.set(asked.get() + 1);
        asked.get() > questions
    }
}

/// A query, at a moment and over a range.
pub(crate) fn query(text: &str) {
    let Ok(query) = Query::parse(text) else { return };
    let expired = after(10_000);
    let options = bounded(&expired);
    let _ = query.instant(&Small, 30_000, &options);
    let _ = query.range(&Small, Span { from_ms: 0, to_ms: 60_000 }, 5_000, &options);
    let _ = query.selectors(Span { from_ms: 0, to_ms: 0 }, &options);
}

/// Definitions, of which the last line is a query that calls them.
pub(crate) fn macros(text: &str) {
    let (definitions, last) = text.rsplit_once('\n').unwrap_or((text, text));
    let Ok(macros) = Macros::parse(definitions) else { return };
    if let Ok(expanded) = macros.expand(last) {
        assert!(expanded.len() <= 2 * promql::MAX_QUERY_BYTES + last.len(), "{} bytes", expanded.len());
    }
    let _ = Query::parse_with(last, &macros);
}

/// A rule file, and what its rules give.
pub(crate) fn rules(text: &str) {
    let macros = Macros::default();
    let parsed = Group::parse_all(text, &macros);
    assert!(parsed.faults.iter().all(|fault| fault.place.line > 0 && fault.place.column > 0));
    let (expired, nothing) = (after(10_000), Labels::default());
    let options = bounded(&expired);
    for group in &parsed.groups {
        let context = Context {
            reader: &Small,
            options: &options,
            macros: &macros,
            external_labels: &nothing,
            external_url: "",
            query_offset_ms: group.query_offset_ms,
            limit: group.limit,
        };
        for rule in &group.rules {
            match rule {
                Rule::Record(rule) => drop(rule.evaluate(&context, 30_000)),
                Rule::Alert(rule) => {
                    let mut alerts = Alerts::default();
                    for at_ms in [30_000, 40_000] {
                        let _ = alerts.evaluate(rule, &context, at_ms);
                        let _ = alerts.series(at_ms);
                    }
                }
            }
        }
    }
    if let Ok(template) = Template::parse(text) {
        let filled = template.fill(&Subject::new(1.5, &nothing, &nothing));
        assert!(filled.len() <= text.len() + (64 << 10), "{} bytes", filled.len());
    }
}

/// A file of unit tests, over the rules that it may as well be.
pub(crate) fn unit_test(text: &str) {
    let Ok(file) = File::parse(text) else { return };
    let groups = Group::parse_all(
        "groups: [{name: a, rules: [{record: y, expr: x}, {alert: A, expr: x > 1}]}]",
        &Macros::default(),
    );
    let _ = file.run(&groups.groups, &Macros::default());
}
