//! `key=value` lines.

use super::fields::Fields;

/// Pairs that make a line logfmt; with fewer it is prose that has a pair in it.
const MIN_PAIRS: usize = 3;
/// What of the line they have to cover, in percent.
const MIN_COVERED_PCT: usize = 60;

/// The pairs of a line, where they are most of it: `level=info msg="two words" took=3ms`.
#[must_use]
pub fn logfmt(line: &str) -> Option<Fields> {
    pairs(line).map(|(fields, _)| fields)
}

/// The same, and whether the line has nothing else.
pub(super) fn pairs(line: &str) -> Option<(Fields, bool)> {
    if memchr::memchr_iter(b'=', line.as_bytes()).take(MIN_PAIRS).count() < MIN_PAIRS {
        return None;
    }
    let line = line.trim_ascii();
    let bytes = line.as_bytes();
    let mut fields = Fields::default();
    let (mut at, mut pairs, mut covered, mut is_whole) = (0, 0, 0, true);
    while at < bytes.len() {
        let start = at;
        while bytes.get(at).is_some_and(|byte| is_of_name(*byte)) {
            at += 1;
        }
        let name = &line[start..at];
        if name.is_empty() || bytes.get(at) != Some(&b'=') {
            is_whole &= bytes[start] == b' ';
            at = memchr::memchr(b' ', &bytes[at..]).map_or(bytes.len(), |space| at + space + 1);
            continue;
        }
        let (value_end, value) = value(line, at + 1);
        fields.push(name, &value);
        pairs += 1;
        // With the space behind it.
        at = (value_end + 1).min(bytes.len());
        covered += at - start;
    }
    (pairs >= MIN_PAIRS && covered * 100 >= line.len() * MIN_COVERED_PCT).then_some((fields, is_whole))
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b'@')
}

/// The value that begins at `start`: where it ends, and what it is.
fn value(line: &str, start: usize) -> (usize, std::borrow::Cow<'_, str>) {
    let bytes = line.as_bytes();
    if bytes.get(start) == Some(&b'"') {
        let (mut at, mut escaped) = (start + 1, false);
        while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
            at += found;
            if bytes[at] == b'\\' {
                escaped = true;
                at = (at + 2).min(bytes.len());
                continue;
            }
            if !matches!(bytes.get(at + 1), None | Some(b' ')) {
                break;
            }
            let inner = &line[start + 1..at];
            return (at + 1, if escaped { unescaped(inner).into() } else { inner.into() });
        }
    }
    let end = memchr::memchr(b' ', &bytes[start..]).map_or(bytes.len(), |space| start + space);
    (end, line[start..end].into())
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            },
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_are_most_of_a_line_are_its_fields() {
        for (line, expected) in [
            ("a=1 b=2 c=3", Some(vec![("a", "1"), ("b", "2"), ("c", "3")])),
            (
                r#"time=x level=info msg="two \"words\"\n" took=3ms empty="" last="#,
                Some(vec![
                    ("time", "x"),
                    ("level", "info"),
                    ("msg", "two \"words\"\n"),
                    ("took", "3ms"),
                    ("empty", ""),
                    ("last", ""),
                ]),
            ),
            (
                "started: host.name=a port=80 tls=on",
                Some(vec![("host.name", "a"), ("port", "80"), ("tls", "on")]),
            ),
            ("a=1 b=2", None),
            ("the settings a=1 b=2 c=3 were read from a file that is long", None),
            ("x == y && z == w && v == u", None),
            ("url=http://h/?a=1&b=2&c=3", None),
            (r#"a="open b=2 c=3"#, Some(vec![("a", "\"open"), ("b", "2"), ("c", "3")])),
            (r#"a="x"y b="\" c=3 d=4"#, Some(vec![("a", "\"x\"y"), ("b", "\"\\\""), ("c", "3"), ("d", "4")])),
        ] {
            let pairs = logfmt(line).map(|fields| fields.pairs);
            let expected = expected.map(|all| {
                all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
            });
            assert_eq!(pairs, expected, "{line}");
        }
    }

    #[test]
    fn long_and_hostile_lines_are_read_in_linear_time() {
        for part in ["a=\"", "=", "a=\\", "a=\"\\", "\u{20ac}=\"x ", "a=1 "] {
            let line = part.repeat(200_000);
            let start = std::time::Instant::now();
            let _ = logfmt(&line);
            assert!(start.elapsed().as_secs() < 5, "{part}");
        }
    }
}
