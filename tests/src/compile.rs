//! Programs and libraries that tests compile.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes `source` and has `compiler` make a program of it.
///
/// # Panics
/// When the compiler is not there, or does not like it.
#[must_use]
pub fn build(dir: &Path, name: &str, ending: &str, source: &str, compiler: &[&str]) -> PathBuf {
    let (code, program) = (dir.join(format!("{name}.{ending}")), dir.join(name));
    std::fs::write(&code, source).expect("the directory is ours");
    let output = Command::new(compiler[0])
        .args(&compiler[1..])
        .arg("-o")
        .arg(&program)
        .arg(&code)
        .env("GOCACHE", dir.join("cache"))
        .output()
        .unwrap_or_else(|e| panic!("these tests need {}: {e}", compiler[0]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// How C and C++ are compiled: without frame pointers.
pub const BARE: [&str; 4] = ["-O2", "-fomit-frame-pointer", "-fno-inline", "-fno-optimize-sibling-calls"];
