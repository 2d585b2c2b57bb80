//! Asking.

use std::cmp::Ordering;

use crate::choice;
use crate::error::{ParseError, QueryError, Result};
use crate::eval::Evaluator;
use crate::eval::functions::{Function, Special, compare_naturally};
use crate::eval::plan::{Aggregator, Call, Node, Range, Source, Type};
use crate::macros::Macros;
use crate::matcher::Matcher;
use crate::options::Options;
use crate::reader::{Look, Reader, Sample, Series, Span};
use crate::rows::{Row, Rows, Steps, is_absent};
use crate::value::{Answer, Element, Value};
use crate::{rewrite, tokens, translate};

/// A query that was understood.
#[derive(Debug)]
pub struct Query {
    root: Node,
}

/// What a query reads from a store.
#[derive(Debug)]
pub struct Selection<'q> {
    /// Conditions that the series fulfil.
    pub matchers: &'q [Matcher],
    /// From when to when.
    pub span: Span,
}

/// Latest time that a query may name, Unix time in ms; the earliest is as far before 1970.
const MAX_TIME_MS: i64 = 1 << 52;

impl Query {
    /// Understands a query. Also takes `mean`, `median`, `mean_over_time`, `median_over_time` and the old name `holt_winters`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, &Macros::default())
    }

    /// Understands a query that may call these functions.
    pub fn parse_with(text: &str, macros: &Macros) -> Result<Self, ParseError> {
        let text = expanded(text, macros)?;
        tokens::check_expressions(&text)?;
        let parsed = promql_parser::parser::parse(&text).map_err(ParseError::Syntax)?;
        Ok(Self { root: translate::node(&parsed)? })
    }

    /// Whether it has a value for each series at one moment, or one in all: no text, no range.
    pub fn is_vector_or_scalar(&self) -> bool {
        matches!(self.root.kind(), Type::Vector | Type::Scalar)
    }

    /// The value at one moment, Unix time in ms.
    pub fn instant(&self, reader: &dyn Reader, at_ms: i64, options: &Options<'_>) -> Result<Answer> {
        check_time(at_ms)?;
        let evaluator = Evaluator::new(reader, options, at_ms, at_ms);
        let steps = Steps { from_ms: at_ms, step_ms: 1, count: 1 };
        let value = match (self.root.kind(), &self.root) {
            (_, Node::Text(text)) => Value::String { at_ms, text: text.clone() },
            (_, Node::Range(range)) => Value::Matrix(matrix(&evaluator, range, steps)?),
            (Type::Scalar, root) => Value::Scalar(Sample { at_ms, value: evaluator.scalar(root, steps)?[0] }),
            (_, root) => Value::Vector(vector(&evaluator, root, steps)?),
        };
        Ok(answer(evaluator, value))
    }

    /// The values from `span.from_ms` on, each `step_ms`, up to `span.to_ms`.
    pub fn range(
        &self,
        reader: &dyn Reader,
        span: Span,
        step_ms: i64,
        options: &Options<'_>,
    ) -> Result<Answer> {
        let steps = steps(span, step_ms, options)?;
        let evaluator = Evaluator::new(reader, options, span.from_ms, span.to_ms);
        let series = |labels, points: Vec<f64>| {
            let present = points.into_iter().enumerate().filter(|(_, value)| !is_absent(*value));
            let samples = present.map(|(step, value)| Sample { at_ms: steps.at(step), value }).collect();
            Series { labels, samples }
        };
        let value = match self.root.kind() {
            Type::Scalar => vec![series(crate::Labels::default(), evaluator.scalar(&self.root, steps)?)],
            Type::Vector => {
                let mut rows = merged(&evaluator, &self.root, steps)?;
                rows.sort();
                let mut matrix = Vec::with_capacity(rows.len());
                // The samples, beside the values of all series.
                let mut charge = evaluator.budget.take(0)?;
                rows.drain(|row| {
                    let series = series(row.labels, row.points);
                    charge.add(size_of_val(series.samples.as_slice()))?;
                    matrix.push(series);
                    Ok(())
                })?;
                matrix
            }
            kind @ (Type::Text | Type::Matrix) => return Err(QueryError::NotForRange(kind.name())),
        };
        Ok(answer(evaluator, Value::Matrix(value)))
    }

    /// What the query reads, asked for over this span; an instant is a span of one moment.
    pub fn selectors(&self, span: Span, options: &Options<'_>) -> Vec<Selection<'_>> {
        let nothing = Nothing;
        let evaluator = Evaluator::new(&nothing, options, span.from_ms, span.to_ms);
        let mut selections = Vec::new();
        collect(&self.root, span, &evaluator, &mut selections);
        selections
    }
}

/// The query with what only this crate knows replaced: calls of these functions, `mean`, `median` and the like. For stores that
/// evaluate it themselves.
pub fn expanded(text: &str, macros: &Macros) -> Result<String, ParseError> {
    tokens::check_size(text)?;
    let text = rewrite::aliases(&macros.expand(text)?);
    tokens::check_size(&text)?;
    Ok(text)
}

/// The steps of a range. Fails where there are none, or too many.
fn steps(span: Span, step_ms: i64, options: &Options<'_>) -> Result<Steps> {
    check_time(span.from_ms)?;
    check_time(span.to_ms)?;
    if step_ms <= 0 {
        return Err(QueryError::BadRange("the step must be greater than 0"));
    }
    if span.to_ms < span.from_ms {
        return Err(QueryError::BadRange("the end is before the start"));
    }
    let points = ((span.to_ms - span.from_ms) / step_ms) as u64 + 1;
    match usize::try_from(points) {
        Ok(count) if count <= options.max_points => Ok(Steps { from_ms: span.from_ms, step_ms, count }),
        _ => Err(QueryError::TooManyPoints { points, limit: options.max_points }),
    }
}

fn check_time(at_ms: i64) -> Result<()> {
    if (-MAX_TIME_MS..=MAX_TIME_MS).contains(&at_ms) {
        Ok(())
    } else {
        Err(QueryError::BadRange("the time is out of range"))
    }
}

fn answer(evaluator: Evaluator<'_>, value: Value) -> Answer {
    Answer { value, warnings: evaluator.warnings.into_inner(), infos: evaluator.infos.into_inner() }
}

/// The rows of the answer; labels that come twice are one series, or an error.
fn merged(evaluator: &Evaluator<'_>, root: &Node, steps: Steps) -> Result<Rows> {
    let mut merged = crate::rows::Merged::new(&evaluator.budget)?;
    evaluator.each(root, steps, &mut |row| if row.is_empty() { Ok(()) } else { merged.push(row) })?;
    Ok(merged.rows())
}

fn vector(evaluator: &Evaluator<'_>, root: &Node, steps: Steps) -> Result<Vec<Element>> {
    let mut rows = merged(evaluator, root, steps)?;
    let ordered = matches!(root, Node::Aggregate(aggregate) if matches!(aggregate.by, Aggregator::Topk | Aggregator::Bottomk));
    if !ordered {
        rows.sort();
    }
    let mut elements = Vec::with_capacity(rows.len());
    let at_ms = steps.from_ms;
    rows.drain(|Row { labels, points }| {
        elements.push(Element { labels, sample: Sample { at_ms, value: points[0] } });
        Ok(())
    })?;
    if let Node::Call(call) = root {
        order(call, &mut elements);
    }
    Ok(elements)
}

/// Orders the answer as the outermost function says.
fn order(call: &Call, elements: &mut [Element]) {
    let value = |element: &Element| element.sample.value;
    match call.function {
        Function::Special(Special::Sort { descending: false }) => {
            elements.sort_by(|a, b| choice::trailing(value(a), value(b)));
        }
        Function::Special(Special::Sort { descending: true }) => {
            elements.sort_by(|a, b| choice::leading(value(b), value(a)));
        }
        Function::Special(Special::SortByLabel { descending }) => {
            let names = call.arguments.iter().filter_map(|argument| match argument {
                Node::Text(name) => Some(name.as_str()),
                _ => None,
            });
            let names: Vec<&str> = names.collect();
            elements.sort_by(|a, b| {
                let by_names =
                    names.iter().map(|name| compare_naturally(a.labels.get(name), b.labels.get(name)));
                let order =
                    by_names.fold(Ordering::Equal, Ordering::then).then_with(|| a.labels.cmp(&b.labels));
                if descending { order.reverse() } else { order }
            });
        }
        _ => {}
    }
}

/// The samples of a range at one moment.
fn matrix(evaluator: &Evaluator<'_>, range: &Range, steps: Steps) -> Result<Vec<Series>> {
    let to_ms = evaluator.reference(range.time(), steps.from_ms);
    let from_ms = to_ms.saturating_sub(range.range_ms);
    let mut matrix = Vec::new();
    let mut charge = evaluator.budget.take(0)?;
    evaluator.each_range(range, steps, Look::Values, &mut |labels, samples| {
        let inside = samples.iter().filter(|sample| sample.at_ms > from_ms && sample.at_ms <= to_ms);
        let samples: Vec<Sample> = inside.copied().collect();
        charge.add(size_of_val(samples.as_slice()) + labels.bytes())?;
        if !samples.is_empty() {
            matrix.push(Series { labels, samples });
        }
        Ok(())
    })?;
    matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(matrix)
}

/// Stands for a store where none is read.
struct Nothing;

impl Reader for Nothing {
    fn select(&self, _: &[Matcher], _: Span) -> Result<crate::SeriesIter<'_>, crate::ReadError> {
        Ok(Box::new(std::iter::empty()))
    }

    fn series(&self, _: &[Matcher], _: Span) -> Result<Vec<crate::Labels>, crate::ReadError> {
        Ok(Vec::new())
    }
}

fn collect<'q>(node: &'q Node, span: Span, evaluator: &Evaluator<'_>, into: &mut Vec<Selection<'q>>) {
    let back = |time, back_ms: i64| Span {
        from_ms: evaluator.reference(time, span.from_ms).saturating_sub(back_ms).saturating_add(1),
        to_ms: evaluator.reference(time, span.to_ms),
    };
    let mut add = |selector: &'q crate::eval::plan::Selector, span: Span| {
        into.extend(selector.sets.iter().map(|matchers| Selection { matchers, span }));
    };
    match node {
        Node::Number(_) | Node::Text(_) => {}
        Node::Selector(selector) => add(selector, back(selector.time, evaluator.options.lookback_ms)),
        Node::Range(Range { of: Source::Selector(selector), range_ms }) => {
            add(selector, back(selector.time, *range_ms));
        }
        Node::Range(Range { of: Source::Subquery { inner, time, .. }, range_ms }) => {
            collect(inner, back(*time, *range_ms), evaluator, into);
        }
        Node::Negate(inner) => collect(inner, span, evaluator, into),
        Node::Binary(binary) => {
            collect(&binary.left, span, evaluator, into);
            collect(&binary.right, span, evaluator, into);
        }
        Node::Aggregate(aggregate) => {
            for node in aggregate.parameter.iter().chain([&aggregate.of]) {
                collect(node, span, evaluator, into);
            }
        }
        Node::Call(call) => call.arguments.iter().for_each(|node| collect(node, span, evaluator, into)),
    }
}
