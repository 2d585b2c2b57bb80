//! `RULES.md`, made of the rules' own doc comments and of reports from real runs.

use std::fmt::Write as _;
use std::path::Path;

use agent_common::wire::finding::Class;

use crate::RULES;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rules");

/// The doc comment of a file, without its marks.
fn reference(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().take_while(|line| line.starts_with("//!"));
    lines.map(|line| line.strip_prefix("//! ").unwrap_or_else(|| &line[3..])).collect::<Vec<_>>().join("\n")
}

/// Constants of a file: the numbers behind their names in its reference.
fn constants(file: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(file).unwrap();
    let of = |line: &str| {
        let rest = line.trim_start_matches("pub(super) ").strip_prefix("const ")?;
        let (name, rest) = rest.split_once(": ")?;
        let (_, value) = rest.strip_suffix(';')?.split_once(" = ")?;
        Some((name.to_owned(), value.replace('_', "").trim_end_matches(".0").to_owned()))
    };
    text.lines().filter_map(of).collect()
}

fn page() -> String {
    let mut page = String::from(
        "# Rules\n\n\
         What a finding can say, from the rules' own doc comments. A rule judges the newest five seconds, once a second;\n\
         `agent report` judges all of its span. Time lost to a wait is measured per thread and added up over the processes of\n\
         one name and parent; threads that wait for work are no part of it. A threshold has two values: to enter, and a lower\n\
         one to stay. What one finding explains stands in its `caused`, and its alert is held back. Findings with a confidence\n\
         below 50 % are in reports only.\n\n\
         Not known here, and said so in place of a guess: memory bandwidth and cache misses (there are no hardware counters\n\
         in the agent's data), what a remote peer does, memory limits of cgroups (only that they were reached).\n",
    );
    for rule in RULES {
        let file = Path::new(DIRECTORY).join(format!("{}.rs", rule.name));
        let mut text = reference(&file).replacen("# ", "## ", 1);
        for (name, value) in constants(&file) {
            text = text.replace(&format!("[`{name}`]"), &value);
        }
        let _ = write!(page, "\n{text}\n");
        for class in rule.classes {
            let example = Path::new(DIRECTORY).join("examples").join(format!("{class}.txt"));
            if let Ok(example) = std::fs::read_to_string(example) {
                let _ = write!(page, "\nFrom a real run:\n\n```text\n{}\n```\n", example.trim_end());
            }
        }
    }
    page
}

#[test]
fn the_page_of_rules_is_not_stale() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/RULES.md");
    let page = page();
    if std::env::var_os("S7MPA_UPDATE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    assert!(
        !page.contains("[`"),
        "a constant without a number: {:?}",
        page.split("[`").nth(1).map(|rest| &rest[..20])
    );
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == page, "stale: run S7MPA_UPDATE=1 cargo test -p diagnosis page");
}

#[test]
fn the_thresholds_of_lost_time_in_doc_comments_are_those_in_force() {
    let lost: std::collections::HashMap<_, _> =
        constants(&Path::new(DIRECTORY).join("lost.rs")).into_iter().collect();
    let percent = |name: &str| format!("{} %", (lost[name].parse::<f64>().unwrap() * 100.0).round());
    let seconds = |name: &str| lost[name].parse::<f64>().unwrap();
    let enter = format!(
        "at least {} of their non-idle thread time, and {} s a second",
        percent("SHARE_ENTER"),
        seconds("LOST_ENTER")
    );
    let stay = format!("(to stay: {}, {} s/s)", percent("SHARE_LEAVE"), seconds("LOST_LEAVE"));
    let mut found = 0;
    for rule in RULES {
        let text = reference(&Path::new(DIRECTORY).join(format!("{}.rs", rule.name)));
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.contains("lose at least") {
            assert!(text.contains(&enter), "{}: {enter}", rule.name);
            assert!(!text.contains("(to stay: ") || text.contains(&stay), "{}: {stay}", rule.name);
            found += 1;
        }
    }
    assert!(found > 12, "{found} rules say what they judge by");
}

#[test]
fn the_rules_classes_are_known_by_name() {
    for class in RULES.iter().flat_map(|rule| rule.classes) {
        assert!(Class::KNOWN.contains(class), "{class} is not in wire::finding::Class");
    }
}
