//! Rule files and their unit tests, judged by Debian's promtool and here: the same verdicts.

mod cases;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cases::{CHECKS, TESTS};
use promql::rules::unit_test::File;
use promql::{Group, Macros};

/// The directory with the program.
const VARIABLE: &str = "S7MPA_PROMETHEUS";

fn promtool() -> Option<PathBuf> {
    let dir = std::env::var_os(VARIABLE);
    if dir.is_none() {
        let why = format!("{VARIABLE} is not set: `cargo xtask test` fetches promtool and sets it");
        assert!(std::env::var_os("REQUIRE_BPF").is_none(), "{why}");
        eprintln!("not run: {why}");
    }
    Some(PathBuf::from(dir?).join("promtool"))
}

/// Whether promtool finds nothing wrong, and what it says.
fn judged(promtool: &Path, dir: &Path, words: &[&str]) -> (bool, String) {
    let output =
        Command::new(promtool).args(words).current_dir(dir).stdin(Stdio::null()).output().expect("promtool");
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (output.status.success(), said)
}

#[test]
fn promtool_and_this_crate_agree_on_tests_of_rules() {
    let Some(promtool) = promtool() else { return };
    let (mut passed, mut failed) = (0, 0);
    for (name, rules, tests, holds) in TESTS {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("rules.yml"), rules).expect("rules");
        std::fs::write(dir.path().join("tests.yml"), tests).expect("tests");
        let (theirs, said) = judged(&promtool, dir.path(), &["test", "rules", "tests.yml"]);
        let ours = File::parse(tests).map_err(|error| error.to_string()).and_then(|file| {
            let groups = Group::parse(rules, &Macros::default()).map_err(|error| error.to_string())?;
            let failures = file.run(&groups, &Macros::default());
            let texts: Vec<String> = failures.into_iter().map(|failure| failure.text).collect();
            if texts.is_empty() { Ok(()) } else { Err(texts.join("\n")) }
        });
        assert_eq!(theirs, ours.is_ok(), "{name}: here: {ours:?}\npromtool: {said}");
        // Else both could be wrong in the same way.
        assert_eq!(theirs, *holds, "{name}: {said}");
        (passed, failed) = if theirs { (passed + 1, failed) } else { (passed, failed + 1) };
    }
    println!("promtool and we agree on {} files of tests: {passed} hold, {failed} do not", passed + failed);
}

#[test]
fn promtool_and_this_crate_agree_on_rule_files() {
    let Some(promtool) = promtool() else { return };
    for (name, rules, is_right) in CHECKS {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("rules.yml"), rules).expect("rules");
        let (theirs, said) = judged(&promtool, dir.path(), &["check", "rules", "--lint=none", "rules.yml"]);
        let ours = Group::parse(rules, &Macros::default());
        assert_eq!(theirs, ours.is_ok(), "{name}: here: {ours:?}\npromtool: {said}");
        assert_eq!(theirs, *is_right, "{name}: {said}");
    }
}
