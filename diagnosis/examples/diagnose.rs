//! Reads a recording and prints what the rules find in it:
//! `cargo run -p diagnosis --example diagnose -- tests/recordings/futex.s7rec`

use std::process::ExitCode;

use agent_common::wire::finding::AlertState;
use diagnosis::Trend;
use diagnosis::alert::{AlertOptions, Alerts};
use diagnosis::recording::Recording;

fn main() -> ExitCode {
    match std::env::args_os().nth(1).map(|path| findings(path.as_ref())) {
        Some(Ok(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Some(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("usage: diagnose RECORDING (`agent record` makes them)");
            ExitCode::FAILURE
        }
    }
}

/// One line for each finding that opens an alert, as a daemon judges: once a second, the newest five seconds.
fn findings(path: &std::path::Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let recording = Recording::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut trend = Trend::default();
    let mut alerts = Alerts::new(recording.head.host, AlertOptions::default());
    let mut lines = Vec::new();
    for (at, window) in recording.windows.iter().enumerate() {
        trend.push(window);
        let suspicions = diagnosis::suspicions(diagnosis::recent(&recording.windows[..=at]), &trend);
        let messages = alerts.update(window.end_unix, &suspicions);
        for alert in messages.into_iter().filter(|alert| alert.state == AlertState::Open) {
            let finding = alert.finding;
            let subject = finding.subject.comm.unwrap_or(finding.subject.kind);
            let culprit = finding.culprit.and_then(|culprit| culprit.comm).unwrap_or_else(|| subject.clone());
            let lost_ms = finding.lost_ns_per_s as f64 / 1e6;
            lines.push(format!(
                "second {at}: {subject} loses {lost_ms:.0} ms/s to {}, because of {culprit}",
                finding.class
            ));
        }
    }
    Ok(lines.join("\n"))
}
