use super::*;

fn record(message: &str, at_ns: u64, severity: Severity) -> Record {
    Record {
        at: UnixNs(at_ns),
        severity,
        pid: 1,
        start_ns: 0,
        position: at_ns,
        message: message.to_owned(),
        fields: Vec::new(),
    }
}

/// Joins the lines of one stream that are 1 ms apart. A line with `@` before it has a time of its own.
fn join(lines: &[&str]) -> Vec<Record> {
    let mut joiner = Joiner::default();
    let mut out = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let (is_headed, text) = line.strip_prefix('@').map_or((false, *line), |text| (true, text));
        let at = number as u64 * 1_000_000;
        joiner.feed(0, record(text, at, Severity::Unknown), is_headed, at, |_, record| out.push(record));
    }
    joiner.finish(|_, record| out.push(record));
    out
}

/// Each block of text, blocks apart by a line `----`, has to come out as one record, however the blocks stand together.
fn assert_blocks(text: &str) {
    let text = text.trim_matches('\n');
    let expected: Vec<String> = text
        .split("\n----\n")
        .map(|block| block.replace("\n@", "\n").trim_start_matches('@').to_owned())
        .collect();
    let lines: Vec<&str> = text.split('\n').filter(|line| *line != "----").collect();
    let found: Vec<String> = join(&lines).into_iter().map(|record| record.message).collect();
    assert_eq!(found, expected);
}

#[test]
fn python_with_chained_causes_carets_and_repeats() {
    assert_blocks(
        r#"
before
----
Traceback (most recent call last):
  File "/app/a.py", line 3, in f
    return 1 / zero
           ~~^~~~~~
  [Previous line repeated 996 more times]
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/a.py", line 9, in <module>
    main()
app.errors.StartError: cannot start
  with a note

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/a.py", line 12, in <module>
KeyboardInterrupt
----
after
----
Traceback (most recent call last):
  File "x.py", line 1
    f(
     ^
SyntaxError: '(' was never closed
----
Exiting now
"#,
    );
}

#[test]
fn python_groups() {
    assert_blocks(
        r#"
  + Exception Group Traceback (most recent call last):
  |   File "/app/a.py", line 3, in <module>
  |     raise ExceptionGroup("two", [ValueError(1), TypeError(2)])
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +---------------- 2 ----------------
    | Traceback (most recent call last):
    |   File "/app/a.py", line 1, in f
    | TypeError: 2
    +------------------------------------
----
after
"#,
    );
}

#[test]
fn the_line_of_a_logger_and_the_trace_below_it() {
    assert_blocks(
        r#"
@2026-11-30 12:00:00 ERROR app failed
Traceback (most recent call last):
  File "/app/a.py", line 3, in f
ValueError: bad
----
@2026-11-30 12:00:00 ERROR c.e.App - failed
java.lang.IllegalStateException: bad
	at com.example.App.run(App.java:10)
Caused by: java.io.IOException: worse
	... 3 more
----
@2026-11-30 12:00:00 INFO next
----
@2026-11-30 12:00:01 INFO next
"#,
    );
}

#[test]
fn java_with_causes_and_suppressed() {
    assert_blocks(
        r#"
Exception in thread "main" com.example.OuterException: outer
	at com.example.App.main(App.java:5)
	Suppressed: java.lang.RuntimeException: closing
		at com.example.App.close(App.java:9)
		... 1 more
Caused by: java.lang.RuntimeException: inner
	at com.example.App.run(App.java:20)
	... 1 more
Caused by: java.io.IOException
	at com.example.App.read(App.java:30)
----
Listening on 8080
----
Unhandled exception. System.InvalidOperationException: bad
   at App.Main() in /app/a.cs:line 3
--- End of stack trace from previous location ---
   at App.Run()
----
done
"#,
    );
}

#[test]
fn go_panics_and_goroutine_dumps() {
    assert_blocks(
        r#"
starting
----
panic: runtime error: index out of range [5] with length 3 [recovered]
	panic: again
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x45f2a1]

goroutine 1 [running]:
main.(*T).f(...)
	/app/main.go:5
main.main()
	/app/main.go:9 +0x1d
exit status 2
----
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
main.main()
	/app/main.go:4 +0x25

goroutine 18 gp=0xc000 m=nil [select, 3 minutes, locked to thread]:
net/http.(*conn).serve(0xc0001, {0x1, 0x2})
	/go/http.go:1 +0x1
created by main.start in goroutine 1
	/app/main.go:7 +0x2
----
level of water
----
http: panic serving 127.0.0.1:5000: boom
goroutine 7 [running]:
net/http.(*conn).serve.func1()
	/go/http.go:2 +0x1
----
SIGQUIT: quit
PC=0x46 m=0 sigcode=0

goroutine 0 gp=0x1 m=0 mp=0x2 [idle]:
runtime.futex(0x1, 0x80)
	/go/sys.s:1 +0x1

rax    0xca
rip    0x46
exit status 2
----
next
"#,
    );
}

#[test]
fn rust_panics_old_and_new() {
    assert_blocks(
        r"
thread 'main' panicked at src/main.rs:2:5:
assertion `left == right` failed
  left: 1
 right: 2
stack backtrace:
   0: rust_begin_unwind
             at /rustc/abc/library/std/src/panicking.rs:1:2
   1: app::main
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
----
server stopped
----
thread 'worker' (4711) panicked at src/main.rs:3:1:
index out of bounds: the len is 3 but the index is 5
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
----
thread 'main' panicked at 'old', src/main.rs:2:5
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
----
thread 'main' panicked at 'again', src/main.rs:3:5
stack backtrace:
   0: x
thread panicked while panicking. aborting.
----
next
",
    );
}

#[test]
fn errors_of_node() {
    assert_blocks(
        r"
/app/a.js:3
    throw new TypeError('bad');
    ^

TypeError: bad
    at Object.<anonymous> (/app/a.js:3:11)
    at Module._compile (node:internal/modules/cjs/loader:1554:14) {
  code: 'E_BAD',
  [cause]: Error: inner
      at f (/app/a.js:1:1)
}

Node.js v22.1.0
----
Error: caught
    at f (/app/a.js:1:1)
----
listening
",
    );
}

#[test]
fn reports_of_sanitizers() {
    assert_blocks(
        r"
=================================================================
==4711==ERROR: AddressSanitizer: heap-use-after-free on address 0x602 at pc 0x55 bp 0x7f sp 0x7e
READ of size 4 at 0x602 thread T0
    #0 0x55 in main /app/a.c:5

0x602 is located 0 bytes inside of 4-byte region [0x602,0x606)
freed by thread T0 here:
    #0 0x7f in free

SUMMARY: AddressSanitizer: heap-use-after-free /app/a.c:5 in main
Shadow bytes around the buggy address:
  0x0c04: fa fa
=>0x0c05: fa fa[fd]fa
Shadow byte legend (one shadow byte represents 8 application bytes):
  Addressable:           00
==4711==ABORTING
----
next
----
==12==ERROR: LeakSanitizer: detected memory leaks

Direct leak of 4 byte(s) in 1 object(s) allocated from:
    #0 0x7f in malloc

SUMMARY: AddressSanitizer: 4 byte(s) leaked in 1 allocation(s).
----
next
",
    );
}

#[test]
fn other_lines_are_alone_unless_a_blank_says_otherwise() {
    assert_blocks(
        r"
one
----
two
----
terminate called after throwing an instance of 'std::runtime_error'
  what():  boom
----
-----BEGIN RSA PRIVATE KEY-----
MIIEowIBAAKCAQEA
abc=
-----END RSA PRIVATE KEY-----
----
goroutines: 5
----
thread pool: 5
----
====
----
Error: x
----
Error: y
",
    );
}

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
fn streams_do_not_mix() {
    let mut joiner = Joiner::default();
    let mut out = Vec::new();
    let lines = ["Traceback (most recent call last):", "  File \"x\", line 1", "ValueError: bad"];
    for line in lines {
        for pid in [1, 2] {
            joiner.feed(pid, record(line, 0, Severity::Unknown), false, 0, |pid, record| {
                out.push((pid, record.message))
            });
        }
        joiner.feed(3, record("other", 0, Severity::Unknown), false, 0, |pid, record| {
            out.push((pid, record.message))
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
        out.push(record.message)
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
        out.push(record.message)
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
                got.push(record.message)
            });
        }
        joiner.finish(|(), record| got.push(record.message));
        let words = |text: &str| {
            text.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(words(&got.join("\n")), words(&fed.join("\n")));
    }
}
