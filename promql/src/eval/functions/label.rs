//! Functions that change labels, and the order of texts with numbers.

use std::cmp::Ordering;

use crate::error::{QueryError, Result};
use crate::eval::plan::{Call, Node};
use crate::eval::{Evaluator, Sink};
use crate::rows::{Merged, Row, Steps};

/// The text of an argument whose type was checked.
fn text(call: &Call, nth: usize) -> &str {
    match call.arguments.get(nth) {
        Some(Node::Text(text)) => text,
        _ => "",
    }
}

impl Evaluator<'_> {
    pub(super) fn label_replace(&self, call: &Call, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let [target, replacement, source, expression] = [1, 2, 3, 4].map(|nth| text(call, nth));
        let regex = crate::matcher::whole(expression).map_err(|_| {
            QueryError::Argument(format!("invalid regular expression in label_replace(): {expression}"))
        })?;
        check_name(target, "label_replace")?;
        self.relabeled(call, steps, sink, &|row| {
            let value = row.labels.get(source);
            let Some(captures) = regex.captures(value) else { return };
            let mut replaced = String::new();
            captures.expand(replacement, &mut replaced);
            row.labels.set(target, replaced);
        })
    }

    pub(super) fn label_join(&self, call: &Call, steps: Steps, sink: Sink<'_>) -> Result<()> {
        let (target, separator) = (text(call, 1), text(call, 2));
        let sources: Vec<&str> = (3..call.arguments.len()).map(|nth| text(call, nth)).collect();
        for name in std::iter::once(&target).chain(&sources) {
            check_name(name, "label_join")?;
        }
        self.relabeled(call, steps, sink, &|row| {
            let values: Vec<&str> = sources.iter().map(|source| row.labels.get(source)).collect();
            let joined = values.join(separator);
            row.labels.set(target, joined);
        })
    }

    fn relabeled(&self, call: &Call, steps: Steps, sink: Sink<'_>, change: &dyn Fn(&mut Row)) -> Result<()> {
        let mut merged = Merged::new(&self.budget)?;
        self.each(&call.arguments[0], steps, &mut |mut row| {
            change(&mut row);
            merged.push(row)
        })?;
        merged.rows().drain(sink)
    }
}

fn check_name(name: &str, function: &str) -> Result<()> {
    if name.is_empty() {
        return Err(QueryError::Argument(format!("invalid label name in {function}(): it is empty")));
    }
    Ok(())
}

/// The order in which people sort: `cpu2` before `cpu10`.
pub(crate) fn compare_naturally(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let ((part_a, rest_a), (part_b, rest_b)) = (part(a), part(b));
        let numbers = part_a.starts_with(|c: char| c.is_ascii_digit())
            && part_b.starts_with(|c: char| c.is_ascii_digit());
        let order = if numbers {
            let (digits_a, digits_b) = (part_a.trim_start_matches('0'), part_b.trim_start_matches('0'));
            digits_a
                .len()
                .cmp(&digits_b.len())
                .then(digits_a.cmp(digits_b))
                .then(part_b.len().cmp(&part_a.len()))
        } else {
            part_a.cmp(part_b)
        };
        if order != Ordering::Equal || (rest_a.is_empty() && rest_b.is_empty()) {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The digits, or the other characters, with which a text begins, and the rest.
fn part(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    text.split_at(text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::compare_naturally;

    #[test]
    fn numbers_in_texts_are_compared_as_numbers() {
        let mut texts = ["cpu10", "cpu2", "cpu", "4m600", "4m5", "", "a"];
        texts.sort_by(|a, b| compare_naturally(a, b));
        assert_eq!(texts, ["", "4m5", "4m600", "a", "cpu", "cpu2", "cpu10"]);
    }
}
