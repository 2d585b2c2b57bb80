use super::*;

pub(super) fn record(message: &str, at_ns: u64, severity: Severity) -> Record {
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
pub(super) fn join(lines: &[&str]) -> Vec<Record> {
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
----
Exception in thread Thread-1 (work):
Traceback (most recent call last):
  File "x.py", line 1
KeyError: 'k'
----
before a group
----
  + Exception Group Traceback (most recent call last):
  | ExceptionGroup: x (1 sub-exception)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------
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
java.sql.SQLException: syntax
  near: x
ORA-00933
	at com.example.App.query(App.java:30)
Caused by: java.io.IOException
	... 1 more
----
java.lang.IllegalStateException: without frames
----
Listening on 8081
----
app.BadError: x
----
one
  more
----
two
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
        r"
starting
----
panic: runtime error: index out of range [5] with length 3 [recovered]
	panic: again
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x45f2a1]

goroutine 1 [running]:
panic({0x492660, 0xc000018090})
	/go/src/runtime/panic.go:884 +0x212
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
",
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
thread 'main' panicked at src/main.rs:7:5:
assertion `left == right` failed: two
lines
  left: 1
 right: 2
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
----
thread 'main' panicked at src/main.rs:7:5:
assertion `left == right` failed: two
lines
  left: 1
 right: 2
----
thread 'main' panicked at src/main.rs:7:5:
one
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
Error: of two
lines
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
