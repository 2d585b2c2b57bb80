//! Recordings of cases of known cause, judged without root and without BPF.
//!
//! Made by `cargo xtask bench diagnosis --bare --record DIR --own CASE…`: only the case's processes are in them.

use std::path::Path;
use std::sync::Arc;

use agent::diagnose::{self, ALERT_CONFIDENCE, Level, Trend};
use agent::recording;
use agent::window::Window;
use agent_common::wire::finding::Finding;
use tests::diagnosis::cases;

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings");

/// What a daemon says after each window that could open an alert, and at the end.
fn judge(windows: &[Arc<Window>]) -> Vec<Vec<Finding>> {
    let mut trend = Trend::default();
    let mut seconds = Vec::new();
    for (at, window) in windows.iter().enumerate() {
        trend.push(window);
        let suspicions = diagnose::suspicions(diagnose::recent(&windows[..=at]), &trend);
        let firm = suspicions.into_iter().filter(|suspicion| suspicion.level == Level::Enter);
        let findings = firm.map(|suspicion| suspicion.finding);
        seconds.push(findings.filter(|finding| finding.confidence >= ALERT_CONFIDENCE).collect());
    }
    seconds
}

#[test]
fn a_recorded_case_is_told_as_it_was_live() {
    let mut seen = 0;
    for entry in std::fs::read_dir(RECORDINGS).expect("recordings") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let case = cases::named(&name).unwrap_or_else(|| panic!("no case {name}"));
        let windows = recording::read(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(windows.len() >= 10, "{name}: {} windows", windows.len());
        let seconds = judge(&windows);
        let last = seconds.last().expect("windows");
        let first = last.first().unwrap_or_else(|| panic!("{name}: nothing is said"));
        assert!(case.class.contains(&&*first.class), "{name}: {first:#?}");
        let astray = seconds.iter().flatten().find(|finding| case.forbidden.contains(&&*finding.class));
        assert!(astray.is_none(), "{name}: {astray:#?}");
        assert!(first.culprit.is_some(), "{name}: {first:#?}");
        seen += 1;
    }
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
