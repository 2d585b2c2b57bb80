//! A recording of a live workload, diagnosed after the workload is gone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use serde_json::Value;
use tests::agent::{self, Observing};
use tests::workload::Workload;

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn a_recording_is_diagnosed_when_its_processes_are_gone() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("x.s7rec");
    let path = file.to_string_lossy().into_owned();
    let mut workload = Workload::start("cpu_split", &[4]);
    let id = workload.pid();
    let pid = id.to_string();
    let observing = Observing::start(&["record", "-o", &path]);
    workload.work();
    let _ = observing.stop();
    workload.finish();
    let mode = fs::metadata(&file).expect("the recording").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "it names all processes");

    // The socket is nowhere: neither daemon nor BPF is asked.
    let replay = |args: &[&str]| {
        let mut all = vec!["--socket", "/nonexistent/agent.sock"];
        all.extend(args);
        all.extend(["--replay", &path]);
        agent::run(&all)
    };
    let report: Value = serde_json::from_str(&text(&replay(&["report", "--json", "-n", "0"]))).expect("JSON");
    let rows = report["processes"].as_array().expect("processes");
    let row = rows.iter().find(|row| row["pid"] == id).expect("the workload's row");
    let state = |name: &str| row["states"][name].as_u64().unwrap_or(0);
    assert!(state("oncpu_user_ns") > 1_000_000_000, "{row}");
    for row in rows {
        let states: u64 = row["states"].as_object().expect("states").values().filter_map(Value::as_u64).sum();
        assert_eq!(Some(states), row["wall_ns"].as_u64(), "{row}");
    }

    let folded = text(&replay(&["flamegraph", "--pid", &pid, "--format", "folded"]));
    assert!(folded.contains("spin_seventy"), "functions have names: {folded}");

    let page = text(&replay(&["report", "--html", "-"]));
    assert!(
        page.contains("cpu_split") && page.contains("spin_seventy") && page.trim_end().ends_with("</html>")
    );

    // Cut off: what is whole is diagnosed, and the loss is said.
    let bytes = fs::read(&file).expect("the recording");
    fs::write(&file, &bytes[..bytes.len() * 3 / 4]).expect("a shorter one");
    let cut = replay(&["report"]);
    assert!(String::from_utf8_lossy(&cut.stderr).contains("cut off at byte"), "{cut:?}");
    assert!(text(&cut).contains("covers:"));
}

#[test]
fn what_is_no_recording_is_said_in_one_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("x.s7rec");
    let path = file.to_string_lossy().into_owned();
    for (bytes, word) in [
        (&b"#!/bin/sh\n"[..], "not a recording"),
        (b"s7rec\r\n\x1a\xff\0\0\0", "format version 255"),
        (b"s7rec\r\n\x1a\x01\0\0\0H", "cut off at byte 12"),
    ] {
        fs::write(&file, bytes).expect("a file");
        let said = agent::failure(&["report", "--replay", &path]);
        assert!(said.contains(word) && said.contains(&path) && said.trim().lines().count() == 1, "{said}");
    }
}
