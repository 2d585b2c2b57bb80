//! Log lines from files to the store: each once, through rotation and kills; what a crash leaves is explained.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use server::store::logs::{Asked, FILE, Reader};
use tests::daemon::Daemon;

/// Files that are written to, and lines of each.
const FILES: usize = 20;
const LINES: usize = 3_000;

/// How often each line is in the store, by file and number.
fn stored(daemon: &Daemon) -> BTreeMap<(usize, usize), usize> {
    let mut counts = BTreeMap::new();
    let Ok(reader) = Reader::open(&daemon.path("state-server").join(FILE)) else { return counts };
    let query = logs::query::Query::parse("source=file counted").expect("a query");
    let mut emit = |hit: logs::query::Hit| {
        let mut words = hit.record.message.split(' ').skip(1);
        let mut number = || words.next().and_then(|word| word.parse().ok());
        if let (Some(file), Some(line)) = (number(), number()) {
            *counts.entry((file, line)).or_default() += 1;
        }
        ControlFlow::Continue(())
    };
    let searched = reader.search(&Asked::new(query, None), usize::MAX, &|| false, &mut emit);
    if searched.is_err() {
        counts.clear();
    }
    counts
}

fn append(path: &PathBuf) -> File {
    OpenOptions::new().append(true).create(true).open(path).expect("a log")
}

#[test]
fn each_line_is_there_once_through_rotation_and_kills_of_both_processes() {
    if !tests::can_observe() {
        return;
    }
    let logs = tempfile::tempdir().expect("a directory");
    let path = |file: usize| {
        logs.path().join(format!("app-{}.log", ["a", "b", "c", "d"][file % 4].repeat(1 + file / 4)))
    };
    let pattern = format!("logs.files={}/*.log", logs.path().display());
    let settings = ["--set", &pattern, "--set", "logs.kmsg=false", "--set", "logs.journal=false"];
    let mut daemon = Daemon::start_in(tempfile::tempdir().expect("a directory"), &settings);
    let mut open: Vec<File> = (0..FILES).map(|file| append(&path(file))).collect();
    let seen = |daemon: &mut Daemon, lines: usize| {
        daemon.wait_for("the lines so far", |daemon| (stored(daemon).len() >= lines).then_some(()));
    };
    for round in 0..3 {
        for line in 0..LINES / 3 {
            let line = round * (LINES / 3) + line;
            for (file, open) in open.iter_mut().enumerate() {
                writeln!(open, "counted {file} {line} of a program that has something to say")
                    .expect("written");
            }
            if line % (LINES / 3) == LINES / 6 {
                // In the middle of what is written, either process dies.
                if round == 1 {
                    kill(Pid::from_raw(daemon.relay().cast_signed()), Signal::SIGKILL).expect("killed");
                } else if round == 2 {
                    let dir = daemon.kill();
                    daemon = Daemon::start_in(dir, &settings);
                }
            }
        }
        // What is written between a copy and the cut is lost to any reader: so all is read before. The others are renamed.
        seen(&mut daemon, (round + 1) * FILES * (LINES / 3));
        for (file, open) in open.iter_mut().enumerate() {
            let rotated = path(file).with_extension(format!("log.{}", round + 1));
            if file % 2 == 0 {
                fs::rename(path(file), rotated).expect("renamed");
                *open = append(&path(file));
            } else {
                fs::copy(path(file), rotated).expect("copied");
                open.set_len(0).expect("cut");
            }
        }
    }
    let counts = stored(&daemon);
    assert_eq!(counts.len(), FILES * LINES);
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).take(5).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn lines_are_searched_followed_and_clean_on_the_terminal() {
    if !tests::can_observe() {
        return;
    }
    let logs = tempfile::tempdir().expect("a directory");
    let file = logs.path().join("app.log");
    let pattern = format!("logs.files={}/*.log", logs.path().display());
    let mut daemon = Daemon::start_in(tempfile::tempdir().expect("a directory"), &["--set", &pattern]);
    let mut open = append(&file);
    writeln!(
        open,
        "2026-11-30T12:00:00Z app[4711]: ERROR cannot reach db\u{1b}]0;evil\u{7} password=hunter2"
    )
    .expect("written");
    writeln!(open, "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyError: 'x'")
        .expect("written");
    let json = daemon.wait_for("the line", |daemon| {
        let text = daemon.printed(&["logs", "--source", "file", "--json"])?;
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() == 1).then_some(lines)
    });
    assert_eq!((&json[0]["severity"], &json[0]["labels"]["host"]), (&"error".into(), &"tested".into()));
    let message = json[0]["message"].as_str().expect("a message");
    assert!(message.contains("cannot reach db") && !message.contains("hunter2"), "{message}");
    assert_eq!(
        (message.lines().count(), message.ends_with("KeyError: 'x'")),
        (4, true),
        "with its trace: {message}"
    );

    let text = daemon.printed(&["logs", "--source", "file", "reach", "--severity", "error"]).expect("lines");
    assert!(
        text.contains("cannot reach db") && !text.contains('\u{1b}') && !text.contains('\u{7}'),
        "{text:?}"
    );
    assert_eq!(daemon.printed(&["logs", "--source", "file", "absent"]).as_deref(), Some(""));
    assert!(daemon.printed(&["logs", "--grep", "("]).is_none(), "no regular expression");

    // Followed: what is written after the start comes.
    let out = logs.path().join("followed.txt");
    let mut follow = daemon.command(&["logs", "--follow", "--source", "file", "-n", "0", "later"]);
    let mut follow = follow.stdout(File::create(&out).expect("a file")).spawn().expect("it runs");
    let followed = daemon.wait_for("a followed line", |_| {
        // It may not look yet: one more each time.
        writeln!(append(&file), "this comes later").ok()?;
        let text = fs::read_to_string(&out).ok()?;
        text.contains("this comes later").then_some(text)
    });
    follow.kill().expect("it runs");
    follow.wait().expect("a child of ours");
    assert!(!followed.contains("cannot reach"), "{followed}");
}

#[test]
fn a_crash_is_explained_with_its_log_and_in_the_store() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let source = dir.path().join("null.c");
    let program = dir.path().join("nullwrite");
    let text = "struct conf { int a[4], port; };\n\
                __attribute__((noinline)) void start_server(struct conf *c) { c->port = 80; }\n\
                int main(void) { start_server(0); }\n";
    fs::write(&source, text).expect("written");
    let built = Command::new("cc").args(["-g", "-O0", "-o"]).arg(&program).arg(&source).status().expect("cc");
    assert!(built.success());
    let mut daemon = Daemon::start();
    let explained = daemon.wait_for("a post-mortem in the store", |daemon| {
        // The probes may not be attached yet.
        let _ = Command::new(&program).status();
        std::thread::sleep(Duration::from_secs(1));
        // Other tests have processes that die, too.
        let which = ["logs", "--source", "postmortem", "--field", "comm=nullwrite", "--json", "-n", "1"];
        let text = daemon.printed(&which)?;
        let found = serde_json::from_str::<Value>(text.lines().next()?).ok()?;
        // The first one may end before its program is known.
        found["message"].as_str().is_some_and(|told| told.contains("start_server")).then_some(found)
    });
    let told = explained["message"].as_str().expect("a sentence");
    assert!(told.contains("start_server") && told.contains("null"), "{told}");
    let whole: Value = serde_json::from_str(explained["fields"]["postmortem"].as_str().expect("JSON"))
        .expect("a post-mortem");
    assert_eq!(
        (&whole["cause"]["class"], &whole["process"]["comm"]),
        (&"null-pointer".into(), &"nullwrite".into())
    );
}
