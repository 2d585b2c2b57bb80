//! The line protocol as clients of InfluxDB may write it; [`lines`](super::lines) takes our own subset alone.
//!
//! Beside that: no time, a time of any unit, also one before 1970; spaces around the parts; unsigned integers; line breaks in
//! strings. Not finite numbers, control characters in names and tags without a value are refused here, too.

use std::borrow::Cow;

use super::parse::{Line, Value};
use super::problem::{LineError, MAX_FIELDS, MAX_LINE_BYTES, Problem};
use super::scan::{Refused, Scanner, find_unescaped};
use crate::units::UnixNs;

/// A line; the time of `line` says nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct LooseLine<'a> {
    /// Its number in the text, from 1; a string may have several lines.
    pub number: u32,
    /// Key and fields.
    pub line: Line<'a>,
    /// In whichever unit the client has chosen.
    pub time: Option<i64>,
}

/// The lines of a text, in order. Empty ones and comments are passed over, and after a bad one it goes on.
pub fn loose(text: &str) -> Loose<'_> {
    Loose { rest: text, number: 1 }
}

/// Iterator of [`loose`].
#[derive(Debug, Clone)]
pub struct Loose<'a> {
    rest: &'a str,
    number: u32,
}

impl<'a> Iterator for Loose<'a> {
    type Item = Result<LooseLine<'a>, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let number = self.number;
            let end = end(self.rest);
            let line = &self.rest[..end];
            let breaks = line.bytes().filter(|b| *b == b'\n').count() + 1;
            self.number = number.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX));
            self.rest = self.rest.get(end + 1..).unwrap_or("");
            let line = line.trim_matches([' ', '\t', '\r']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            return Some(match Scanner::new(line).loose() {
                Ok((line, time)) => Ok(LooseLine { number, line, time }),
                Err((at, problem)) => {
                    let before = &line.as_bytes()[..at.min(line.len())];
                    let column = 1 + String::from_utf8_lossy(before).chars().count() as u32;
                    Err(LineError { line: number, column, problem })
                }
            });
        }
    }
}

/// Where the first line ends: at a line break outside of strings. A string that is not closed in this line's length does not
/// reach beyond its line.
fn end(text: &str) -> usize {
    let first = text.find('\n').unwrap_or(text.len());
    // A comment's quotes are text.
    if text.trim_start_matches([' ', '\t', '\r']).starts_with('#') {
        return first;
    }
    let bytes = &text.as_bytes()[..text.len().min(MAX_LINE_BYTES)];
    let indent = bytes.iter().take_while(|b| **b == b' ' || **b == b'\t').count();
    let mut at = indent + find_unescaped(&text[indent..first], |b| b == b' ');
    let mut in_string = false;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'\\' if in_string => at += 1,
            b'"' if in_string => in_string = false,
            b'"' if at > 0 && bytes[at - 1] == b'=' => in_string = true,
            b'\n' if !in_string => return at,
            _ => {}
        }
        at += 1;
    }
    // What is over the bound is refused as a whole.
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    match rest.iter().position(|b| *b == b'\n') {
        _ if in_string => first,
        Some(more) => at + more,
        None => text.len(),
    }
}

impl<'a> Scanner<'a> {
    /// The line and its time.
    pub(super) fn loose(mut self) -> Result<(Line<'a>, Option<i64>), Refused> {
        if self.line.len() > MAX_LINE_BYTES {
            return Err((0, Problem::TooLong));
        }
        let key = self.key()?;
        self.named(key)?;
        self.spaces();
        let fields = self.loose_fields()?;
        let text = self.line[self.at..].trim();
        let time = match text.parse() {
            Ok(time) => Some(time),
            Err(_) if text.is_empty() => None,
            Err(_) => {
                return self.fail(if text.contains(' ') { Problem::Trailing } else { Problem::BadTime });
            }
        };
        Ok((Line { key, fields, time: UnixNs(0) }, time))
    }

    fn spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Whether a name may be one.
    fn named(&self, name: &str) -> Result<(), Refused> {
        if name.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
            self.fail(Problem::Control)
        } else {
            Ok(())
        }
    }

    fn loose_fields(&mut self) -> Result<Vec<(Cow<'a, str>, Value<'a>)>, Refused> {
        let mut fields = Vec::new();
        if self.peek().is_none() {
            return self.fail(Problem::NoFields);
        }
        loop {
            if fields.len() == MAX_FIELDS {
                return self.fail(Problem::TooManyFields);
            }
            let name = self.field_name()?;
            self.named(&name)?;
            let value = match self.value() {
                Err((_, Problem::Unsigned)) => self.unsigned()?,
                value => value?,
            };
            fields.push((name, value));
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b' ') | None => return Ok(fields),
                Some(_) => return self.fail(Problem::BadValue),
            }
        }
    }

    fn unsigned(&mut self) -> Result<Value<'a>, Refused> {
        let rest = &self.line[self.at..];
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        let Some(value) = rest[..end].strip_suffix('u').and_then(|digits| digits.parse::<u64>().ok()) else {
            return self.fail(Problem::IntRange);
        };
        self.at += end;
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> LooseLine<'_> {
        let mut lines = loose(text);
        let line = lines.next().expect("a line").unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(lines.next(), None, "{text}");
        line
    }

    fn problem(text: &str) -> (u32, u32, Problem) {
        let error = loose(text).next().expect("a line").expect_err(text);
        (error.line, error.column, error.problem)
    }

    #[test]
    fn what_clients_write_is_read() {
        for (text, time) in [
            ("m a=1", None),
            ("m a=1 ", None),
            ("  m a=1 5\r\n", Some(5)),
            ("m  a=1   -5 \n\n# \"\n", Some(-5)),
            ("m a=1 9223372036854775807", Some(i64::MAX)),
        ] {
            let found = one(text);
            assert_eq!((found.time, found.line.measurement()), (time, "m".into()), "{text}");
            assert_eq!(found.line.fields, [("a".into(), Value::Float(1.0))], "{text}");
        }
        let found = one("m,t=\"x,u=a\\ b a=5u,b=18446744073709551615u,c=t,d=-3i 7");
        assert_eq!(
            found.line.tags().collect::<Vec<_>>(),
            [("t".into(), "\"x".into()), ("u".into(), "a b".into())]
        );
        let values: Vec<_> = found.line.fields.iter().map(|(_, value)| value.clone()).collect();
        let expected =
            [Value::Int(5), Value::Float(18_446_744_073_709_551_615.0), Value::Bool(true), Value::Int(-3)];
        assert_eq!(values, expected);
    }

    #[test]
    fn strings_may_have_line_breaks_and_lines_are_counted_through_them() {
        let text = "m a=\"one\ntwo \\\" = x\",b=1i 5\nbad\n# it's \"a\nm b=2i\n";
        let all: Vec<_> = loose(text).collect();
        assert_eq!(all.len(), 3, "{all:?}");
        let first = all[0].as_ref().expect("well-formed");
        assert_eq!((first.number, first.time, first.line.fields.len()), (1, Some(5), 2));
        assert_eq!(all[1].as_ref().expect_err("no fields").line, 3);
        assert_eq!(all[2].as_ref().expect("well-formed").number, 5);
    }

    #[test]
    fn a_string_without_end_costs_its_own_line() {
        let text = format!("m a=\"open\n{}", "m a=1\n".repeat(20_000));
        let all: Vec<_> = loose(&text).collect();
        assert_eq!(all.len(), 20_001);
        assert_eq!(all.iter().filter(|line| line.is_err()).count(), 1);
        let long = format!("m a=\"{}\" 5\nm a=1\n", "x".repeat(MAX_LINE_BYTES));
        let all: Vec<_> = loose(&long).collect();
        assert_eq!(all[0].as_ref().expect_err("too long").problem, Problem::TooLong);
        assert!(all[1].is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        use Problem as P;
        assert_eq!(problem(",a=b c=1"), (1, 1, P::NoMeasurement));
        assert_eq!(problem("m"), (1, 2, P::NoFields));
        assert_eq!(problem("m,a= c=1"), (1, 5, P::BadTag));
        assert_eq!(problem("m a=1,"), (1, 7, P::BadField));
        assert_eq!(problem("m a=NaN"), (1, 5, P::NotFinite));
        assert_eq!(problem("m a=1 5 6").2, P::Trailing);
        assert_eq!(problem("m a=1 5.5").2, P::BadTime);
        assert_eq!(problem("m a=1 9223372036854775808").2, P::BadTime);
        assert_eq!(problem("m a=18446744073709551616u").2, P::IntRange);
        assert_eq!(problem("m\u{1} a=1").2, P::Control);
        assert_eq!(problem("m a\u{7f}=1").2, P::Control);
        assert_eq!(problem("m a=\"x").2, P::OpenString);
        assert_eq!(problem("m a=x").2, P::BadValue);
    }
}
