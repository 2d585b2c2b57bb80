//! The entry for fuzzing: lines that anybody may have written, and a snapshot that anybody may have changed.

use agent_common::units::UnixNs;

use super::mask::{MAX_LINE_BYTES, MAX_TOKENS, Masked};
use super::{Line, Pattern, PatternId, Patterns, Snapshot};
use crate::{Severity, Stream};

/// Between two messages.
const END: char = '\0';
const SECOND_NS: u64 = 1_000_000_000;

/// The first byte says how many seconds lie between two messages. A first message that is the JSON of a snapshot is one.
///
/// # Panics
/// If a promise of the patterns does not hold.
pub fn patterns(bytes: &[u8]) {
    let Some((seconds, bytes)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    let snapshot = text.split(END).next().and_then(|first| serde_json::from_str::<Snapshot>(first).ok());
    let stream = Stream::new([("source", "file")]);
    let is_new = snapshot.is_none();
    let mut patterns = snapshot.map_or_else(Patterns::new, Patterns::restore);
    let (mut masked, mut count) = (Masked::default(), 0);
    for (nth, message) in text.split(END).enumerate() {
        masked.mask(message);
        assert!(masked.tokens.len() <= MAX_TOKENS, "{message}");
        assert!(masked.tokens.iter().all(|token| !masked.bytes(token).contains(&b' ')), "{message}");
        assert!(masked.text.len() <= message.len().min(2 * MAX_LINE_BYTES) * 8 + 64, "{message}");
        let at = UnixNs((1_000_000 + nth as u64 * u64::from(*seconds)) * SECOND_NS);
        let line = Line { message, severity: Severity::of_number(nth as u64 % 9), at, failing: nth % 2 == 0 };
        let seen = patterns.of(&stream, &line);
        let again = patterns.of(&stream, &line);
        assert!(!again.born && again.id == seen.id, "{message}");
        count += 2;
        if nth % 16 == 15 {
            let _ = patterns.sweep(at);
        }
    }
    let losses = patterns.losses();
    if is_new && losses.evicted == 0 {
        let lines: u64 = patterns.patterns(&stream).map(|pattern| pattern.lines).sum();
        assert_eq!(lines + losses.overflow, count, "each line is counted once");
    }
    let _ = patterns.take_minutes();
    if is_new {
        let json = serde_json::to_string(&patterns.snapshot()).expect("numbers and text");
        let back = Patterns::restore(serde_json::from_str(&json).expect("what was written is read"));
        assert_eq!(sorted(&back, &stream), sorted(&patterns, &stream), "a snapshot has all");
    } else {
        let _ = patterns.snapshot();
        let _ = patterns.current(&stream, PatternId(1));
    }
}

/// Without the mean: JSON may change its last digit.
fn sorted(patterns: &Patterns, stream: &Stream) -> Vec<Pattern> {
    let all = patterns.patterns(stream);
    let mut all: Vec<Pattern> = all.map(|pattern| Pattern { mean_per_minute: 0.0, ..pattern }).collect();
    all.sort_by_key(|pattern| pattern.id);
    all
}

#[cfg(test)]
mod tests {
    const SEEDS: [&str; 10] = [
        "{\"streams\":[{\"stream\":[[\"source\",\"file\"]],\"first_ns\":1,\"templates\":[{\"text\":\"a: <**> b\",\
         \"kinds\":\"f*w\",\"gap\":1,\"proven\":true,\"severity\":\"info\",\"counts\":{},\"example\":\"\"}],\
         \"old_ids\":[[1,2],[2,1]]}]}\0",
        "open() \"/a b\" failed (2: No such file or directory), client: 1.2.3.4, server: x\0",
        "{\"level\":30,\"msg\":\"a \\\"b\\\" c\",\"n\":{\"x\":[1,{\"y\":2}]}}\0",
        "time=1 level=info msg=\"it's (x) [y] {z}\" a='b c' d=[1, 2] e=\u{e9}\0",
        "user ann has logged in\0user ben has logged in\0user cid has logged in\0user dan has logged in\0",
        "x\njava.lang.Error: a\n\tat com.A.b(A.java:1)\nCaused by: java.io.IOException: b\0",
        "job says: all is well now\0job says: nothing to do\0job says: I am tired of it\0job says: no\0",
        "user alice, bob and carol's \u{1b}[32m`files` took 5 seconds: connection refused = x = y\0",
        "\0\0\0",
        " ",
    ];

    #[test]
    fn no_mixture_of_lines_breaks_a_promise() {
        let mut number = 5u64;
        let mut next = |below: usize| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) as usize % below
        };
        for round in 0..3000_usize {
            let mut bytes = vec![next(256) as u8];
            // Every second begins with a snapshot.
            bytes.extend_from_slice(SEEDS[usize::from(round % 2 != 0)].as_bytes());
            for _ in 0..=next(6) {
                bytes.extend_from_slice(SEEDS[next(SEEDS.len())].as_bytes());
            }
            for _ in 0..next(6) {
                let at = next(bytes.len());
                match next(3) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes.insert(at, b"\n\"'\\ {}[]()=,:;9a\0\xff"[next(19)]),
                    _ => bytes[at] = b"\n\"'\\ {}[]()=,:;9a\0\xff"[next(19)],
                }
            }
            super::patterns(&bytes);
        }
    }
}
