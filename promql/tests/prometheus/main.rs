//! Prometheus's own tests of the language: the `.test` files of its source package, which `cargo xtask test` fetches. What
//! differs is in `excluded.rs`, with its reason.

#[path = "../common/mod.rs"]
mod common;
mod excluded;
mod run;
mod script;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use run::{Outcome, Session};

/// The directory with the files.
const VARIABLE: &str = "S7MPA_PROMETHEUS_TESTS";

#[derive(Default)]
struct Counts {
    passed: usize,
    closed: usize,
    excluded: usize,
    native: usize,
}

impl Counts {
    fn print(&self, name: &str) {
        let Self { passed, closed, excluded, native } = self;
        println!("{name:22} {passed:>6} {closed:>13} {excluded:>8} {native:>16}");
    }
}

#[test]
fn evaluations_of_prometheus_give_its_results() {
    let Some(dir) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        let why = format!("{VARIABLE} is not set: `cargo xtask test` fetches Prometheus's tests and sets it");
        assert!(std::env::var_os("REQUIRE_BPF").is_none(), "{why}");
        eprintln!("not run: {why}");
        return;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no .test file", dir.display());
    // Prometheus 2 has no tests of `limitk`.
    let closed = !dir.join("limit.test").exists();
    let mut failures = Vec::new();
    let mut all = BTreeMap::new();
    for file in &files {
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        all.insert(name.to_owned(), one(file, name, closed, &mut failures));
    }
    println!(
        "{:22} {:>6} {:>13} {:>8} {:>16}",
        "file", "passed", "closed ranges", "excluded", "native histogram"
    );
    let mut total = Counts::default();
    for (name, counts) in &all {
        counts.print(name);
        total.passed += counts.passed;
        total.closed += counts.closed;
        total.excluded += counts.excluded;
        total.native += counts.native;
    }
    total.print("all");
    assert!(failures.is_empty(), "{} evaluations differ:\n{}", failures.len(), failures.join("\n"));
    assert!(total.passed > 450, "{} evaluations passed: the runner does not read the files", total.passed);
}

fn one(file: &Path, name: &str, closed: bool, failures: &mut Vec<String>) -> Counts {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut counts = Counts::default();
    let mut session = Session::new(closed);
    for command in script::commands(&text) {
        match session.run(&command) {
            None => {}
            Some(Outcome::Passed) => counts.passed += 1,
            Some(Outcome::PassedClosed) => counts.closed += 1,
            Some(Outcome::Native) => counts.native += 1,
            Some(Outcome::Failed(why)) => {
                let query = command.query();
                if let Some(reason) = excluded::reason(name, query) {
                    println!("{name}.test:{}: excluded: {reason}", command.line);
                    counts.excluded += 1;
                } else {
                    failures.push(format!("{name}.test:{}: {query}\n    {why}", command.line));
                }
            }
        }
    }
    counts
}
