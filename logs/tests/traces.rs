//! Traces as the programs of this host write them: each is one record, and what stands around it is apart.

use std::process::Command;

use agent_common::units::UnixNs;
use logs::parse::multiline::Joiner;
use logs::parse::{Clock, Splitter, line, text};
use logs::{Record, Severity};

/// What a program writes to standard error, as records.
fn records(command: &mut Command) -> Vec<Record> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    let clock = Clock { now: UnixNs(now.as_nanos() as u64), utc_offset_s: 0 };
    let mut splitter = Splitter::new(0);
    let mut joiner = Joiner::default();
    let mut records = Vec::new();
    splitter.feed(&output.stderr, 0, |raw| {
        let text = text(raw.bytes);
        let parsed = line(&text, &clock);
        let is_headed = parsed.is_headed;
        let record = parsed.into_record(clock.now, raw.offset);
        joiner.feed((), record, is_headed, 0, |(), record| records.push(record));
    });
    joiner.finish(|(), record| records.push(record));
    records
}

/// A record's severity, its first and its last line, and what it has to hold.
fn assert_records(found: &[Record], expected: &[(Severity, &str, &str, &str)]) {
    let all =
        found.iter().map(|record| format!("[{}] {}", record.severity, record.message)).collect::<Vec<_>>();
    let all = all.join("\n----\n");
    assert_eq!(found.len(), expected.len(), "{all}");
    for (record, (severity, first, last, within)) in found.iter().zip(expected) {
        let mut lines = record.message.split('\n');
        let begin = lines.next().unwrap_or_default();
        let end = lines.next_back().unwrap_or(begin);
        assert_eq!(record.severity, *severity, "{all}");
        assert!(
            begin.contains(first) && end.contains(last) && record.message.contains(within),
            "{first}: {all}"
        );
    }
}

const PYTHON: &str = r#"
import logging, sys, threading, traceback
logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
say = lambda text: print(text, file=sys.stderr, flush=True)
say("start")
try:
    try: 1 / 0
    except ZeroDivisionError as error: raise ValueError("chained") from error
except ValueError: logging.exception("oops")
def recurse(n): return recurse(n + 1)
try: recurse(0)
except RecursionError: traceback.print_exc()
say("between")
thread = threading.Thread(target=lambda: {}["k"]); thread.start(); thread.join()
say("before a group")
if sys.version_info >= (3, 11):
    try: raise ExceptionGroup("two", [ValueError(1), TypeError(2)])
    except ExceptionGroup: traceback.print_exc()
else: say("  + Exception Group Traceback (most recent call last):\n  | ValueError: 1\n    +----")
say("after")
eval("f(")
"#;

#[test]
fn traces_of_python_are_one_record_each() {
    use Severity::{Error, Unknown};
    assert_records(
        &records(Command::new("python3").args(["-c", PYTHON])),
        &[
            (Unknown, "start", "start", ""),
            (
                Error,
                "ERROR root oops",
                "ValueError: chained",
                "ZeroDivisionError: division by zero\n\nThe above exception",
            ),
            (Error, "Traceback", "RecursionError: ", ""),
            (Unknown, "between", "between", ""),
            (Error, "Exception in thread Thread-1", "KeyError: 'k'", ""),
            (Unknown, "before a group", "before a group", ""),
            (Error, "Exception Group Traceback", "+----", "ValueError: 1"),
            (Unknown, "after", "after", ""),
            (Error, "Traceback", "SyntaxError: ", "^"),
        ],
    );
}

const GO: &str = r#"package main
import ("fmt"; "os"; "time")
func main() {
	fmt.Fprintln(os.Stderr, "start")
	go func() { select {} }()
	time.Sleep(10 * time.Millisecond)
	defer func() { fmt.Fprintln(os.Stderr, "recovered", recover()); var m map[string]int; m["a"] = 1 }()
	a, i := []int{1}, 5
	fmt.Println(a[i])
}
"#;

#[test]
fn a_panic_of_go_is_one_record_with_all_its_goroutines() {
    use Severity::{Critical, Unknown};
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("main.go");
    std::fs::write(&source, GO).expect("a program");
    let mut command = Command::new("go");
    command.arg("run").arg(&source).env("GOTRACEBACK", "all").env("GO111MODULE", "off");
    command.env("GOCACHE", directory.path().join("cache")).env("HOME", directory.path());
    assert_records(
        &records(&mut command),
        &[
            (Unknown, "start", "start", ""),
            (Unknown, "recovered ", "index out of range", ""),
            (Critical, "panic: ", "exit status 2", "[select (no cases)]:"),
        ],
    );
}

const C: &str = r#"
#include <stdio.h>
#include <stdlib.h>
int main(void) { char *p = malloc(4); fprintf(stderr, "start\n"); free(p); return p[1]; }
"#;

#[test]
fn a_report_of_the_address_sanitizer_is_one_record() {
    use Severity::{Error, Unknown};
    let directory = tempfile::tempdir().expect("a directory");
    let (source, program) = (directory.path().join("a.c"), directory.path().join("a"));
    std::fs::write(&source, C).expect("a program");
    let mut compiler = Command::new("cc");
    compiler.args(["-g", "-w", "-fsanitize=address"]).arg(&source).arg("-o").arg(&program);
    assert!(compiler.status().expect("cc").success());
    assert_records(
        &records(&mut Command::new(&program)),
        &[(Unknown, "start", "start", ""), (Error, "=======", "==ABORTING", "heap-use-after-free")],
    );
}

/// The program that panics, as a test of its own: it runs as one only when the test below says so.
#[test]
fn panics_if_told_to() {
    if std::env::var_os("S7MPA_PANIC").is_some() {
        eprintln!("start");
        let left = std::thread::spawn(|| [1, 2].iter().sum::<i32>()).join().expect("a sum");
        assert_eq!(left, 4, "of two\nlines");
    }
}

#[test]
fn a_panic_of_rust_is_one_record() {
    use Severity::{Error, Unknown};
    let this = std::env::current_exe().expect("this program");
    for (backtrace, last) in [("0", "note: "), ("1", "note: ")] {
        let mut command = Command::new(&this);
        command
            .args(["--exact", "panics_if_told_to", "--nocapture"])
            .env("S7MPA_PANIC", "1")
            .env("RUST_BACKTRACE", backtrace);
        assert_records(
            &records(&mut command),
            &[
                (Unknown, "start", "start", ""),
                (Error, "thread 'panics_if_told_to'", last, "lines\n  left: 3\n right: 4"),
            ],
        );
    }
}
