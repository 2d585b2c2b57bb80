//! Reads messages with OpenTelemetry's own Python package.

use std::path::PathBuf;
use std::process::Command;

/// Python with the packages of `S7MPA_OTLP`; `None`: the test cannot run.
fn python() -> Option<Command> {
    let Some(packages) = std::env::var_os("S7MPA_OTLP").map(PathBuf::from) else {
        let why = "S7MPA_OTLP is not set: `cargo xtask test` fetches OpenTelemetry's messages and sets it";
        assert!(std::env::var_os("REQUIRE_BPF").is_none(), "{why}");
        eprintln!("not run: {why}");
        return None;
    };
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python");
    Some(command)
}

/// What a script prints of a body, as JSON; `None`: the test cannot run.
pub(crate) fn read(script: &str, body: &[u8]) -> Option<serde_json::Value> {
    let dir = tempfile::tempdir().expect("tempdir");
    let file = dir.path().join("body");
    std::fs::write(&file, body).expect("the body");
    let output = python()?.args(["-c", script]).arg(&file).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}
