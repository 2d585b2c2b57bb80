use super::*;
use crate::aggregate::testing::{MS, calls, shared, task, window};
use crate::diagnose::findings;
use crate::window::Window;
use std::sync::Arc;

/// Five windows, each filled by `fill`.
fn windows(fill: impl Fn(&mut Window)) -> Vec<Arc<Window>> {
    let make = |index| {
        let mut window = window(index);
        window.host.cpus = vec![Default::default(), Default::default()];
        window.syscalls = vec![calls(1, "init", 0, 1, 0, 100)];
        fill(&mut window);
        window
    };
    shared((0..5).map(make).collect())
}

fn process(window: &mut Window, tgid: u32, comm: &str, user_ms: u64, system_ms: u64, runq_ms: u64) {
    let mut one = task(tgid, comm, user_ms, system_ms);
    one.runq = Some(DurNs(runq_ms * MS));
    window.tasks.push(one.into());
}

#[test]
fn a_process_that_makes_others_wait_is_named_with_its_victims() {
    let windows = windows(|window| {
        process(window, 10, "burn", 950, 40, 10);
        process(window, 20, "db", 200, 100, 400);
        process(window, 30, "sshd", 1, 0, 1);
        window.syscalls.push(calls(10, "burn", 1, 500, 0, 100));
    });
    let found = findings(&windows);
    assert_eq!(found.len(), 1);
    let finding = &found[0];
    assert_eq!((&*finding.rule, &*finding.class), ("cpu_hog", "cpu-user"));
    assert_eq!(finding.subject.pid, Some(10));
    assert_eq!(finding.culprit.as_ref().unwrap().comm.as_deref(), Some("burn"));
    let blame = 990.0 / 991.0;
    assert!((finding.lost_ns_per_s as f64 - 0.4 * blame * 1e9).abs() < 10.0);
    assert!((finding.share_pct - 99.0).abs() < 1e-9);
    let numbers: Vec<_> = finding
        .evidence
        .iter()
        .map(|number| (&*number.what, number.value.round(), number.threshold))
        .collect();
    assert!(numbers.contains(&("CPU", 99.0, Some(90.0))), "{numbers:?}");
    assert!(numbers.contains(&("others wait for a CPU", 400.0, Some(200.0))), "{numbers:?}");
    assert!(numbers.contains(&("db (20) waits, of its non-idle time", 57.0, Some(30.0))), "{numbers:?}");
    assert!(finding.advice.contains("--pid 10"));
}

#[test]
fn the_split_tells_kernel_from_user() {
    let windows = windows(|window| {
        process(window, 10, "burn", 300, 690, 10);
        process(window, 20, "db", 200, 100, 400);
    });
    assert_eq!(findings(&windows)[0].class, "cpu-kernel");
}

#[test]
fn workers_of_one_name_and_parent_are_one_hog() {
    let windows = windows(|window| {
        for tgid in 10..18 {
            process(window, tgid, "stress", 240, 5, 700);
        }
        process(window, 20, "db", 50, 0, 300);
    });
    let found = findings(&windows);
    assert_eq!(found.len(), 1, "the workers are not each other's victims");
    assert_eq!(found[0].subject.pid, Some(10));
    assert!(
        found[0]
            .evidence
            .iter()
            .any(|number| number.what == "processes of this name" && (number.value - 8.0).abs() < 1e-9)
    );
}

#[test]
fn a_busy_host_where_nobody_waits_is_silent() {
    let windows = windows(|window| {
        let mut build = task(10, "rustc", 990, 10);
        build.min_flt = 3_000;
        window.tasks.push(build.into());
        process(window, 11, "rustc", 900, 50, 20);
        process(window, 20, "db", 300, 100, 30);
        window.syscalls.push(calls(11, "rustc", 0, 700, 0, 100));
    });
    assert_eq!(findings(&windows), []);
}

#[test]
fn a_build_whose_jobs_wait_for_each_other_is_silent() {
    let windows = windows(|window| {
        for tgid in 10..14 {
            let mut job = task(tgid, "cc1plus", 480, 20);
            (job.runq, job.min_flt) = (Some(DurNs(500 * MS)), 5_000);
            window.tasks.push(job.into());
        }
        process(window, 5, "make", 2, 1, 3);
    });
    assert_eq!(findings(&windows), []);
}

#[test]
fn a_loop_that_touches_nothing_is_found_with_low_confidence() {
    let windows = windows(|window| process(window, 10, "loop", 1000, 0, 0));
    let found = findings(&windows);
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].class, found[0].subject.pid), ("cpu-user", Some(10)));
    assert_eq!(found[0].lost_ns_per_s, 1_000_000_000);
    assert!(found[0].confidence <= 0.5);
    assert!(found[0].alternatives.iter().any(|alternative| alternative.class == "healthy"));
}

#[test]
fn what_does_not_last_is_not_reported() {
    let mut windows: Vec<_> = windows(|_| ()).iter().map(|window| Window::clone(window)).collect();
    for window in windows.iter_mut().skip(2) {
        process(window, 10, "burst", 1600, 0, 0);
        process(window, 20, "db", 200, 100, 400);
    }
    assert_eq!(findings(&shared(windows)), [], "three windows of five");
}

#[test]
fn one_second_is_not_enough() {
    let windows = windows(|window| process(window, 10, "loop", 1000, 0, 0));
    let verdicts = crate::diagnose::verdicts(&windows[..1]);
    assert!(verdicts.iter().all(|(_, verdict)| matches!(verdict, Verdict::NotEnoughData { .. })));
}

#[test]
fn between_the_thresholds_it_holds_but_does_not_enter() {
    let windows = windows(|window| {
        process(window, 10, "burn", 800, 0, 10);
        process(window, 20, "db", 100, 0, 150);
    });
    let suspicions = crate::diagnose::suspicions(&windows);
    assert_eq!(suspicions.len(), 1);
    assert_eq!(suspicions[0].level, Level::Hold);
    assert_eq!(findings(&windows), []);
}

#[test]
fn victims_that_also_run_share_the_blame() {
    let windows = windows(|window| {
        process(window, 10, "burn", 1000, 0, 10);
        process(window, 20, "db", 500, 0, 500);
        process(window, 30, "web", 500, 0, 500);
        window.syscalls.push(calls(10, "burn", 1, 500, 0, 100));
    });
    let found = findings(&windows);
    let burn = found.iter().find(|finding| finding.subject.pid == Some(10)).unwrap();
    // 1,000 of the 1,500 ms that others than each victim ran, of 500 ms lost by each.
    assert!((burn.lost_ns_per_s as f64 - 2.0 * 0.5e9 * 2.0 / 3.0).abs() < 10.0, "{}", burn.lost_ns_per_s);
}
