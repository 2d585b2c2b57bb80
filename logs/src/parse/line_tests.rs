use super::*;

const CLOCK: Clock = Clock { now: UnixNs(NOON), utc_offset_s: 0 };
/// 2026-11-30T12:00:00Z.
const NOON: u64 = 1_796_040_000_000_000_000;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn heads_of_syslog_are_taken_apart() {
    for (text, severity, host, tag, pid, message) in [
        (
            "Nov 30 12:00:00 web1 sshd[42]: Accepted key",
            Severity::Unknown,
            Some("web1"),
            Some("sshd"),
            Some(42),
            "Accepted key",
        ),
        ("<11>Nov 30 12:00:00 web1 app: boom", Severity::Error, Some("web1"), Some("app"), None, "boom"),
        (
            "<30>Nov 30 12:00:00 systemd[1]: Started",
            Severity::Info,
            None,
            Some("systemd"),
            Some(1),
            "Started",
        ),
        (
            "2026-11-30T12:00:00.000000+00:00 web1 kernel: [   12.3] usb 1-1: new",
            Severity::Unknown,
            Some("web1"),
            Some("kernel"),
            None,
            "[   12.3] usb 1-1: new",
        ),
        (
            "2026-11-30T13:00:00+01:00 web1 postfix/smtpd[7]: error: full",
            Severity::Error,
            Some("web1"),
            Some("postfix/smtpd"),
            Some(7),
            "error: full",
        ),
        (
            "Nov 30 12:00:00 web1 message repeated",
            Severity::Unknown,
            None,
            None,
            None,
            "web1 message repeated",
        ),
        (
            "<165>1 2026-11-30T12:00:00Z web1 app 42 ID47 - \u{feff}text here",
            Severity::Notice,
            Some("web1"),
            Some("app"),
            Some(42),
            "text here",
        ),
        ("<165>1 - - - - - -", Severity::Notice, None, None, None, ""),
    ] {
        let parsed = line(text, &CLOCK);
        assert_eq!(
            (parsed.severity, parsed.host, parsed.tag, parsed.pid, &*parsed.message),
            (severity, host, tag, pid, message),
            "{text}"
        );
        assert!(!parsed.is_headed);
        if !text.contains("- - -") {
            assert_eq!(parsed.at, Some(UnixNs(NOON)), "{text}");
        }
    }
}

#[test]
fn structured_data_of_syslog_are_fields() {
    let text = r#"<14>1 2026-11-30T12:00:00Z h app - ID1 [a@1 k="v" q="x\"y\]z\n"][b] said"#;
    let parsed = line(text, &CLOCK);
    assert_eq!(parsed.message, "said");
    assert_eq!(parsed.fields, pairs(&[("msgid", "ID1"), ("a@1.k", "v"), ("a@1.q", "x\"y]z\\n")]));
    // One that is damaged is a plain line with a priority.
    for text in [
        "<14>1 2026-11-30T12:00:00Z h app - - [a k=\"v",
        "<14>1 2026-11-30T12:00:00Z h app",
        "<14>1 x h app - - - y",
    ] {
        let parsed = line(text, &CLOCK);
        assert_eq!((parsed.severity, &*parsed.message), (Severity::Info, &text[4..]), "{text}");
    }
}

#[test]
fn lines_of_other_programs_are_no_syslog() {
    for text in [
        "2026-11-30T12:00:00Z INFO hyper: listening",
        "2026-11-30T12:00:00Z  INFO app::server: up",
        "2026-11-30T12:00:00.000Z [main] WARN: slow",
        "2026-11-30T12:00:00Z two words: more",
    ] {
        let parsed = line(text, &CLOCK);
        assert_eq!((parsed.tag, &*parsed.message, parsed.at), (None, text, Some(UnixNs(NOON))), "{text}");
    }
}

#[test]
fn plain_lines_have_the_time_and_level_they_say() {
    for (text, dated, severity) in [
        ("2026-11-30 12:00:00,000 - root - ERROR - failed", true, Severity::Error),
        (
            "2026-11-30 12:00:00.000 UTC [12] FATAL:  the database system is starting up",
            true,
            Severity::Critical,
        ),
        ("2026/11/30 12:00:00 [crit] 1#1: *2 SSL_do_handshake() failed", true, Severity::Critical),
        ("1:M 30 Nov 2026 12:00:00.000 # Out of memory", true, Severity::Warning),
        ("E1130 12:00:00.000000 1 f.go:1] failed", true, Severity::Error),
        ("[2026-11-30T12:00:00Z WARN  app] slow", true, Severity::Warning),
        ("192.0.2.1 - - [30/Nov/2026:12:00:00 +0000] \"GET /error HTTP/1.1\" 500 0", true, Severity::Unknown),
        ("finished with 0 errors", false, Severity::Unknown),
        ("Traceback (most recent call last):", false, Severity::Error),
        ("<3>told by the prefix: fine", false, Severity::Error),
        ("<3>INFO told by the prefix first", false, Severity::Error),
    ] {
        let parsed = line(text, &CLOCK);
        assert_eq!((parsed.at, parsed.severity), (dated.then_some(UnixNs(NOON)), severity), "{text}");
        assert_eq!(parsed.is_headed, dated, "{text}");
    }
    let read = line("no time", &CLOCK).into_record(UnixNs(5), 77);
    assert_eq!((read.at, read.position, read.message.as_str()), (UnixNs(5), 77, "no time"));
}

#[test]
fn json_and_logfmt_give_message_level_time_and_fields() {
    let parsed =
        line(r#"{"time":"2026-11-30T12:00:00Z","level":"warn","pid":42,"msg":"slow","o":{"k":[1]}}"#, &CLOCK);
    assert_eq!(
        (parsed.at, parsed.severity, parsed.pid, &*parsed.message),
        (Some(UnixNs(NOON)), Severity::Warning, Some(42), "slow")
    );
    assert_eq!(parsed.fields, pairs(&[("level", "warn"), ("pid", "42"), ("o.k", "[1]")]));

    let parsed = line("time=2026-11-30T12:00:00Z level=error msg=\"not found\" path=/x", &CLOCK);
    assert_eq!(
        (parsed.at, parsed.severity, &*parsed.message),
        (Some(UnixNs(NOON)), Severity::Error, "not found")
    );
    assert_eq!(parsed.fields, pairs(&[("level", "error"), ("path", "/x")]));

    // What is beside the pairs is not lost.
    let text = "started level=info host=a port=80 msg=up";
    let parsed = line(text, &CLOCK);
    assert_eq!((&*parsed.message, parsed.fields.len(), parsed.severity), (text, 4, Severity::Info));

    // Bunyan's numbers; a time in ms.
    let parsed = line(r#"{"level":50,"time":1796040000000,"msg":"x"}"#, &CLOCK);
    assert_eq!((parsed.at, parsed.severity), (Some(UnixNs(NOON)), Severity::Error));

    // In a head of syslog.
    let parsed = line("Nov 30 12:00:00 h app[1]: @cee: {\"msg\":\"m\",\"level\":\"error\"}", &CLOCK);
    assert_eq!((parsed.tag, &*parsed.message, parsed.severity), (Some("app"), "m", Severity::Error));

    // A level in the text of a structured line that has no level is no level.
    assert_eq!(line(r#"{"msg":"ERROR: x"}"#, &CLOCK).severity, Severity::Unknown);
}

#[test]
fn of_a_structured_line_that_has_more_than_fits_the_whole_line_is_kept() {
    let text = format!("{{\"msg\":\"short\",\"long\":\"{}\"}}", "x".repeat(10_000));
    let parsed = line(&text, &CLOCK);
    assert_eq!(parsed.message, text);
    assert!(parsed.fields.contains(&("fields_short".to_owned(), "1".to_owned())));
}

#[test]
fn no_line_panics() {
    let lines = [
        "<165>1 2026-11-30T12:00:00Z web1 app 42 ID47 [a k=\"v\\\"\"] \u{feff}text",
        "<11>Nov 30 12:00:00 web1 app[12]: b\u{20ac}om a=1 b=\"2 c=3\"",
        "2026-11-30T12:00:00Z web1 a[1]: {\"a\":{\"b\":\"\\u20ac\"},\"level\":\"warn\"}",
        "time=2026-11-30T12:00:00Z level=error msg=\"not \\\"found\" path=/x",
    ];
    for text in lines {
        for at in 0..text.len() {
            for part in ["", "\"", "\\", "\u{20ac}", "[", "]", "=", "\0", " ", "<", "{", "}"] {
                let begin = text.floor_char_boundary(at);
                let end = text.ceil_char_boundary(at + 1);
                let _ = line(&format!("{}{part}{}", &text[..begin], &text[end..]), &CLOCK);
                let _ = line(&text[begin..], &CLOCK);
                let _ = line(&text[..begin], &CLOCK);
            }
        }
    }
}
