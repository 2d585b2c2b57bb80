//! Writer of the line protocol.

use std::fmt::Write as _;
use std::ops::AddAssign;

use super::{FieldValue, Point};

/// What the writer had to leave out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Fields whose value is NaN or infinite, or whose name is empty.
    pub fields: u64,
    /// Points without a measurement, without a field that could be written, or with a time past the year 2262.
    pub points: u64,
}

impl AddAssign for Skipped {
    fn add_assign(&mut self, other: Self) {
        self.fields += other.fields;
        self.points += other.points;
    }
}

/// Writes the points. Use [`encode_into`] where the caller has to know what was left out.
pub fn encode(points: &[Point]) -> String {
    let mut out = String::with_capacity(points.len() * 160);
    encode_into(&mut out, points);
    out
}

/// Appends the points to `out`, each with its newline, and returns what was left out.
pub fn encode_into(out: &mut String, points: &[Point]) -> Skipped {
    let mut skipped = Skipped::default();
    for point in points {
        skipped += encode_point(out, point);
    }
    skipped
}

fn encode_point(out: &mut String, point: &Point) -> Skipped {
    let mut skipped = Skipped::default();
    let start = out.len();
    escape_key(out, &point.measurement, &[',', ' ']);
    for (key, value) in &point.tags {
        if key.is_empty() || value.is_empty() {
            continue;
        }
        out.push(',');
        escape_key(out, key, &[',', '=', ' ']);
        out.push('=');
        escape_key(out, value, &[',', '=', ' ']);
    }
    let mut separator = ' ';
    for (key, value) in &point.fields {
        let finite = !matches!(value, FieldValue::Float(v) if !v.is_finite());
        if key.is_empty() || !finite {
            skipped.fields += 1;
            continue;
        }
        out.push(separator);
        separator = ',';
        escape_key(out, key, &[',', '=', ' ']);
        out.push('=');
        encode_value(out, value);
    }
    if separator == ' ' || point.measurement.is_empty() || i64::try_from(point.time.0).is_err() {
        out.truncate(start);
        skipped.points += 1;
        return skipped;
    }
    // SANITY: writing to a String cannot fail.
    writeln!(out, " {}", point.time).expect("write to a String");
    skipped
}

fn encode_value(out: &mut String, value: &FieldValue) {
    // SANITY: writing to a String cannot fail.
    match value {
        FieldValue::Int(v) => write!(out, "{v}i").expect("write to a String"),
        // Debug is the shortest text that reads back as the same number, with an exponent where it is long.
        FieldValue::Float(v) => write!(out, "{v:?}").expect("write to a String"),
        FieldValue::Bool(v) => out.push_str(if *v { "true" } else { "false" }),
        FieldValue::Text(v) => {
            out.push('"');
            for c in v.chars() {
                match c {
                    '"' => out.push_str("\\\""),
                    '\\' => out.push_str("\\\\"),
                    // A newline inside quotes is legal for InfluxDB, but VictoriaMetrics and every tool that reads
                    // line by line cut the point there.
                    '\n' => out.push_str("\\\\n"),
                    c if c.is_control() && c != '\t' => out.push('?'),
                    c => out.push(c),
                }
            }
            out.push('"');
        }
    }
}

/// Writes a name or a tag's value. Two things have no form in the protocol: control characters (a task may call
/// itself `a\nb`) become `?`; a backslash that would escape what follows it, or that ends the name, becomes `/`,
/// because InfluxDB and VictoriaMetrics disagree on `\\`. Any other backslash (`dev-disk\x2dby`) stays as it is.
fn escape_key(out: &mut String, text: &str, special: &[char]) {
    if !text.bytes().any(|b| b < 0x20 || matches!(b, b',' | b'=' | b' ' | b'\\' | b'#' | 0x7f..)) {
        out.push_str(text);
        return;
    }
    let start = out.len();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // At the start of a line it would make a comment.
            '#' if out.len() == start && (start == 0 || out.as_bytes()[start - 1] == b'\n') => out.push('?'),
            '\\' => match chars.peek() {
                None | Some(',' | '=' | ' ') => out.push('/'),
                Some(next) if next.is_control() => out.push('/'),
                Some(_) => out.push('\\'),
            },
            c if c.is_control() => out.push('?'),
            c => {
                if special.contains(&c) {
                    out.push('\\');
                }
                out.push(c);
            }
        }
    }
}
