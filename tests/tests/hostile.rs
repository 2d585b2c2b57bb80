//! A process of another user whose every name is an attack: comm, path, symbol, cgroup, argument. Whatever the agent writes
//! about it shows these names, obeys none of them, and stays in its format.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use agent_common::text::is_hostile;
use tests::agent;
use tests::compile::build;
use tests::workload::Workload;

/// Clears the screen, turns the direction of writing, begins a line of its own. 15 bytes are all that the kernel takes.
const COMM: &str = "a\u{1b}[2J\u{202e}\nFORGED";
/// Sets the terminal's title, splits a folded stack, begins another one with a count.
const SYMBOL: &str = "s\u{1b}]0;t\u{7}\u{200b}\u{202e};b 7\nFORGED 99";
/// The same as a file.
const FILE: &str = "f\u{1b}[31m\u{2066};\nFORGED 9";
/// A cgroup may be called anything but a line break.
const CGROUP: &str = "g\u{1b}[31m\u{202e}\u{e0041}";

/// Name of the function in the source; its letters are exchanged in the program.
const PLAIN: &str = "named_by_a_stranger_who_means_no_good_at_all";

const SOURCE: &str = r#"
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
static volatile unsigned long sink;
__attribute__((noinline)) void named_by_a_stranger_who_means_no_good_at_all(void) {
    struct pollfd input = { .fd = 0, .events = POLLIN };
    while (poll(&input, 1, 0) == 0)
        for (int i = 0; i < 2000000; i++) sink += i;
}
int main(int argc, char **argv) {
    char line[16];
    prctl(PR_SET_NAME, argv[1]);
    puts("ready");
    fflush(stdout);
    fgets(line, sizeof line, stdin);
    named_by_a_stranger_who_means_no_good_at_all();
    return 0;
}
"#;

/// The program, its function renamed, under a name of its own.
fn hostile_program(dir: &Path) -> PathBuf {
    let plain = build(dir, "plain", "c", SOURCE, &["cc", "-O1"]);
    let mut bytes = fs::read(plain).expect("it was built");
    let new = format!("{SYMBOL:x<width$}", width = SYMBOL.chars().count() + PLAIN.len() - SYMBOL.len());
    assert_eq!(new.len(), PLAIN.len());
    let places: Vec<usize> =
        (0..bytes.len() - PLAIN.len()).filter(|at| bytes[*at..].starts_with(PLAIN.as_bytes())).collect();
    assert!(!places.is_empty(), "the symbol is in the program");
    for at in places {
        bytes[at..at + PLAIN.len()].copy_from_slice(new.as_bytes());
    }
    let program = dir.join(FILE);
    fs::write(&program, bytes).expect("the directory is ours");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, mode).expect("a mode");
    program
}

/// A cgroup (v1 or v2) of that name; gone with the value.
struct Cgroup(PathBuf);

impl Cgroup {
    fn holding(pid: u32) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let parent = if root.join("cpu").is_dir() { root.join("cpu") } else { root.to_owned() };
        let group = Self(parent.join(format!("{CGROUP}-{pid}")));
        fs::create_dir(&group.0).expect("a cgroup");
        fs::write(group.0.join("cgroup.procs"), pid.to_string()).expect("a process");
        group
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// What may not be in anything that people read.
fn assert_harmless(what: &str, text: &str) {
    if let Some(found) = text.chars().find(|c| is_hostile(*c) && !matches!(c, '\n' | '\t')) {
        let at = text.find(found).unwrap_or_default();
        let near = text[..at].char_indices().rev().nth(60).map_or(0, |(from, _)| from);
        panic!("{what}: {found:?} after {:?}", &text[near..at]);
    }
    assert!(
        !text.lines().any(|line| line.trim_start().starts_with("FORGED")),
        "{what}: a forged line: {text}"
    );
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn names_that_attack_are_shown_and_not_obeyed() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(dir.path(), open).expect("a mode");
    let program = hostile_program(dir.path());
    let mut workload =
        Workload::spawn(Command::new(&program).arg0("z\u{1b}[5m\u{202e}").arg(COMM).uid(65534).gid(65534));
    let pid = workload.pid().to_string();
    let group = Cgroup::holding(workload.pid());
    workload.begin();

    let recording = dir.path().join("r\u{1b}[1m\u{202e}.s7rec");
    let recording = recording.to_str().expect("text");
    let made = agent::run(&["record", "-o", recording, "--duration", "3s", "--pid", &pid]);
    let (out, said) = texts(&made);
    assert!(made.status.success(), "{said}");
    assert_harmless("record", &out);
    assert_harmless("record, stderr", &said);

    let replay = ["--replay", recording];
    let commands: [(&[&str], bool); 12] = [
        (&["report"], true),
        (&["report", "--pid", &pid], true),
        (&["report", "--json"], false),
        (&["report", "--html", "-"], true),
        (&["flamegraph", "--all", "-o", "-"], true),
        (&["flamegraph", "--all", "--format", "folded", "-o", "-"], true),
        (&["flamegraph", "--all", "--by", "container", "--format", "folded", "-o", "-"], true),
        (&["flamegraph", "--all", "--format", "html", "-o", "-"], true),
        (&["flamegraph", "--all", "--format", "firefox", "-o", "-"], true),
        (&["flamegraph", "--all", "--format", "speedscope", "-o", "-"], true),
        (&["flamegraph", "--pid", &pid, "-v", "-o", "-"], true),
        (&["flamegraph", "--all", "--mode", "wall", "-o", "-"], true),
    ];
    for (command, visible) in commands {
        let output = agent::run(&[command, &replay].concat());
        let (out, said) = texts(&output);
        let what = command.join(" ");
        assert!(output.status.success(), "{what}: {said}");
        assert_harmless(&what, &out);
        assert_harmless(&format!("{what}, stderr"), &said);
        // Not left out, either: what is hidden is no answer.
        let shown = if visible { "\\u{202e}" } else { "\\u202e" };
        let escaped = shown.replace('\\', "\\\\");
        assert!(out.contains(shown) || out.contains(&escaped), "{what}: {out}");
        if command.contains(&"folded") {
            let stacks = tests::folded(&out);
            assert!(
                stacks.iter().any(|(stack, _)| stack.iter().any(|frame| frame.starts_with("s\\u{1b}]0:t")))
            );
        }
        if command.contains(&"--json") {
            let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
            let comms = report["processes"].as_array().expect("processes").iter();
            assert!(comms.clone().any(|process| process["comm"] == COMM), "the exact name: {out}");
        }
    }

    for command in [&["syscalls", "--pid", &pid, "--duration", "1s"][..], &["top", "--once"]] {
        let (out, said) = texts(&agent::run(command));
        assert_harmless(&command.join(" "), &out);
        assert_harmless(&command.join(" "), &said);
    }
    workload.finish();
    drop(group);
    let missing = dir.path().join("m\u{1b}[2J\u{202e}\nFORGED");
    let missing = missing.to_str().expect("text");
    for command in [
        &["report", "--replay", missing][..],
        &["flamegraph", "diff", missing, missing, "-o", "-"],
        &["config", "check", "--config", missing],
        &["flamegraph", "--pid", &pid, "--duration", "1s"],
        &["query", missing],
        &["alerts", "--socket", missing],
    ] {
        let (out, said) = texts(&agent::run(command));
        assert_harmless(&command.join(" "), &out);
        assert_harmless(&command.join(" "), &said);
    }
}
