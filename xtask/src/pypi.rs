//! Packages of `PyPI`, fetched with pip and held against their digests; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::{apt, shell};

/// OpenTelemetry's messages as its own Python package has them, and what reads them: an independent reader of what we send.
/// Both are Python alone, so they run on any machine.
const OTLP: &str = "opentelemetry-proto==1.45.2 \
    --hash=sha256:03a7ca1b43f89fd5b965d5975902bb2515c0c86e2428b456836e9a6149c6235a\n\
    protobuf==7.36.2 --hash=sha256:bdb3a345d48db958e6ce1f18e508beb0cc981d64f24088427549c866cd039f1e\n";

/// The directory with the packages, below `into`; fetched once.
pub(crate) fn otlp(into: &Path) -> Result<PathBuf> {
    let packages = into.join("packages");
    let stamp = into.join("complete");
    if fs::read_to_string(&stamp).is_ok_and(|done| done == OTLP) {
        return Ok(packages);
    }
    // Of an older version.
    if into.exists() {
        fs::remove_dir_all(into)?;
    }
    fs::create_dir_all(into)?;
    eprintln!("fetching OpenTelemetry's messages from PyPI");
    fetch(OTLP, into, &["--platform", "any", "--python-version", "3.10"])?;
    for wheel in files(&into.join("wheel"))? {
        shell::run_quiet(python(into, &["-m", "zipfile", "-e"]).arg(&wheel).arg(&packages))?;
    }
    fs::write(&stamp, OTLP)?;
    Ok(packages)
}

/// Fetches what `requirements` names into `wheel` below `dir`.
pub(crate) fn fetch(requirements: &str, dir: &Path, further: &[&str]) -> Result<()> {
    if shell::run_quiet(python(dir, &["-m", "pip", "--version"]).stderr(Stdio::null())).is_err() {
        apt::install(&["python3-pip"])?;
    }
    fs::write(dir.join("requirements"), requirements)?;
    let download = ["-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "--require-hashes"];
    let mut command = python(dir, &download);
    shell::run(command.args(further).args(["-r", "requirements", "-d", "wheel"]))
}

/// `python3` with these words, in `dir`.
pub(crate) fn python(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(words).current_dir(dir).stdin(Stdio::null());
    command
}

/// What is in a directory.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    Ok(list.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?)
}
