//! Syscall counts are exact, whatever threads, processes, signals and 32-bit entries do.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::agent::{Observing, sum};
use tests::workload::Workload;

const MILLION: u64 = 1_000_000;

#[test]
fn a_million_calls_of_one_thread_are_counted_to_the_last() {
    if !tests::can_observe() {
        return;
    }
    let mut workload = Workload::start("getppid_loop", &[MILLION]);
    let pid = workload.pid();
    let observing = Observing::start(&["syscalls", "--pid", &pid.to_string(), "--duration", "10m", "--json"]);
    workload.work();
    let report = observing.stop_json();
    assert_eq!(sum(&report, pid, "getppid", "count"), MILLION, "{report}");
    assert_eq!(sum(&report, pid, "getppid", "errors"), 0, "{report}");
    workload.finish();
}

#[test]
fn calls_of_ten_thousand_threads_in_turn_are_exact_after_twelve_thousand_processes() {
    if !tests::can_observe() {
        return;
    }
    let observing = Observing::start(&["syscalls", "--duration", "10m", "--json"]);
    let mut processes = Workload::start("short_processes", &[12_000]);
    processes.work();
    processes.finish();
    let mut workload = Workload::start("getppid_loop", &[MILLION, 10_000]);
    let pid = workload.pid();
    workload.work();
    let report = observing.stop_json();
    // From 7.0 on the kernel skips a program that it is in the middle of on that CPU, and says how often.
    let (count, lost) = (sum(&report, pid, "getppid", "count"), &report["coverage"]["lost"]);
    let skipped = lost["program_skipped"].as_u64().unwrap_or(0);
    assert!(count <= MILLION && count + skipped >= MILLION, "{count} and {skipped}: {}", report["coverage"]);
    workload.finish();
}

#[test]
fn calls_of_a_process_that_has_gone_are_in_the_report() {
    if !tests::can_observe() {
        return;
    }
    let observing = Observing::start(&["syscalls", "--duration", "10m", "--json"]);
    let mut workload = Workload::start("getppid_loop", &[1234]);
    let pid = workload.pid();
    workload.work();
    workload.finish();
    let report = observing.stop_json();
    assert_eq!(sum(&report, pid, "getppid", "count"), 1234, "coverage {}", report["coverage"]);
}

#[test]
fn a_thread_asleep_in_one_call_appears_with_its_age() {
    if !tests::can_observe() {
        return;
    }
    let mut workload = Workload::start("sleeper", &[]);
    workload.work();
    let pid = workload.pid();
    let observing = Observing::start(&["syscalls", "--pid", &pid.to_string(), "--duration", "3s", "--json"]);
    let output = observing.output();
    let report: serde_json::Value = serde_json::from_slice(&output).expect("JSON");
    let age = sum(&report, pid, "pause", "in_flight_age_ns");
    assert_eq!(sum(&report, pid, "pause", "in_flight"), 1, "{report}");
    // It slept before the agent came and through its whole window.
    assert!(age >= 2_900_000_000, "{age} in {report}");
    assert_eq!(sum(&report, pid, "pause", "count"), 0, "it has not returned: {report}");
    workload.finish();
}

#[test]
fn where_calls_are_only_counted_blocked_time_comes_from_the_waits() {
    if !tests::can_observe() {
        return;
    }
    // It waits for a line that never ends: each byte ends a call.
    let mut reader = Command::new(tests::programs().join("sleeper"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it is built with the tests");
    let (pid, mut bytes) = (reader.id(), reader.stdin.take().expect("it is piped"));
    // On a slow machine it is ready, and has no CPU, for much of the time.
    let ran_and_queued = || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("it lives");
        text.split_whitespace().take(2).map(|ns| ns.parse::<f64>().expect("a number")).sum::<f64>()
    };
    let set = ["--set", "collector.syscalls=counts"];
    let args = ["syscalls", "--pid", &pid.to_string(), "--duration", "10m", "--json"];
    let observing = Observing::start(&[&set[..], &args[..]].concat());
    let (begin, before) = (Instant::now(), ran_and_queued());
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(25));
        bytes.write_all(&[1]).expect("the workload reads");
    }
    let read_for = begin.elapsed().as_nanos() as f64 - (ran_and_queued() - before);
    let report = observing.stop_json();
    drop(bytes);
    reader.wait().expect("it is a child");
    let blocked = sum(&report, pid, "read", "blocked_ns") as f64;
    assert!((blocked / read_for - 1.0).abs() < 0.1, "{blocked} of {read_for} ns: {report}");
    let untimed = |row: &serde_json::Value| row["syscall"] == "read" && row["total_ns"].is_null();
    assert!(report["rows"].as_array().expect("rows").iter().any(untimed), "{report}");
}

#[test]
fn calls_through_the_32_bit_entry_are_named_from_the_32_bit_table() {
    if !tests::can_observe() {
        return;
    }
    let mut workload = Workload::start("compat_calls", &[5000]);
    let pid = workload.pid();
    let observing = Observing::start(&["syscalls", "--pid", &pid.to_string(), "--duration", "10m", "--json"]);
    workload.work();
    let report = observing.stop_json();
    assert_eq!(sum(&report, pid, "i386:getpid", "count"), 5000, "{report}");
    assert_eq!(sum(&report, pid, "writev", "count"), 0, "{report}");
    workload.finish();
}

#[test]
fn every_error_is_counted_as_one() {
    if !tests::can_observe() {
        return;
    }
    let mut workload = Workload::start("error_storm", &[20_000]);
    let pid = workload.pid();
    let observing = Observing::start(&["syscalls", "--pid", &pid.to_string(), "--duration", "10m", "--json"]);
    workload.work();
    let report = observing.stop_json();
    assert_eq!(sum(&report, pid, "close", "count"), 20_000, "{report}");
    assert_eq!(sum(&report, pid, "close", "errors"), 20_000, "{report}");
    let rows = report["rows"].as_array().unwrap();
    let close = rows.iter().find(|row| row["pid"] == pid && row["syscall"] == "close").unwrap();
    assert_eq!(close["errnos"], serde_json::json!([{ "errno": "EBADF", "count": 20_000 }]));
    workload.finish();
}

#[test]
fn signals_do_not_confuse_the_pairing() {
    if !tests::can_observe() {
        return;
    }
    let mut workload = Workload::start("interrupted", &[3000]);
    let pid = workload.pid();
    let observing = Observing::start(&["syscalls", "--pid", &pid.to_string(), "--duration", "10m", "--json"]);
    workload.work();
    let report = observing.stop_json();
    for (call, errors) in [("kill", 0), ("rt_sigsuspend", 3000), ("rt_sigreturn", 3000)] {
        assert_eq!(sum(&report, pid, call, "count"), 3000, "{call} in {report}");
        // What rt_sigreturn leaves in the return register is the interrupted call's: EINTR.
        assert_eq!(sum(&report, pid, call, "errors"), errors, "{call} in {report}");
    }
    workload.finish();
}

#[test]
fn strace_counts_the_same() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let summary = dir.path().join("strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-U", "name,calls", "-e", "trace=getppid,openat", "-o"]).arg(&summary);
    strace.arg(tests::programs().join("getppid_loop")).args(["20000", "7"]);
    let observing = Observing::start(&["syscalls", "--duration", "10m", "--json"]);
    let mut workload = Workload::spawn(&mut strace);
    let pid = only_child(workload.pid());
    workload.work();
    workload.finish();
    let report = observing.stop_json();
    let text = std::fs::read_to_string(&summary).expect("strace -c wrote its summary");
    let strace_says = |call: &str| -> u64 {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(call));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or_else(|| panic!("no {call} in {text}"))
    };
    // Threads share the work out, rounding down: 7 × 2857.
    assert_eq!(strace_says("getppid"), 19_999, "{text}");
    // openat: a call that strace itself does not make in the child before exec, as it does close.
    for call in ["getppid", "openat"] {
        assert_eq!(sum(&report, pid, call, "count"), strace_says(call), "{call}: {text}");
    }
}

/// strace's child: the workload.
fn only_child(pid: u32) -> u32 {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it has children");
    list.split_whitespace().next().and_then(|text| text.parse().ok()).expect("one child")
}
