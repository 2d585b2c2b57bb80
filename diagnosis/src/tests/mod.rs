//! The rules on built windows: each fires on its cause and stays silent on the neighbouring one.

mod causes;
mod contradictions;
mod cost;
mod cpu;
mod open;
mod page;
mod peers;
mod refusals;
mod resources;
mod scene;
mod truth;
mod waits;

use agent_common::units::DurNs;

use crate::testing::{MS, calls, shared, task, window};
use crate::{RULES, Trend, Verdict, diagnose, recent, verdicts};

#[test]
fn the_newest_windows_that_make_up_the_span_are_judged() {
    let windows = shared((0..20).map(window).collect());
    let recent = recent(&windows);
    assert_eq!(recent.len(), 5);
    assert_eq!(recent[0].start, windows[15].start);
    assert_eq!(crate::recent(&windows[..3]).len(), 3);
    assert_eq!(crate::recent(&[]).len(), 0);
}

#[test]
fn an_empty_history_has_no_findings() {
    assert_eq!(diagnose(&[], None).findings, []);
    let verdicts = verdicts(&[], &Trend::default());
    assert!(verdicts.iter().all(|(_, verdict)| matches!(verdict, Verdict::NotEnoughData { .. })));
}

#[test]
fn what_cannot_be_judged_is_one_line_a_reason() {
    let lines = diagnose(&shared((0..5).map(window).collect()), None).unknown;
    let states = lines
        .iter()
        .filter(|line| line.starts_with("thread states are not observed, so these rules do not judge: "))
        .count();
    assert_eq!(states, 1, "{lines:#?}");
    assert!(lines.last().unwrap().starts_with("memory bandwidth"));
    assert_eq!(diagnose(&[], None).unknown.len(), 2, "too short for any rule");
}

#[test]
fn an_idle_host_is_silent() {
    let make = |index| {
        let mut window = window(index);
        window.tasks = (1..100).map(|tgid| task(tgid, "d", 0, 0).into()).collect();
        window.syscalls = (1..100).map(|tgid| calls(tgid, "d", 0, 3, 1, 1_000)).collect();
        window
    };
    let windows = shared((0..5).map(make).collect());
    assert_eq!(diagnose(&windows, None).findings, []);
    let verdicts = verdicts(&windows, &Trend::of(&windows));
    assert!(verdicts.iter().all(|(_, verdict)| !matches!(verdict, Verdict::Suspect(_))));
}

#[test]
fn the_cause_is_reported_and_not_its_effect() {
    let make = |index| {
        let mut window = window(index);
        let mut victim = task(20, "db", 100, 0);
        victim.runq = Some(DurNs(500 * MS));
        window.tasks = vec![task(7, "p", 100, 880).into(), victim.into()];
        window.syscalls = vec![calls(7, "p", 110, 900_000, 0, 300)];
        window
    };
    let found = diagnose(&shared((0..5).map(make).collect()), None).findings;
    let of = |class: &str| found.iter().find(|finding| finding.class == class);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(of("syscall-storm").unwrap().caused, ["cpu-kernel"]);
    let neighbour = of("runq-neighbour").unwrap();
    assert_eq!(neighbour.subject.pid, Some(20));
    assert_eq!(neighbour.culprit.as_ref().unwrap().pid, Some(7));
    assert_eq!(neighbour.lost_ns_per_s, 500_000_000);
}

#[test]
fn rules_are_named_after_their_files_and_classes_are_theirs_alone() {
    let mut classes: Vec<_> = RULES.iter().flat_map(|rule| rule.classes).collect();
    let count = classes.len();
    classes.sort();
    classes.dedup();
    assert_eq!(classes.len(), count);
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rules");
    for rule in RULES {
        let text = std::fs::read_to_string(format!("{directory}/{}.rs", rule.name)).unwrap();
        assert!(
            text.starts_with(&format!("//! # `{}`", rule.name)),
            "{}: the reference comes first",
            rule.name
        );
    }
}
