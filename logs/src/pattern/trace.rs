//! Of several lines: what is thrown innermost, and where.

/// Lines of a trace that are read; deeper traces repeat themselves.
const MAX_TRACE_LINES: usize = 256;

/// What was thrown, and in which function.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Thrown<'a> {
    /// Type of the exception.
    pub(super) kind: &'a str,
    /// Function that threw it; empty if the trace does not say.
    pub(super) place: &'a str,
}

/// Of the lines behind the first: the exception that caused the others, in Java's and in Python's order.
pub(super) fn innermost(message: &str) -> Option<Thrown<'_>> {
    if message.contains("Traceback (most recent call last):") { of_python(message) } else { of_java(message) }
}

/// The last `Caused by:`, else the first line that names an exception, and the first `at` below it.
fn of_java(message: &str) -> Option<Thrown<'_>> {
    let mut thrown: Option<Thrown<'_>> = None;
    for line in message.lines().take(MAX_TRACE_LINES) {
        let text = line.trim_start();
        if let Some(cause) = text.strip_prefix("Caused by: ") {
            thrown = kind_of(cause).map(|kind| Thrown { kind, place: "" }).or(thrown);
        } else if let Some(place) = text.strip_prefix("at ") {
            if let Some(thrown) = &mut thrown
                && thrown.place.is_empty()
            {
                thrown.place = place.split(['(', ' ']).next().unwrap_or_default();
            }
        } else if thrown.is_none() {
            thrown = text.split(' ').find_map(kind_of).map(|kind| Thrown { kind, place: "" });
        }
    }
    thrown
}

/// The first traceback's exception: Python prints causes first. Its place is the last `in` above it.
fn of_python(message: &str) -> Option<Thrown<'_>> {
    let mut place = "";
    let mut within = false;
    for line in message.lines().take(MAX_TRACE_LINES) {
        if line.ends_with("Traceback (most recent call last):") {
            within = true;
        } else if let Some(file) = line.trim_start().strip_prefix("File ") {
            place = file.rsplit_once(", in ").map_or(place, |(_, function)| function);
        } else if within && !line.starts_with([' ', '\t']) && !line.is_empty() {
            return line
                .split(':')
                .next()
                .filter(|kind| !kind.contains(' '))
                .map(|kind| Thrown { kind, place });
        }
    }
    None
}

/// The name of an exception at the start of a text.
fn kind_of(text: &str) -> Option<&str> {
    let kind = text.split([':', ' ']).next().unwrap_or_default();
    let named = ["Exception", "Error", "Throwable"].iter().any(|end| kind.ends_with(end));
    (named && kind.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'$')))
        .then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_cause_counts_in_both_orders() {
        let java = "request failed\njava.lang.IllegalStateException: a\n\tat com.A.run(A.java:1)\nCaused by: java.io.IOException: b\n\tat com.B.read(B.java:7)\n\tat com.A.run(A.java:2)\n\t... 3 more";
        assert_eq!(innermost(java), Some(Thrown { kind: "java.io.IOException", place: "com.B.read" }));
        let python = "job failed\nTraceback (most recent call last):\n  File \"a.py\", line 3, in inner\n    x[1]\nKeyError: 1\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"a.py\", line 9, in outer\n    y()\nRuntimeError: no";
        assert_eq!(innermost(python), Some(Thrown { kind: "KeyError", place: "inner" }));
        let node =
            "TypeError: x is not a function\n    at run (/srv/app.js:3:9)\n    at main (/srv/app.js:9:1)";
        assert_eq!(innermost(node), Some(Thrown { kind: "TypeError", place: "run" }));
        assert_eq!(innermost("two\nlines"), None);
    }
}
