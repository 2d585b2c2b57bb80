//! Runs the commands of a file.

use promql::{
    Answer, ErrorKind, Labels, Matcher, Options, ParseError, Query, QueryError, Sample, Series, Span, Value,
};

use crate::common::{Point, Store, number, series};
use crate::script::{Command, Eval, Kind, When};

/// How an evaluation went.
pub(crate) enum Outcome {
    Passed,
    /// With the first moment of each range counted in, as Prometheus 2 does.
    PassedClosed,
    /// It reads or gives native histograms.
    Native,
    Failed(String),
}

/// Relative difference that is none: the files round to seven digits.
const EPSILON: f64 = 1e-6;

/// What was loaded.
pub(crate) struct Session {
    options: Options<'static>,
    /// The files are of Prometheus 2.
    closed: bool,
    store: Store,
    /// Series that hold native histograms; the store has none of them.
    native: Vec<Labels>,
}

/// The lines that follow an evaluation.
struct Expected {
    fails: bool,
    warns: Option<bool>,
    informs: Option<bool>,
    ordered: bool,
    text: Option<String>,
    scalar: Option<f64>,
    series: Vec<(Labels, Vec<Point>)>,
    native: bool,
}

impl Session {
    /// Prometheus 2 counts the first moment of a range in, and a sample as old as the lookback as still there.
    pub(crate) fn new(closed: bool) -> Self {
        let lookback_ms = Options::default().lookback_ms + i64::from(closed);
        Self {
            options: Options { lookback_ms, ..Options::default() },
            closed,
            store: Store::default(),
            native: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self, command: &Command<'_>) -> Option<Outcome> {
        match &command.kind {
            Kind::Clear => *self = Self::new(self.closed),
            Kind::Load { step_ms, nhcb } => self.load(*step_ms, *nhcb, &command.lines),
            Kind::Eval(eval) => return Some(self.eval(eval, &command.lines)),
        }
        None
    }

    fn load(&mut self, step_ms: i64, nhcb: bool, lines: &[&str]) {
        for line in lines {
            let (labels, points) = series(line).unwrap_or_else(|| panic!("no series: {line}"));
            if points.contains(&Point::Histogram) {
                self.native.push(labels);
                continue;
            }
            if let Some(name) = labels.get("__name__").strip_suffix("_bucket").filter(|_| nhcb) {
                let mut native = labels.clone();
                native.set("__name__", name);
                native.remove("le");
                self.native.push(native);
            }
            self.store.add(labels, &points, step_ms);
        }
    }

    fn eval(&self, eval: &Eval<'_>, lines: &[&str]) -> Outcome {
        let expected = expected(eval, lines);
        let parsed = Query::parse(eval.query);
        if expected.native || self.reads_native(parsed.as_ref(), eval) {
            return Outcome::Native;
        }
        let why = match self.compare(eval, &parsed, &expected) {
            Ok(()) => return Outcome::Passed,
            Err(why) => why,
        };
        if self.closed {
            let widened = widened(eval.query);
            if widened != eval.query && self.compare(eval, &Query::parse(&widened), &expected).is_ok() {
                return Outcome::PassedClosed;
            }
        }
        Outcome::Failed(why)
    }

    fn compare(
        &self,
        eval: &Eval<'_>,
        parsed: &Result<Query, ParseError>,
        expected: &Expected,
    ) -> Result<(), String> {
        let answer = match parsed {
            Err(error) => Err(error.to_string()),
            Ok(query) => match eval.when {
                When::Instant(at) => query.instant(&self.store, at, &self.options),
                When::Range { from, to, step } => {
                    query.range(&self.store, Span { from_ms: from, to_ms: to }, step, &self.options)
                }
            }
            .map_err(|error| described(&error)),
        };
        match (answer, expected.fails) {
            (Err(_), true) => Ok(()),
            (Ok(_), true) => Err("it should fail".to_owned()),
            (Err(error), false) => Err(error),
            (Ok(answer), false) => check(eval.when, expected, &answer)
                .and_then(|()| self.check_range(eval, parsed.as_ref().ok(), &answer)),
        }
    }

    /// A range query gives the same at its middle step as an instant query.
    fn check_range(&self, eval: &Eval<'_>, query: Option<&Query>, instant: &Answer) -> Result<(), String> {
        let (When::Instant(at), Some(query), Value::Vector(vector)) = (eval.when, query, &instant.value)
        else {
            return Ok(());
        };
        if ["start()", "end()"].iter().any(|word| eval.query.contains(word)) {
            return Ok(());
        }
        let span = Span { from_ms: at - 60_000, to_ms: at + 60_000 };
        let Ok(answer) = query.range(&self.store, span, 60_000, &self.options) else {
            // Another step may have two series of one kind.
            return Ok(());
        };
        let Value::Matrix(matrix) = answer.value else { return Err("a range query gave no matrix".into()) };
        let middle = |series: &Series| series.samples.iter().find(|sample| sample.at_ms == at).copied();
        let mut found: Vec<(Labels, Sample)> =
            matrix.iter().filter_map(|series| Some((series.labels.clone(), middle(series)?))).collect();
        let mut wanted: Vec<(Labels, Sample)> =
            vector.iter().map(|element| (element.labels.clone(), element.sample)).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        let same = found.len() == wanted.len()
            && found.iter().zip(&wanted).all(|(a, b)| a.0 == b.0 && close(a.1.value, b.1.value));
        if same { Ok(()) } else { Err(format!("as a range: {found:?}, as an instant: {wanted:?}")) }
    }

    fn reads_native(&self, query: Result<&Query, &ParseError>, eval: &Eval<'_>) -> bool {
        let query = match query {
            Ok(query) => query,
            Err(ParseError::Unsupported { what, .. }) => return what.starts_with("histogram_"),
            Err(_) => return false,
        };
        let span = match eval.when {
            When::Instant(at) => Span { from_ms: at, to_ms: at },
            When::Range { from, to, .. } => Span { from_ms: from, to_ms: to },
        };
        let selects = |matchers: &[Matcher]| self.native.iter().any(|labels| labels.fulfil(matchers));
        query.selectors(span, &self.options).iter().any(|selection| selects(selection.matchers))
    }
}

/// The query with each range longer by the shortest time there is, so that its first moment is in it.
fn widened(query: &str) -> String {
    let range = regex::Regex::new(r"\[\s*([0-9][0-9a-z]*)\s*([:\]])").expect("an expression");
    range.replace_all(query, "[${1}1ms$2").into_owned()
}

fn described(error: &QueryError) -> String {
    assert_ne!(error.kind(), ErrorKind::Timeout);
    error.to_string()
}

fn expected(eval: &Eval<'_>, lines: &[&str]) -> Expected {
    let mut expected = Expected {
        fails: eval.mode == "fail",
        warns: (eval.mode == "warn").then_some(true),
        informs: (eval.mode == "info").then_some(true),
        ordered: eval.mode == "ordered",
        text: None,
        scalar: None,
        series: Vec::new(),
        native: false,
    };
    for line in lines {
        if line.starts_with("expected_fail") {
            continue;
        }
        if let Some(what) = line.strip_prefix("expect ") {
            match what.split_whitespace().next().unwrap_or_default() {
                "fail" => expected.fails = true,
                "warn" => expected.warns = Some(true),
                "no_warn" => expected.warns = Some(false),
                "info" => expected.informs = Some(true),
                "no_info" => expected.informs = Some(false),
                "ordered" => expected.ordered = true,
                "string" => expected.text = Some(what.trim_start_matches("string").trim().to_owned()),
                _ => panic!("unknown expectation: {line}"),
            }
        } else if let Some(value) = number(line) {
            expected.scalar = Some(value);
        } else if let Some((labels, points)) = series(line) {
            expected.native |= points.contains(&Point::Histogram);
            expected.series.push((labels, points));
        } else if line.contains("{{") {
            expected.native = true;
        } else {
            panic!("unknown expectation: {line}");
        }
    }
    expected
}

fn check(when: When, expected: &Expected, answer: &Answer) -> Result<(), String> {
    for (wanted, notes, what) in
        [(expected.warns, &answer.warnings, "warnings"), (expected.informs, &answer.infos, "infos")]
    {
        if wanted.is_some_and(|wanted| wanted == notes.is_empty()) {
            return Err(format!("{what}: {notes:?}"));
        }
    }
    match (&answer.value, when) {
        (Value::Scalar(sample), _) => match expected.scalar {
            Some(value) if close(sample.value, value) => Ok(()),
            other => Err(format!("got {}, expected {other:?}", sample.value)),
        },
        (Value::String { text, .. }, _) => match &expected.text {
            Some(own) if own.trim_matches(['"', '\'', '`']) == text => Ok(()),
            // The older files expect nothing of a text.
            None => Ok(()),
            Some(own) => Err(format!("got {text:?}, expected {own}")),
        },
        (Value::Vector(vector), _) => {
            let found: Vec<(&Labels, f64)> =
                vector.iter().map(|element| (&element.labels, element.sample.value)).collect();
            let mut wanted: Vec<(&Labels, f64)> = Vec::new();
            for (labels, points) in &expected.series {
                if let [Point::Value(value)] = points.as_slice() {
                    wanted.push((labels, *value));
                }
            }
            let same = found.len() == wanted.len()
                && if expected.ordered {
                    found.iter().zip(&wanted).all(|(a, b)| a.0 == b.0 && close(a.1, b.1))
                } else {
                    found.iter().all(|a| wanted.iter().any(|b| a.0 == b.0 && close(a.1, b.1)))
                };
            if same { Ok(()) } else { Err(format!("got {}, expected {}", list(&found), list(&wanted))) }
        }
        (Value::Matrix(matrix), When::Range { from, step, .. }) => check_matrix(matrix, expected, from, step),
        (Value::Matrix(_), When::Instant(_)) => Err("a range vector cannot be compared".into()),
    }
}

fn check_matrix(matrix: &[Series], expected: &Expected, from: i64, step: i64) -> Result<(), String> {
    let wanted = match expected.scalar {
        Some(value) => vec![(Labels::default(), vec![Point::Value(value)])],
        None => expected.series.clone(),
    };
    if matrix.len() != wanted.len() {
        return Err(format!("got {matrix:?}, expected {wanted:?}"));
    }
    for (labels, points) in &wanted {
        let Some(series) = matrix.iter().find(|series| series.labels == *labels) else {
            return Err(format!("there is no {labels} in {matrix:?}"));
        };
        let values = points.iter().enumerate().filter_map(|(nth, point)| match point {
            Point::Value(value) => Some((from + nth as i64 * step, *value)),
            Point::Missing | Point::Histogram => None,
        });
        let values: Vec<(i64, f64)> = values.collect();
        let same = values.len() == series.samples.len()
            && values.iter().zip(&series.samples).all(|(a, b)| a.0 == b.at_ms && close(a.1, b.value));
        if !same {
            return Err(format!("got {series:?}, expected {values:?}"));
        }
    }
    Ok(())
}

fn list(vector: &[(&Labels, f64)]) -> String {
    let lines: Vec<String> =
        vector.iter().map(|(labels, value)| format!("\n      {labels} {value}")).collect();
    lines.concat()
}

fn close(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
        || (a.is_nan() && b.is_nan())
        || (a - b).abs() <= EPSILON * a.abs().max(b.abs())
        || (a - b).abs() < f64::MIN_POSITIVE
}
