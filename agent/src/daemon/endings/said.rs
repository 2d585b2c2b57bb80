//! What a process wrote and was started with, without its secrets.

use logs::parse::{REDACTED, redact, redact_field, secrets};
use postmortem::facts::Words;

use super::facts::Clocks;
use crate::source::endings::Ended;

/// Bytes of a text that the run time left before it aborted.
const MAX_ABORT_TEXT: usize = 1024;
/// How the message of a run time that aborts is known: from the last line on that has one of these.
const SIGNS: [&str; 12] = [
    "Assertion ",
    "terminate called",
    "*** ",
    "free(): ",
    "malloc(): ",
    "malloc_consolidate(): ",
    "realloc(): ",
    "munmap_chunk(): ",
    "corrupted ",
    "double free",
    "fatal error: ",
    "Fatal ",
];
/// How long before the end such a text was written.
const ABORT_TEXT_NS: u64 = 2_000_000_000;

/// Its last writes.
pub(super) fn words(ended: &Ended, clocks: Clocks) -> Vec<Words> {
    let words = ended.words.iter().map(|write| Words {
        at_ns: clocks.unix(write.at),
        fd: write.fd.into(),
        text: String::from_utf8_lossy(&write.bytes).into_owned(),
        cut: write.whole as usize > write.bytes.len(),
    });
    let mut words: Vec<Words> = words.collect();
    for is_stdout in [true, false] {
        hide(words.iter_mut().filter(|words| (words.fd == 1) == is_stdout).collect());
    }
    words
}

/// Takes the secrets out of one stream. Programs write `password=` and its value at different times, so they are looked for in all of it.
fn hide(pieces: Vec<&mut Words>) {
    let mut all = String::new();
    let mut parts = Vec::new();
    for piece in pieces {
        let start = all.len();
        all.push_str(&piece.text);
        parts.push((start..all.len(), piece));
        // A piece that was cut does not go on in the next one.
        if parts.last().is_some_and(|(_, piece)| piece.cut) {
            all.push('\n');
        }
    }
    // From the last one on: what stands before keeps its place.
    for secret in secrets(&all).collect::<Vec<_>>().into_iter().rev() {
        for (at, piece) in &mut parts {
            let own = secret.start.max(at.start)..secret.end.min(at.end);
            if own.start < own.end {
                let mark = if at.contains(&secret.start) { REDACTED } else { "" };
                piece.text.replace_range(own.start - at.start..own.end - at.start, mark);
            }
        }
    }
}

/// What the C library, or C++'s, printed before it aborted: it writes the text of `__abort_msg` to standard error as well, at the
/// very end. The message itself is out of reach: 10 µs later its memory is gone.
pub(super) fn abort_text(ended: &Ended, words: &[Words]) -> String {
    let texts = ended
        .words
        .iter()
        .zip(words)
        .filter(|(write, _)| write.fd == 2 && ended.at.0.saturating_sub(write.at.0) < ABORT_TEXT_NS);
    let text: String = texts.map(|(_, words)| words.text.as_str()).collect();
    let lines: Vec<&str> = text.lines().collect();
    let Some(from) = lines.iter().rposition(|line| SIGNS.iter().any(|sign| line.contains(sign))) else {
        return String::new();
    };
    let mut found = lines[from..].join("\n");
    let end = found.floor_char_boundary(MAX_ABORT_TEXT);
    found.truncate(end);
    found
}

/// Arguments as the kernel has them, each with a NUL behind it, as a line.
pub(super) fn arguments(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut before = "";
    let shown = text.trim_end_matches('\0').split('\0').map(|argument| {
        // `--password`, `my secret`. Behind `--private-key` stands a file, mostly.
        let is_path = before.contains("private") && argument.starts_with('/');
        let flag = before.strip_prefix('-').filter(|_| !argument.starts_with('-') && !is_path);
        before = argument;
        match flag {
            Some(name) => redact_field(name, argument),
            None => redact(argument),
        }
    });
    let line = shown.collect::<Vec<_>>().join(" ");
    redact(&line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(pieces: &[(i32, &str, bool)]) -> Vec<String> {
        let mut words: Vec<Words> = pieces
            .iter()
            .map(|(fd, text, cut)| Words { fd: *fd, text: (*text).to_owned(), cut: *cut, ..Words::default() })
            .collect();
        hide(words.iter_mut().collect());
        words.into_iter().map(|words| words.text).collect()
    }

    #[test]
    fn a_secret_that_was_written_in_pieces_is_hidden() {
        assert_eq!(
            hidden(&[
                (2, "user=a password=", false),
                (2, "hun", false),
                (2, "ter2 next", false),
                (2, "\n", false)
            ]),
            ["user=a password=", "[redacted]", " next", "\n"]
        );
        assert_eq!(
            hidden(&[
                (2, "a\n-----BEGIN PRIVATE KEY-----\n", false),
                (2, "MIIabc\n", false),
                (2, "-----END PRIVATE KEY-----\nafter token=b token=c\n", false),
            ]),
            ["a\n[redacted]", "", "\nafter token=[redacted] token=[redacted]\n"]
        );
        assert_eq!(
            hidden(&[(2, "the password=", true), (2, "something else", false)]),
            ["the password=", "something else"],
            "one that was cut does not go on"
        );
        assert_eq!(
            hidden(&[(2, "password=a\u{e4}", false), (2, "\u{e4} b", false)]),
            ["password=[redacted]", " b"]
        );
    }

    #[test]
    fn secrets_among_the_arguments_are_hidden() {
        for (given, shown) in [
            ("psql\0--password\0my secret\0-U\0me\0", "psql --password [redacted] -U me"),
            ("curl\0-H\0Authorization: Bearer abc.def\0https://h/\0", "curl -H Authorization: [redacted]"),
            ("mysql\0--mysql_pwd=a b\0db\0", "mysql --mysql_pwd=[redacted] b db"),
            ("x\0--token\0--user\0me\0", "x --token --user me"),
            ("deploy\0--private-key\0/etc/ssl/x.key\0", "deploy --private-key /etc/ssl/x.key"),
            ("deploy\0--private-key\0MIIabc\0", "deploy --private-key [redacted]"),
            ("sleep\u{0}60\0", "sleep 60"),
            ("", ""),
        ] {
            assert_eq!(arguments(given.as_bytes()), shown, "{given}");
        }
    }
}
