//! On-CPU samples: as many as the clock promises, shared out as the time was, drawn as an SVG.

use std::fs;

use serde_json::Value;
use tests::agent::{self, Observing};
use tests::workload::Workload;

/// Counts per leaf of folded stacks, and their sum.
fn leaves(folded: &str) -> (std::collections::BTreeMap<String, u64>, u64) {
    let mut leaves = std::collections::BTreeMap::new();
    let mut total = 0;
    for (mut stack, count) in tests::folded(folded) {
        *leaves.entry(stack.pop().unwrap_or_default()).or_default() += count;
        total += count;
    }
    (leaves, total)
}

#[test]
fn shares_of_three_functions_come_out_within_two_points() {
    if !tests::can_observe() {
        return;
    }
    // At 997 Hz, ten seconds have a standard error of 0.5 points at most.
    let (folded, truth) = agent::folded_of(&["--rate", "997"], Workload::start("cpu_split", &[10]));
    let truth: Vec<f64> = truth.split(' ').map(|text| text.parse().expect("a share")).collect();
    let (leaves, total) = leaves(&folded);
    assert!(total > 5000, "{total} samples in 10 s at 997 Hz: {folded}");
    for (name, truth) in ["spin_seventy", "spin_twenty", "spin_ten"].into_iter().zip(truth) {
        let share = 100.0 * *leaves.get(name).unwrap_or(&0) as f64 / total as f64;
        assert!((share - truth).abs() <= 2.0, "{name}: {share:.2} % sampled, {truth:.2} % true\n{folded}");
    }
    // Frame pointers were kept: the spinning functions stand on main.
    assert!(folded.lines().any(|l| l.contains("main") && l.contains(";spin_seventy ")), "{folded}");
}

#[test]
fn captured_and_lost_make_up_what_the_clock_promises() {
    if !tests::can_observe() {
        return;
    }
    // Both kinds of tick must be there: busy and idle.
    let mut workload = Workload::start("cpu_split", &[25]);
    workload.begin();
    let output = agent::run(&["report", "--duration", "20s", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let coverage = &report["coverage"];
    let number = |name: &str| coverage[name].as_u64().unwrap_or_else(|| panic!("no {name} in {coverage}"));
    let cpus = std::thread::available_parallelism().expect("the CPUs are known").get() as f64;
    let window = report["window_s"].as_f64().expect("window_s");
    let expected = number("expected") as f64;
    // 97 a second on each CPU.
    assert!(
        (expected / (97.0 * cpus * window) - 1.0).abs() < 0.01,
        "{coverage} in {window} s on {cpus} CPUs"
    );
    let lost: u64 = coverage["lost"].as_object().map_or(0, |map| {
        map.iter().filter(|(k, _)| k.contains("sample")).filter_map(|(_, v)| v.as_u64()).sum()
    });
    let seen = (number("captured") + lost) as f64;
    assert!(
        (seen / expected - 1.0).abs() <= 0.01,
        "captured + lost = {seen}, expected {expected}: {coverage}"
    );
    assert!(window >= 19.0, "{window}");
}

#[test]
fn a_flame_graph_of_a_process_is_an_svg_that_names_its_functions() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out.svg");
    let mut workload = Workload::start("cpu_split", &[4]);
    let pid = workload.pid().to_string();
    let observing =
        Observing::start(&["flamegraph", "--pid", &pid, "--duration", "10m", "-o", &out.to_string_lossy()]);
    workload.work();
    let _ = observing.stop();
    let svg = fs::read_to_string(&out).expect("the SVG");
    assert!(svg.contains("<svg") && svg.trim_end().ends_with("</svg>"), "{} bytes", svg.len());
    assert!(svg.contains("spin_seventy"), "the hot function is named");
    workload.finish();
}

#[test]
fn a_flame_graph_of_a_command_covers_it_from_its_start() {
    if !tests::can_observe() {
        return;
    }
    let program = tests::programs().join("cpu_split");
    // Its input is closed, so it begins at once and ends by itself.
    let (folded, _) = agent::folded_of_command(&["--rate", "997"], &[&program.to_string_lossy(), "2"]);
    let (leaves, total) = leaves(&folded);
    let seventy = leaves.get("spin_seventy").copied().unwrap_or(0);
    // Two seconds of CPU time at 997 Hz.
    assert!((1700..2500).contains(&total), "{total} samples: {leaves:?}");
    assert!(seventy > 1000, "{leaves:?}");
}

#[test]
fn almost_every_kernel_frame_has_a_name() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("all.folded");
    let mut workload = Workload::start("short_processes", &[1_000_000]);
    workload.begin();
    let output = agent::run(&[
        "flamegraph",
        "--all",
        "--duration",
        "3s",
        "--rate",
        "997",
        "--format",
        "folded",
        "-o",
        &out.to_string_lossy(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folded = fs::read_to_string(&out).expect("the folded stacks");
    let mine = folded.lines().filter(|line| line.starts_with("short_process"));
    let frames: Vec<&str> =
        mine.flat_map(|line| line.rsplit_once(' ').map_or(line, |(stack, _)| stack).split(';')).collect();
    assert!(frames.iter().any(|frame| frame.contains("do_syscall_64") || frame.contains("fork")), "{folded}");
    let nameless = frames.iter().filter(|frame| frame.starts_with("0x") || frame.contains("unknown")).count();
    // User frames of libc without frame pointers are among these: 99 % is asked of kernel frames.
    assert!((nameless as f64) < 0.05 * frames.len() as f64, "{nameless} of {} frames nameless", frames.len());
}

#[test]
fn children_that_are_gone_before_they_are_looked_at_have_their_parents_names() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("forked.folded").to_string_lossy().into_owned();
    let observing = Observing::start(&[
        "flamegraph",
        "--all",
        "--duration",
        "10m",
        "--rate",
        "997",
        "--format",
        "folded",
        "-o",
        &out,
    ]);
    // It begins after the probes, and is asleep in `waitpid` whenever the clock ticks.
    let mut workload = Workload::start("forked_spin", &[60, 40]);
    workload.work();
    let _ = observing.stop();
    let folded = fs::read_to_string(&out).expect("the folded stacks");
    let ours: Vec<&str> = folded.lines().filter(|line| line.starts_with("forked_spin;")).collect();
    let user: Vec<&str> = ours.iter().copied().filter(|line| !line.contains("_[k]")).collect();
    let (_, total) = leaves(&user.join("\n"));
    let named: Vec<&str> = user.into_iter().filter(|line| line.contains(";spin_in_child")).collect();
    let (_, named) = leaves(&named.join("\n"));
    assert!(total > 1000, "{total} samples of 2.4 s at 997 Hz:\n{}", ours.join("\n"));
    assert!(named * 100 >= total * 95, "{named} of {total} named:\n{}", ours.join("\n"));
    workload.finish();
}
