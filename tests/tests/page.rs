//! The page of a running daemon, in a real Chromium: scripts in `server/ui/browser` drive it, and say what they find.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tests::daemon::Daemon;

/// Windows that the views have something to show of.
const WINDOWS: u64 = 20;
/// A process name that would be an element if somebody took it for markup: the 15 bytes that a name may have.
const NAME: &str = "<img onerror=x>";
const PASSWORD: &str = "correct horse battery";

fn browser_script(name: &str, args: &[&str]) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/ui");
    let mut command = Command::new("node");
    command.arg(dir.join("browser").join(name)).args(args).current_dir(&dir).stdin(Stdio::null());
    let output = command.output().expect("node, which `cargo xtask test` installs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}:\n{text}\n{errors}");
}

/// Gives a command its input; whether it succeeded.
fn fed(command: &mut Command, input: &str) -> bool {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    child.wait().expect("its end").success()
}

/// A daemon with a page, and a link to it.
fn daemon() -> (Daemon, String) {
    daemon_with(&[])
}

fn daemon_with(args: &[&str]) -> (Daemon, String) {
    let mut daemon = Daemon::start_in(tempfile::tempdir().expect("a directory"), args);
    let link = daemon.wait_for("a link", |daemon| daemon.printed(&["open", "--no-browser"]));
    daemon.wait_for_windows(WINDOWS);
    (daemon, link)
}

struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that computes, under another name.
fn spin(name: &str) -> Load {
    let script = "import sys\nopen('/proc/self/comm','w').write(sys.argv[1])\nwhile True: sum(range(10000))";
    let mut command = Command::new("python3");
    command.args(["-c", script, name]).stdin(Stdio::null());
    Load(command.spawn().expect("python3"))
}

#[test]
fn each_view_is_in_order_in_both_themes_and_on_a_phone() {
    if !tests::can_observe() {
        return;
    }
    let _load = spin("worker");
    let (_daemon, link) = daemon();
    browser_script("views.mjs", &[&link]);
}

#[test]
fn names_of_strangers_are_text() {
    if !tests::can_observe() {
        return;
    }
    let load = spin(NAME);
    let (daemon, link) = daemon();
    let token = daemon.printed(&["token", "create", "--name", "push", "--role", "writer"]).expect("a token");
    push(&link, &token);
    browser_script("names.mjs", &[&link, &load.0.id().to_string(), NAME, "stranger_value"]);
}

/// Sends a series whose label is markup, as long as a label may be.
fn push(link: &str, token: &str) {
    let place = link.split('#').next().expect("a URL").trim_end_matches('/');
    let label = "<img\\ src\\=x\\ onerror\\=hit\\=1>\u{202e}".repeat(50);
    let line = format!("stranger,name={label} value=1");
    let mut command = Command::new("curl");
    command.args(["-sf", "-H", &format!("Authorization: Bearer {token}"), "--data-binary", "@-"]);
    assert!(fed(command.arg(format!("{place}/write?db=x")), &line), "the series is refused");
}

#[test]
fn the_page_lives_while_it_stands_open() {
    if !tests::can_observe() {
        return;
    }
    let (daemon, link) = daemon();
    let mut add = daemon.command(&["user", "add", "alice", "--role", "viewer"]);
    assert!(fed(add.stdout(Stdio::null()), &format!("{PASSWORD}\n")));
    browser_script("live.mjs", &[&link, PASSWORD]);
}

#[test]
fn log_lines_are_shown_as_they_are_written() {
    if !tests::can_observe() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("lines.log");
    std::fs::write(&file, "").expect("a log");
    let file = file.to_str().expect("a path as text");
    let (_daemon, link) = daemon_with(&["--set", &format!("logs.files={file}")]);
    browser_script("logs.mjs", &[&link, file]);
}
