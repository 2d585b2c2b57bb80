use super::*;

/// 2026-11-30T12:00:00Z, in a zone an hour east.
const CLOCK: Clock = Clock { now: UnixNs(1_796_040_000 * SECOND), utc_offset_s: 3600 };
const NOON: u64 = 1_796_040_000 * SECOND;
const HOUR: u64 = 3600 * SECOND;

fn at(line: &str) -> Option<u64> {
    leading(line.as_bytes(), &CLOCK).map(|stamp| stamp.at.0)
}

#[test]
fn the_common_forms_are_read() {
    for (line, expected) in [
        ("2026-11-30T12:00:00Z x", NOON),
        ("2026-11-30T12:00:00.123456789Z", NOON + 123_456_789),
        ("2026-11-30T12:00:00.1234567891234Z", NOON + 123_456_789),
        ("2026-11-30T13:00:00+01:00 x", NOON),
        ("2026-11-30T06:30:00-0530 x", NOON),
        ("2026-11-30 12:00:00 +0000 x", NOON),
        ("2026-11-30 13:00:00,123 INFO x", NOON + 123_000_000),
        ("2026-11-30 12:00:00 UTC [12] LOG:  x", NOON),
        ("2026-11-30 12:00:00.5 GMT x", NOON + 500_000_000),
        ("[2026-11-30 13:00:00] x", NOON),
        ("[2026-11-30T12:00:00Z INFO  x] y", NOON),
        ("(2026-11-30 13:00:00) x", NOON),
        ("2026/11/30 13:00:00 [error] 1#1: x", NOON),
        ("2026/11/30 13:00:00.000042 x", NOON + 42_000),
        ("30 Nov 2026 13:00:00.001 x", NOON + 1_000_000),
        ("30/Nov/2026:12:00:00 +0000 x", NOON),
        ("[30-Nov-2026 12:00:00 UTC] PHP Warning:  x", NOON),
        ("1234:M 30 Nov 2026 13:00:00.500 # x", NOON + 500_000_000),
        ("E1130 13:00:00.000001  1234 file.cc:12] x", NOON + 1000),
        ("Nov 30 13:00:00 host x", NOON),
        ("Nov  3 13:00:00 host x", NOON - 27 * 24 * HOUR),
        ("Mon Nov 30 13:00:00 2026: x", NOON),
        ("[Mon Nov 30 13:00:00.25 2026] [core:error] x", NOON + 250_000_000),
        ("Mon, 30 Nov 2026 12:00:00 GMT x", NOON),
        ("192.0.2.1 - - [30/Nov/2026:12:00:00 +0000] \"GET / HTTP/1.1\" 200 1", NOON),
        ("host.example - bob [30/Nov/2026:13:00:00 +0100] \"GET / HTTP/1.1\" 200 1", NOON),
        ("::1 - - [30/Nov/2026:13:00:00 +0100] x", NOON),
        ("1796040000 x", NOON),
        ("1796040000.25: x", NOON + 250_000_000),
        ("1796040000123 x", NOON + 123_000_000),
        ("1796040000123456", NOON + 123_456_000),
        ("1796040000123456789", NOON + 123_456_789),
        ("12:59:59.5 [main] INFO x", NOON - SECOND / 2),
        ("23:00:00 x", NOON - 14 * HOUR),
    ] {
        assert_eq!(at(line), Some(expected), "{line}");
    }
}

#[test]
fn what_is_no_time_or_cannot_be_right_is_none() {
    for line in [
        "",
        "x",
        "[",
        "12",
        "2026-13-01 00:00:00",
        "2026-02-29 00:00:00",
        "2026-11-31 00:00:00",
        "2026-11-30 24:00:00",
        "2026-11-30 12:60:00",
        "2026-11-30",
        "2026-11-30 12:00:00abc",
        "2027-11-30T12:00:00Z from tomorrow's clock",
        "1970-01-01T00:00:07Z a host without a clock",
        "9999999999 a phone number",
        "1234567 x",
        "0000000000 x",
        "99999999999999999999999999 x",
        "[12345.678901] usb 1-1",
        "E1330 12:00:00 x",
        "Foo 30 12:00:00 x",
        "Nov 31 12:00:00 x",
        "192.0.2.1 port [80] open",
        "1234:Q 30 Nov 2026 13:00:00.500 # x",
        "12:00 x",
        "\u{20ac}\u{20ac}",
    ] {
        assert_eq!(at(line), None, "{line}");
    }
}

#[test]
fn the_year_is_the_one_that_is_next_to_now() {
    let near = |text: &str, now_s: u64| {
        let clock = Clock { now: UnixNs(now_s * SECOND), utc_offset_s: 0 };
        bsd(text.as_bytes(), &clock).map(|(at, _)| at.0 / SECOND)
    };
    let new_year = 1_767_225_600; // 2026-01-01
    assert_eq!(near("Dec 31 23:59:59", new_year + 5), Some(new_year - 1));
    assert_eq!(near("Jan  1 00:00:05", new_year - 1), Some(new_year + 5));
    assert_eq!(near("Jan  3 00:00:05", new_year - 1), Some(new_year - 363 * 86_400 + 5));
    assert_eq!(near("Feb 29 00:00:00", new_year), Some(1_709_164_800));
}

#[test]
fn the_stamp_ends_where_the_text_begins_and_has_the_letter() {
    let stamp = |line: &str| {
        let stamp = leading(line.as_bytes(), &CLOCK).unwrap();
        (line[stamp.end..].to_owned(), stamp.severity)
    };
    assert_eq!(stamp("[2026-11-30 13:00:00] text"), (" text".into(), None));
    assert_eq!(stamp("[2026-11-30 13:00:00 ERROR] text"), (" ERROR] text".into(), None));
    assert_eq!(
        stamp("W1130 13:00:00.0 12 f.cc:1] text"),
        (" 12 f.cc:1] text".into(), Some(Severity::Warning))
    );
    assert_eq!(stamp("1:M 30 Nov 2026 13:00:00.0 * text"), (" text".into(), Some(Severity::Notice)));
    assert_eq!(stamp("2026-11-30 13:00:00 - text"), (" - text".into(), None));
}

/// Days by another way: counted one by one.
#[test]
fn dates_are_those_of_the_calendar() {
    let mut expected = 0;
    for year in 1970..2110 {
        assert_eq!((year_of(expected), year_of(expected + 364)), (year, year));
        for month in 1..=12 {
            for day in 1..=31 {
                if let Some(days) = days(year, month, day) {
                    assert_eq!(days, expected, "{year}-{month}-{day}");
                    expected += 1;
                }
            }
        }
    }
    assert_eq!(days(2000, 2, 29), Some(11_016));
    assert_eq!((days(2100, 2, 29), days(2026, 0, 1), days(2026, 1, 0)), (None, None, None));
}

#[test]
fn no_begin_of_a_line_panics() {
    let lines = [
        "[30-Nov-2026 12:00:00 UTC] x",
        "Mon Nov 30 13:00:00 2026: x",
        "E1130 13:00:00.000001  1 f:1] x",
        "1234:M 30 Nov 2026 13:00:00.500 # x",
        "2026-11-30T12:00:00.5+01:00 x",
        "::1 - - [30/Nov/2026:13:00:00 +0100] x",
    ];
    for line in lines {
        for cut in 0..line.len() {
            let _ = at(&line[..cut]);
            for byte in [b'9', b' ', b':', 0xff, b'-', b'.', b'['] {
                let mut bytes = line.as_bytes().to_vec();
                bytes[cut] = byte;
                for now in [0, NOON, u64::MAX] {
                    let _ = leading(&bytes, &Clock { now: UnixNs(now), utc_offset_s: -43_200 });
                }
            }
        }
    }
}
