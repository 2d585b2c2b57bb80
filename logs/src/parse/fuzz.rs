//! The entry for fuzzing: bytes that anybody may have written to a log.

use agent_common::units::UnixNs;

use super::multiline::Joiner;
use super::{
    Clock, MAX_FIELD_NAME_BYTES, MAX_FIELD_VALUE_BYTES, MAX_JOINED_BYTES, MAX_LINE_BYTES, OpenKeys, Partials,
    Splitter,
};
use crate::Record;

/// 2026-11-30T12:00:00Z.
const CLOCK: Clock = Clock { now: UnixNs(1_796_040_000_000_000_000), utc_offset_s: -3600 };

/// Splits the bytes after the first, which says in chunks of which size, and reads each line in every way.
///
/// # Panics
/// If a promise of the parsers does not hold.
pub fn lines(bytes: &[u8]) {
    let Some((chunk, bytes)) = bytes.split_first() else { return };
    let whole = split(&[bytes]);
    let chunks: Vec<&[u8]> = bytes.chunks(usize::from(*chunk).max(1)).collect();
    assert_eq!(split(&chunks), whole, "lines do not depend on chunks");

    let mut joiner = Joiner::default();
    let mut joined = Vec::new();
    let mut fed = Vec::new();
    let (mut partials, mut keys) = (Partials::default(), OpenKeys::default());
    for (offset, line) in &whole {
        let _ = super::kmsg(line);
        let text = super::text(line);
        let _ = keys.holds(*offset % 2, &text);
        for piece in [super::cri(&text, &CLOCK), super::docker(&text, &CLOCK)].into_iter().flatten() {
            if let Some(joined) = partials.feed(piece, *offset, 0) {
                assert!(joined.position <= *offset && joined.text.len() < MAX_JOINED_BYTES + MAX_LINE_BYTES);
            }
        }
        let redacted = super::redact(&text);
        assert_eq!(super::redact(&redacted), redacted, "nothing is found in what is left: {text}");
        let parsed = super::line(&text, &CLOCK);
        for (name, value) in &parsed.fields {
            let _ = super::redact_field(name, value);
            // Of structured syslog the name is made of two.
            assert!(name.len() <= MAX_FIELD_NAME_BYTES && value.len() <= MAX_FIELD_VALUE_BYTES, "{name}");
        }
        let is_headed = parsed.is_headed;
        let record = parsed.into_record(CLOCK.now, *offset);
        fed.push(record.message.clone());
        joiner.feed(0, record, is_headed, 0, |_, record: Record| joined.push(record.message));
    }
    joiner.finish(|_, record| joined.push(record.message));
    assert_eq!(words(&joined), words(&fed), "joining loses and adds nothing but empty lines");
}

fn split(chunks: &[&[u8]]) -> Vec<(u64, Vec<u8>)> {
    let mut splitter = Splitter::new(0);
    let mut lines = Vec::new();
    for chunk in chunks {
        splitter.feed(chunk, 0, |line| lines.push((line.offset, line.bytes.to_vec())));
    }
    splitter.finish(|line| lines.push((line.offset, line.bytes.to_vec())));
    assert!(lines.iter().all(|(_, line)| line.len() <= MAX_LINE_BYTES));
    lines
}

/// The lines that are not empty.
fn words(all: &[String]) -> Vec<&str> {
    all.iter().flat_map(|text| text.split('\n')).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    /// A line of each format, and what they are made of.
    const SEEDS: [&str; 24] = [
        "<165>1 2026-11-30T12:00:00Z web1 app 42 ID47 [a@1 k=\"v\\\"\"][b] \u{feff}text\n",
        "<11>Nov 30 12:00:00 web1 app[12]: boom password=x\n",
        "2026-11-30T12:00:00.123456+01:00 web1 a[1]: {\"a\":{\"b\":\"\\u20ac\"},\"level\":\"warn\"}\n",
        "time=2026-11-30T12:00:00Z level=error msg=\"not \\\"found\" path=/x\n",
        "{\"time\":1796040000000,\"level\":50,\"msg\":\"x\",\"l\":[1,{\"k\":null}]}\n",
        "2026-11-30T12:00:00.000000007Z stderr P two words\n",
        "{\"log\":\"a \\\"b\\\"\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-30T11:00:00.5Z\"}\n",
        "4,1234,5678901,-,caller=T1;usb \\xc3\\xa9\n",
        " SUBSYSTEM=usb\n",
        "192.0.2.1 - - [30/Nov/2026:12:00:00 +0000] \"GET /?token=abc HTTP/1.1\" 200 1\n",
        "E1130 13:00:00.000001  1234 file.cc:12] x\n",
        "1234:M 30 Nov 2026 13:00:00.500 # x\n",
        "Traceback (most recent call last):\n  File \"x\", line 1\nValueError: bad\n\n",
        "During handling of the above exception, another exception occurred:\n\n",
        "java.lang.Error: x\nmore\n\tat a.b(C.java:1)\nCaused by: y\n",
        "panic: x\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1 +0x1\nexit status 2\n",
        "thread 'main' panicked at a.rs:1:2:\nmessage\nnote: x\n",
        "==1==ERROR: AddressSanitizer: x\nSUMMARY: x\n==1==ABORTING\n",
        "-----BEGIN PRIVATE KEY-----\nabc=\n-----END PRIVATE KEY-----\n",
        "/app/a.js:3\nthrow\n^\n\nError: x\n    at y {\n}\n\nNode.js v20\n",
        "\0\0\0\r\n\r\n",
        "\x1b[31mERROR\x1b[0m postgres://a:b@c/ Authorization: Bearer abc1234567\n",
        "\u{20ac}\u{1f600}\u{85}\u{2028}\n",
        " ",
    ];

    #[test]
    fn no_mixture_of_bytes_breaks_a_promise() {
        let mut number = 3u64;
        let mut next = |below: usize| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) as usize % below
        };
        for _ in 0..8000 {
            let mut bytes = vec![next(256) as u8];
            for _ in 0..=next(6) {
                bytes.extend_from_slice(SEEDS[next(SEEDS.len())].as_bytes());
            }
            for _ in 0..next(8) {
                let at = next(bytes.len());
                match next(4) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes.insert(at, next(256) as u8),
                    2 => bytes[at] = b"\n\"\\ {}[]=:,;<>-0\t\xff"[next(18)],
                    _ => {
                        let end = (at + next(20)).min(bytes.len());
                        let part = bytes[at..end].to_vec();
                        let to = next(bytes.len());
                        bytes.splice(to..to, part);
                    }
                }
                if bytes.is_empty() {
                    break;
                }
            }
            super::lines(&bytes);
        }
    }
}
