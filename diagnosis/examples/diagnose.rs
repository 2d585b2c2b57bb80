//! Reads a recording and prints what the rules find in it:
//! `cargo run -p diagnosis --example diagnose -- tests/recordings/futex.s7rec`

use std::process::ExitCode;

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

/// One line a finding, most lost time first.
fn findings(path: &std::path::Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let recording = Recording::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    // A daemon judges the newest five seconds; of a recording all of it can be judged at once.
    let found = diagnosis::diagnose(&recording.windows, None).findings;
    let lines = found.iter().map(|finding| {
        let subject = finding.subject.comm.as_deref().unwrap_or(&finding.subject.kind);
        let culprit = finding.culprit.as_ref().and_then(|culprit| culprit.comm.as_deref());
        let lost_ms = finding.lost_ns_per_s as f64 / 1e6;
        format!("{subject}: {}, {lost_ms:.0} ms/s, because of {}", finding.class, culprit.unwrap_or("itself"))
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
