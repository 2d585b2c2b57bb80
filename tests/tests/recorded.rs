//! Recordings of cases of known cause, judged without root and without BPF.
//!
//! Made by `cargo xtask bench diagnosis --bare --record DIR --own CASE…`: only the case's processes are in them. Each is judged
//! once alone, and once with distractors: a build, and a program that computes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use agent::recording;
use agent_common::wire::finding::{Alert, AlertState, Finding};
use diagnosis::alert::{self, AlertOptions, Alerts};
use diagnosis::window::Window;
use diagnosis::{ALERT_CONFIDENCE, Level, Trend};
use tests::diagnosis::beside::beside;
use tests::diagnosis::{Case, cases};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings");
/// What a daemon says after each window that could open an alert, and at the end.
fn judge(windows: &[Arc<Window>]) -> Vec<Vec<Finding>> {
    let mut trend = Trend::default();
    let mut seconds = Vec::new();
    for (at, window) in windows.iter().enumerate() {
        trend.push(window);
        let suspicions = diagnosis::suspicions(diagnosis::recent(&windows[..=at]), &trend);
        let firm = suspicions.into_iter().filter(|suspicion| suspicion.level == Level::Enter);
        let findings = firm.map(|suspicion| suspicion.finding);
        seconds.push(findings.filter(|finding| finding.confidence >= ALERT_CONFIDENCE).collect());
    }
    seconds
}

/// What is wrong with the verdict on a recorded case.
fn fault(case: &Case, windows: &[Arc<Window>]) -> Option<String> {
    let seconds = judge(windows);
    if case.is_decoy() {
        return seconds.iter().flatten().next().map(|said| format!("{} is said: {said:#?}", said.class));
    }
    let Some(first) = seconds.last().and_then(|last| last.first()) else {
        return Some("nothing is said".to_owned());
    };
    if !case.class.contains(&&*first.class) {
        return Some(format!("{} in place of {:?}: {first:#?}", first.class, case.class));
    }
    let astray = seconds.iter().flatten().find(|finding| case.forbidden.contains(&&*finding.class));
    if let Some(astray) = astray {
        return Some(format!("{} is said too: {astray:#?}", astray.class));
    }
    first.culprit.is_none().then(|| format!("no culprit: {first:#?}"))
}

#[test]
fn a_recorded_case_is_judged_as_it_was_live() {
    let (mut seen, mut faults) = (0, Vec::new());
    for entry in std::fs::read_dir(RECORDINGS).expect("recordings") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let case = cases::named(&name).unwrap_or_else(|| panic!("no case {name}"));
        let windows = recording::read(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(windows.len() >= 10, "{name}: {} windows", windows.len());
        faults.extend(fault(case, &windows).map(|fault| format!("{name}: {fault}")));
        let beside = fault(case, &beside(&windows));
        faults.extend(beside.map(|fault| format!("{name}, with distractors: {fault}")));
        seen += 1;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(seen >= 5, "{seen} recordings in {RECORDINGS}");
}

#[test]
fn recordings_name_nothing_of_the_host_they_were_made_on() {
    for entry in std::fs::read_dir(Path::new(RECORDINGS)).expect("recordings") {
        let path = entry.expect("a file").path();
        for window in recording::read(&path).expect("a whole recording") {
            for task in &window.tasks {
                let of_case = task.kernel
                    || task.cgroup.is_empty()
                    || task.cgroup.contains("case")
                    || &*task.cgroup == "/";
                assert!(of_case, "{}: {task:?}", path.display());
            }
        }
    }
}

/// Wherever the time that is asked for begins, its alerts are those that a daemon sent then.
#[test]
fn the_alerts_of_a_past_time_are_those_of_the_time_itself() {
    let mut opened = 0;
    for name in ["file-lock", "futex", "neighbour", "fd-leak"] {
        let windows =
            recording::read(&Path::new(RECORDINGS).join(format!("{name}.s7rec"))).expect("a recording");
        let mut trend = Trend::default();
        let mut alerts = Alerts::new("h", AlertOptions::default());
        let live: Vec<Vec<Alert>> = windows
            .iter()
            .enumerate()
            .map(|(at, window)| {
                trend.push(window);
                let suspicions = diagnosis::suspicions(diagnosis::recent(&windows[..=at]), &trend);
                alerts.update(window.end_unix, &suspicions)
            })
            .collect();
        opened += live.iter().flatten().filter(|alert| alert.state == AlertState::Open).count();
        for from in 0..windows.len() {
            let (before, time) = windows.split_at(from);
            let past = alert::replay("h", before, time);
            // First those that are open at its beginning, as updates of that moment.
            let began = before.last().map_or(0, |window| window.end_unix.0);
            let (open, messages): (Vec<Alert>, Vec<Alert>) =
                past.into_iter().partition(|alert| alert.at_unix_ns <= began);
            assert_eq!(messages, live[from..].concat(), "{name} from {from}");
            let ids = |alerts: &[Alert], state| {
                alerts
                    .iter()
                    .filter(|alert| alert.state == state)
                    .map(|alert| alert.id.clone())
                    .collect::<BTreeSet<_>>()
            };
            let earlier = live[..from].concat();
            let still: BTreeSet<String> =
                &ids(&earlier, AlertState::Open) - &ids(&earlier, AlertState::Resolved);
            assert_eq!(ids(&open, AlertState::Update), still, "{name} from {from}");
        }
    }
    assert!(opened >= 4, "only {opened} alerts");
}
