//! Operators between two vectors: which series belong together.

use std::collections::HashMap;

use crate::error::{QueryError, Result};
use crate::eval::plan::{Binary, Matching, Operation};
use crate::eval::{Evaluator, Sink};
use crate::labels::{Labels, NAME};
use crate::rows::{ABSENT, Merged, Row, Rows, Steps, is_absent};

impl Matching {
    /// The labels by which a series finds its partner.
    fn key(&self, labels: &Labels) -> Labels {
        if self.on { labels.only(&self.labels) } else { labels.except(&self.labels).nameless() }
    }

    /// The labels of the result of a pair; `many` gives them.
    fn result(&self, many: &Labels, one: &Labels, keeps_name: bool) -> Labels {
        let mut labels = many.clone();
        if !keeps_name {
            labels.remove(NAME);
        }
        let Some(group) = &self.group else {
            return if self.on { labels.only(&self.labels) } else { labels.except(&self.labels) };
        };
        for name in &group.copied {
            labels.set(name.clone(), one.get(name));
        }
        labels
    }

    fn groups<'r>(&self, rows: &'r Rows) -> HashMap<Labels, Vec<&'r Row>> {
        let mut groups: HashMap<Labels, Vec<&Row>> = HashMap::new();
        for row in rows.iter() {
            groups.entry(self.key(&row.labels)).or_default().push(row);
        }
        groups
    }
}

/// Steps at which any of these has a value.
fn presence<'r>(rows: impl IntoIterator<Item = &'r Row>, steps: Steps) -> Vec<bool> {
    let mut present = vec![false; steps.count];
    for row in rows {
        for (present, value) in present.iter_mut().zip(&row.points) {
            *present |= !is_absent(*value);
        }
    }
    present
}

impl Evaluator<'_> {
    /// Arithmetic and comparisons.
    pub(crate) fn matched(&self, binary: &Binary, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let left = self.rows(&binary.left, steps)?;
        let right = self.rows(&binary.right, steps)?;
        let matching = &binary.matching;
        let many_right = matching.group.as_ref().is_some_and(|group| group.right);
        let (many, one) = if many_right { (&right, &left) } else { (&left, &right) };
        let ones = matching.groups(one);
        refuse_twins(&ones, many, steps, many_right)?;
        let mut merged = Merged::new(&self.budget)?;
        for (key, many) in matching.groups(many) {
            self.options.check_time()?;
            let Some(ones) = ones.get(&key) else { continue };
            // Steps at which this group has its result; of a group with many, each labels have their own.
            let mut taken: HashMap<Labels, Vec<bool>> = HashMap::new();
            for many in &many {
                for one in ones {
                    let labels = matching.result(&many.labels, &one.labels, binary.filters());
                    let own = if matching.group.is_some() { labels.clone() } else { Labels::default() };
                    let taken = taken.entry(own).or_insert_with(|| vec![false; steps.count]);
                    let points = pair(binary, many, one, many_right, taken).ok_or_else(|| {
                        QueryError::Matching(
                            if matching.group.is_some() {
                                "multiple matches for labels: grouping labels must ensure unique matches"
                            } else {
                                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                            }
                            .to_owned(),
                        )
                    })?;
                    let row = Row { labels, points };
                    if !row.is_empty() {
                        merged.push(row)?;
                    }
                }
            }
        }
        merged.rows().drain(sink)
    }

    /// `and`, `or`, `unless`.
    pub(crate) fn set(&self, binary: &Binary, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let left = self.rows(&binary.left, steps)?;
        let right = self.rows(&binary.right, steps)?;
        let matching = &binary.matching;
        let is_or = binary.operation == Operation::Or;
        let deciding = matching.groups(if is_or { &left } else { &right });
        let deciding: HashMap<Labels, Vec<bool>> =
            deciding.into_iter().map(|(key, rows)| (key, presence(rows, steps))).collect();
        let wanted = binary.operation == Operation::And;
        let mut merged = Merged::new(&self.budget)?;
        let filtered = |mut row: Row| {
            let other = deciding.get(&matching.key(&row.labels));
            for (step, value) in row.points.iter_mut().enumerate() {
                if other.is_some_and(|other| other[step]) != wanted {
                    *value = ABSENT;
                }
            }
            row
        };
        if is_or {
            left.drain(|row| merged.push(row))?;
            right.drain(|row| merged.push(filtered(row)))?;
        } else {
            left.drain(|row| merged.push(filtered(row)))?;
        }
        merged.rows().drain(sink)
    }
}

/// The values of a pair at each step. Nothing where a step already has its result.
fn pair(binary: &Binary, many: &Row, one: &Row, many_right: bool, taken: &mut [bool]) -> Option<Vec<f64>> {
    let mut points = Vec::with_capacity(many.points.len());
    for ((many, one), taken) in many.points.iter().zip(&one.points).zip(taken) {
        let value = match (is_absent(*many) || is_absent(*one), many_right) {
            (true, _) => ABSENT,
            (false, false) => binary.value(*many, *one),
            (false, true) => binary.value(*one, *many),
        };
        if !is_absent(value) && std::mem::replace(taken, true) {
            return None;
        }
        points.push(value);
    }
    Some(points)
}

/// Fails where the side of which there must be one series has two at the same step.
fn refuse_twins(
    ones: &HashMap<Labels, Vec<&Row>>,
    many: &Rows,
    steps: Steps,
    many_right: bool,
) -> Result<()> {
    for (key, rows) in ones.iter().filter(|(_, rows)| rows.len() > 1) {
        // Without the other side there is nothing to match.
        let other = presence(many.iter(), steps);
        for step in (0..steps.count).filter(|step| other[*step]) {
            let mut twins = rows.iter().filter(|row| !is_absent(row.points[step]));
            if let (Some(first), Some(second)) = (twins.next(), twins.next()) {
                let side = if many_right { "left" } else { "right" };
                return Err(QueryError::Matching(format!(
                    "found duplicate series for the match group {key} on the {side} hand-side of the operation: \
                     [{}, {}]; many-to-many matching not allowed: matching labels must be unique on one side",
                    first.labels, second.labels
                )));
            }
        }
    }
    Ok(())
}
