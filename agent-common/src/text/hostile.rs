//! Text that others wrote, made safe to show: a comm, path, symbol, unit or host name may hold any character.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters that move the cursor, reorder what stands around them, or cannot be seen: first and last of each range,
/// ascending. Controls (C0, DEL, C1), and what Unicode calls default-ignorable, bidirectional controls, line and
/// paragraph separators, interlinear annotations, tags, and the last two of the basic plane (no characters of XML).
const HOSTILE: [(char, char); 22] = [
    ('\u{0}', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{fffe}', '\u{ffff}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
    ('\u{f0000}', '\u{10ffff}'),
];

/// Whether a character must not reach a terminal, a page, a log line, a topic or a file name as it is.
#[must_use]
pub fn is_hostile(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let after = HOSTILE.partition_point(|(first, _)| *first <= c);
    after > 0 && c <= HOSTILE[after - 1].1
}

/// The text with each hostile character written as Rust writes it: `\n`, `\u{1b}`, `\u{202e}`. The result is one line.
#[must_use]
pub fn cleaned(text: &str) -> Cow<'_, str> {
    replace(text, is_hostile, |out, c| out.extend(c.escape_default()))
}

/// The same as a text of its own.
#[must_use]
pub fn clean(text: &str) -> String {
    cleaned(text).into_owned()
}

/// The same in place.
pub fn make_clean(text: &mut String) {
    if let Cow::Owned(clean) = cleaned(text) {
        *text = clean;
    }
}

/// What a program prints: line breaks, tabs and colours (`ESC [ … m`) stay, everything else is as [`clean`] has it. The
/// last gate to the terminal. It does not replace cleaning each foreign word, which may hold a line break.
#[must_use]
pub fn clean_output(text: &str) -> Cow<'_, str> {
    let hostile = |c| is_hostile(c) && !matches!(c, '\n' | '\t');
    if !text.chars().any(hostile) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = colour(rest).unwrap_or(0);
        if length > 0 {
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        if hostile(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    out.into()
}

/// JSON with each hostile character in its strings as `\uXXXX`: the same document. What stands between the strings is
/// ASCII, and a line break there is layout.
#[must_use]
pub fn clean_json(json: &str) -> Cow<'_, str> {
    replace(
        json,
        |c| is_hostile(c) && c != '\n',
        |out, c| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // SANITY: writing to a String cannot fail.
                write!(out, "\\u{unit:04x}").expect("write to a String");
            }
        },
    )
}

fn replace(text: &str, which: impl Fn(char) -> bool, with: impl Fn(&mut String, char)) -> Cow<'_, str> {
    let Some(first) = text.find(&which) else { return text.into() };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if which(c) {
            with(&mut out, c);
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Length of the colour sequence that the text begins with.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_sorted_and_apart() {
        assert!(HOSTILE.iter().all(|(first, last)| first <= last));
        assert!(HOSTILE.windows(2).all(|two| two[0].1 < two[1].0));
    }

    #[test]
    fn what_a_terminal_obeys_or_hides_becomes_visible() {
        for (text, shown) in [
            ("nginx: worker 1", "nginx: worker 1"),
            ("überprüfung 日本語 🦀", "überprüfung 日本語 🦀"),
            ("a\u{1b}[2J", "a\\u{1b}[2J"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
            ("root\u{200b}\u{feff}\u{2066}", "root\\u{200b}\\u{feff}\\u{2066}"),
            ("x\u{e0041}\u{fe0f}", "x\\u{e0041}\\u{fe0f}"),
            ("dev-disk\\x2dby", "dev-disk\\x2dby"),
        ] {
            assert_eq!(clean(text), shown);
            assert_eq!(clean(shown), shown, "cleaning twice changes nothing");
        }
        for hostile in (0..=0x10_ffff).filter_map(char::from_u32).filter(|c| is_hostile(*c)) {
            assert!(clean(&hostile.to_string()).is_ascii());
        }
    }

    #[test]
    fn the_last_gate_keeps_line_breaks_and_colours_alone() {
        assert_eq!(clean_output("\u{1b}[1;31mred\u{1b}[0m\nnext"), "\u{1b}[1;31mred\u{1b}[0m\nnext");
        assert_eq!(clean_output("a\u{1b}[2Jb\u{1b}]0;title\u{7}"), "a\\u{1b}[2Jb\\u{1b}]0;title\\u{7}");
        assert_eq!(clean_output("a\u{1b}[1"), "a\\u{1b}[1");
        assert_eq!(clean_output("\u{202e}\t\n"), "\\u{202e}\t\n");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = "a\u{1b}\u{202e}\u{e0041}\u{85}ü";
        let json = serde_json::to_string_pretty(&serde_json::json!({ "comm": text })).expect("JSON");
        let shown = clean_json(&json);
        assert!(!shown.chars().any(|c| is_hostile(c) && c != '\n'), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON")["comm"], text);
    }
}
