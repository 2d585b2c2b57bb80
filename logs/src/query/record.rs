//! Whether a single line matches: for what is followed live.

use super::possible::of_stream;
use super::{Expr, Query};
use crate::record::{Record, Stream};

impl Query {
    /// Whether lines of a stream can match at all, by its labels: a store need not look at the blocks of the others.
    #[must_use]
    pub fn takes(&self, stream: &Stream) -> bool {
        of_stream(&self.expr, stream).some
    }

    /// Whether a line matches.
    #[must_use]
    pub fn matches(&self, stream: &Stream, record: &Record) -> bool {
        record.at >= self.from && record.at < self.to && of(&self.expr, stream, record)
    }
}

fn of(expr: &Expr, stream: &Stream, record: &Record) -> bool {
    let anywhere = |test: &dyn Fn(&[u8]) -> bool| {
        test(record.message.as_bytes()) || record.fields.iter().any(|(_, value)| test(value.as_bytes()))
    };
    match expr {
        Expr::All(parts) => parts.iter().all(|part| of(part, stream, record)),
        Expr::Any(parts) => parts.iter().any(|part| of(part, stream, record)),
        Expr::Not(part) => !of(part, stream, record),
        Expr::Severities(mask) => mask >> record.severity as u16 & 1 != 0,
        Expr::Pid(pid) => record.pid == *pid,
        Expr::Label { name, test } => test.of_label(stream.get(name)),
        Expr::Field { name, test } => {
            record.fields.iter().any(|(known, value)| known == name && test.of(value.as_bytes()))
        }
        Expr::Text(phrase) => anywhere(&|text| phrase.is_in(text)),
        Expr::Matches(pattern) => anywhere(&|text| pattern.matches(text)),
    }
}
