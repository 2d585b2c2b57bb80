use super::tests::{join, record};
use super::*;

#[test]
fn a_trace_is_an_error_and_the_gravest_word_of_its_lines_counts() {
    let severities =
        |lines: &[&str]| join(lines).into_iter().map(|record| record.severity).collect::<Vec<_>>();
    assert_eq!(
        severities(&["x: y", "\tat a.b(C.java:1)", "plain", "  more"]),
        [Severity::Error, Severity::Unknown]
    );
    let mut joiner = Joiner::default();
    let mut out = Vec::new();
    for (line, severity) in
        [("one", Severity::Info), (" two", Severity::Warning), (" three", Severity::Unknown)]
    {
        joiner.feed((), record(line, 0, severity), false, 0, |(), record| out.push(record));
    }
    joiner.finish(|(), record| out.push(record));
    assert_eq!((out.len(), out[0].severity, out[0].position), (1, Severity::Warning, 0));
}

#[test]
fn fields_that_all_lines_have_are_there_once_and_have_a_bound() {
    let mut joiner = Joiner::default();
    let mut out = Vec::new();
    for number in 0..100 {
        let mut line = record(if number == 0 { "panic: x" } else { "\tat" }, 0, Severity::Unknown);
        line.fields = vec![("UNIT".into(), "a".into()), ("LINE".into(), number.to_string())];
        joiner.feed((), line, false, 0, |(), record| out.push(record));
    }
    let counts = joiner.counts();
    joiner.finish(|(), record| out.push(record));
    assert_eq!((out.len(), out[0].fields.len()), (1, MAX_LINE_FIELDS));
    assert_eq!((counts.joined, counts.fields), (99, 101 - MAX_LINE_FIELDS as u64));
}

#[test]
fn open_records_have_a_bound_together() {
    let mut joiner = Joiner::default();
    let mut out = 0;
    let part = format!("\t{}", "x".repeat(50_000));
    for _ in 0..4 {
        for stream in 0..2000 {
            let first = record("panic: x", 0, Severity::Unknown);
            if !joiner.open.contains_key(&stream) {
                joiner.feed(stream, first, false, 0, |_, record| out += record.message.len());
            }
            joiner.feed(stream, record(&part, 0, Severity::Unknown), false, 0, |_, record| {
                out += record.message.len();
            });
            assert!(joiner.bytes <= MAX_OPEN_BYTES);
        }
    }
    let counts = joiner.counts();
    joiner.finish(|_, record| out += record.message.len());
    assert!(counts.crowded > 1000 && out > 4 * 2000 * part.len(), "{counts:?} {out}");
}

#[test]
fn streams_do_not_mix() {
    let mut joiner = Joiner::default();
    let mut out = Vec::new();
    let lines = ["Traceback (most recent call last):", "  File \"x\", line 1", "ValueError: bad"];
    for line in lines {
        for pid in [1, 2] {
            joiner.feed(pid, record(line, 0, Severity::Unknown), false, 0, |pid, record| {
                out.push((pid, record.message));
            });
        }
        joiner.feed(3, record("other", 0, Severity::Unknown), false, 0, |pid, record| {
            out.push((pid, record.message));
        });
    }
    joiner.finish(|pid, record| out.push((pid, record.message)));
    out.sort();
    let trace = lines.join("\n");
    let other = || (3, "other".to_owned());
    assert_eq!(out, [(1, trace.clone()), (2, trace), other(), other(), other()]);
}

#[test]
fn time_ends_what_waits() {
    let mut joiner = Joiner::default();
    let mut out = Vec::new();
    joiner.feed("plain", record("a", 0, Severity::Unknown), false, 0, |_, record| out.push(record.message));
    joiner.feed("trace", record("panic: x", 0, Severity::Unknown), false, 0, |_, record| {
        out.push(record.message);
    });
    joiner.expire(LINE_HOLD_NS - 1, |_, record| out.push(record.message));
    assert!(out.is_empty());
    joiner.expire(LINE_HOLD_NS, |_, record| out.push(record.message));
    assert_eq!(out, ["a"]);
    joiner.expire(TRACE_HOLD_NS, |_, record| out.push(record.message));
    assert_eq!(out, ["a", "panic: x"]);
    // By the times of the lines themselves, too.
    let mut out = Vec::new();
    joiner.feed("plain", record("a", 0, Severity::Unknown), false, 0, |_, record| out.push(record.message));
    joiner.feed("plain", record(" b", MAX_INDENTED_GAP_NS, Severity::Unknown), false, 0, |_, record| {
        out.push(record.message);
    });
    joiner.finish(|_, record| out.push(record.message));
    assert_eq!(out, ["a", " b"]);
}

#[test]
fn bounds_hold_and_no_line_is_lost() {
    let mut joiner = Joiner::default();
    let (mut lines, mut longest, mut records) = (0, 0, 0);
    let mut count = |_, record: Record| {
        lines += record.message.split('\n').filter(|line| !line.is_empty()).count();
        longest = longest.max(record.message.len());
        records += 1;
    };
    let mut fed = 0;
    for number in 0..20_000 {
        joiner.feed(
            0,
            record(if number == 0 { "panic: x" } else { "\tdeep" }, 0, Severity::Unknown),
            false,
            0,
            &mut count,
        );
        fed += 1;
    }
    let long = format!(" {}", "x".repeat(100_000));
    for _ in 0..20 {
        joiner.feed(0, record(&long, 0, Severity::Unknown), false, 0, &mut count);
        fed += 1;
    }
    for stream in 1..2 * MAX_OPEN_STREAMS {
        joiner.feed(stream, record("x", 0, Severity::Unknown), false, 0, &mut count);
        fed += 1;
    }
    let huge = "y".repeat(1 << 20);
    joiner.expire(LINE_HOLD_NS, &mut count);
    for stream in 1..100 {
        joiner.feed(stream, record(&huge, 0, Severity::Unknown), false, 0, &mut count);
        fed += 1;
    }
    let counts = joiner.counts();
    joiner.finish(&mut count);
    assert_eq!(lines, fed);
    assert!(longest <= huge.len() && records > 8000, "{longest} {records}");
    assert!(counts.full > 9 && counts.crowded as usize > MAX_OPEN_STREAMS, "{counts:?}");
}

#[test]
fn no_mixture_of_lines_panics_or_loses_one() {
    let pool = [
        "",
        " ",
        "\t",
        "x",
        "  x",
        "Traceback (most recent call last):",
        "ValueError: bad",
        "panic: x",
        "goroutine 1 [running]:",
        "a.b(c)",
        "thread 'main' panicked at a:1:2:",
        "note: x",
        "==1==ERROR: AddressSanitizer: x",
        "SUMMARY: x",
        "==1==ABORTING",
        "    at x",
        "    ^",
        "Caused by: x",
        "}",
        "Node.js v1",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "====================",
        "During handling of the above exception, another exception occurred:",
        "exit status 2",
        "\u{20ac}",
        "rax 0x1",
    ];
    let mut number = 1u64;
    for _ in 0..3000 {
        let mut joiner = Joiner::default();
        let (mut fed, mut got) = (Vec::new(), Vec::new());
        for step in 0..30 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let line = pool[(number >> 33) as usize % pool.len()];
            fed.push(line);
            let is_headed = number >> 60 == 0;
            joiner.feed((), record(line, step, Severity::Unknown), is_headed, step, |(), record| {
                got.push(record.message);
            });
        }
        joiner.finish(|(), record| got.push(record.message));
        let words = |text: &str| {
            text.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(words(&got.join("\n")), words(&fed.join("\n")));
    }
}
