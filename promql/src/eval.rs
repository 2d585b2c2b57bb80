//! Evaluation of a plan: each part hands over its series one by one, with the values of all steps. What needs them together
//! (vector matching, `topk`, histograms) holds them, counted.

pub(crate) mod functions;
pub(crate) mod plan;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::error::{QueryError, Result};
use crate::eval::plan::{At, Node, Time};
use crate::options::{Budget, Options};
use crate::reader::Reader;
use crate::rows::{Merged, Row, Rows, Steps, is_absent};

/// Takes series one by one.
pub(crate) type Sink<'s> = &'s mut dyn FnMut(Row) -> Result<()>;

/// Remarks kept at most of each kind: a query over thousands of series could make as many.
const MAX_NOTES: usize = 20;

/// A query that is being evaluated.
pub(crate) struct Evaluator<'a> {
    pub(crate) reader: &'a dyn Reader,
    pub(crate) options: &'a Options<'a>,
    pub(crate) budget: Rc<Budget>,
    /// First and last step of the query: `@ start()`, `@ end()`.
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// Series read until now.
    pub(crate) series: Cell<usize>,
    pub(crate) warnings: RefCell<Vec<String>>,
    pub(crate) infos: RefCell<Vec<String>>,
}

impl<'a> Evaluator<'a> {
    pub(crate) fn new(reader: &'a dyn Reader, options: &'a Options<'a>, start_ms: i64, end_ms: i64) -> Self {
        Self {
            reader,
            options,
            budget: Budget::new(options.max_bytes),
            start_ms,
            end_ms,
            series: Cell::new(0),
            warnings: RefCell::default(),
            infos: RefCell::default(),
        }
    }

    /// The time that an expression with modifiers is read at, where the query is at this step.
    pub(crate) fn reference(&self, time: Time, at_ms: i64) -> i64 {
        let at_ms = match time.at {
            None => at_ms,
            Some(At::Start) => self.start_ms,
            Some(At::End) => self.end_ms,
            Some(At::Fixed(fixed)) => fixed,
        };
        at_ms.saturating_sub(time.offset_ms)
    }

    /// The series of a vector, one by one. Those without any value may be among them.
    pub(crate) fn each(&self, node: &Node, steps: Steps, sink: Sink<'_>) -> Result<()> {
        self.options.check_time()?;
        match node {
            Node::Selector(selector) => self.select(selector, steps, false, sink),
            Node::Negate(inner) => self.each_nameless(inner, steps, &mut |mut row| {
                row.points.iter_mut().filter(|value| !is_absent(**value)).for_each(|value| *value = -*value);
                sink(row)
            }),
            Node::Binary(binary) => self.binary(binary, steps, sink),
            Node::Aggregate(aggregate) => self.aggregate(aggregate, steps, sink),
            Node::Call(call) => self.call(call, steps, sink),
            Node::Number(_) | Node::Text(_) | Node::Range(_) => Err(QueryError::Argument(format!(
                "an instant vector was expected, not a {}",
                node.kind().name()
            ))),
        }
    }

    /// As [`Self::each`], without the metric's name. Fails where two series differ in that alone and have a value at the same step.
    pub(crate) fn each_nameless(&self, node: &Node, steps: Steps, sink: Sink<'_>) -> Result<()> {
        if node.is_distinct_without_name() {
            return self.each(node, steps, &mut |row| sink(Row { labels: row.labels.nameless(), ..row }));
        }
        let mut merged = Merged::new(&self.budget)?;
        self.each(node, steps, &mut |row| merged.push(Row { labels: row.labels.nameless(), ..row }))?;
        merged.rows().drain(sink)
    }

    /// The series of a vector that have a value, together, sorted by labels.
    pub(crate) fn rows(&self, node: &Node, steps: Steps) -> Result<Rows> {
        let mut rows = Rows::new(&self.budget)?;
        self.each(node, steps, &mut |row| if row.is_empty() { Ok(()) } else { rows.push(row) })?;
        rows.sort();
        Ok(rows)
    }

    /// The values of a scalar at each step.
    pub(crate) fn scalar(&self, node: &Node, steps: Steps) -> Result<Vec<f64>> {
        self.options.check_time()?;
        // Counted while it is made; it lives hardly longer.
        let _charge = self.budget.take(steps.count.saturating_mul(size_of::<f64>()))?;
        match node {
            Node::Number(number) => Ok(vec![*number; steps.count]),
            Node::Negate(inner) => Ok(self.scalar(inner, steps)?.into_iter().map(|value| -value).collect()),
            Node::Binary(binary) => self.binary_scalar(binary, steps),
            Node::Call(call) => self.call_scalar(call, steps),
            _ => Err(QueryError::Argument(format!("a scalar was expected, not a {}", node.kind().name()))),
        }
    }

    pub(crate) fn warn(&self, text: String) {
        note(&self.warnings, text);
    }

    pub(crate) fn info(&self, text: String) {
        note(&self.infos, text);
    }

    /// Warns of shares of a quantile that are none.
    pub(crate) fn check_shares(&self, shares: &[f64]) {
        if let Some(share) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            self.warn(format!("quantile value should be between 0 and 1, got {share}"));
        }
    }

    /// Remarks that a series is not called as counters are.
    pub(crate) fn check_counter(&self, labels: &crate::Labels) {
        let name = labels.get(crate::labels::NAME);
        let counters = ["_total", "_sum", "_count", "_bucket"];
        if !name.is_empty() && !counters.iter().any(|end| name.ends_with(end)) {
            self.info(format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}"
            ));
        }
    }
}

fn note(notes: &RefCell<Vec<String>>, text: String) {
    let mut notes = notes.borrow_mut();
    if notes.len() < MAX_NOTES && !notes.contains(&text) {
        notes.push(text);
    }
}
