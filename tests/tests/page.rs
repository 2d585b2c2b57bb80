//! The page of a running daemon, in a real Chromium: scripts in `server/ui/browser` drive it, and say what they find.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tests::agent;
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

fn with(daemon: &Daemon, args: &[&str]) -> Command {
    let (state, run) = (daemon.path("state"), daemon.path("run"));
    let dirs = [format!("state_dir={}", state.display()), format!("run_dir={}", run.display())];
    agent::command(&[&["--set", &dirs[0], "--set", &dirs[1]], args].concat())
}

fn printed(daemon: &Daemon, args: &[&str]) -> Option<String> {
    let output = with(daemon, args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A daemon with a page, and a link to it.
fn daemon() -> (Daemon, String) {
    let mut daemon = Daemon::start();
    let link = daemon.wait_for("a link", |daemon| printed(daemon, &["open", "--no-browser"]));
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
    let token =
        printed(&daemon, &["token", "create", "--name", "push", "--role", "writer"]).expect("a token");
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
    let mut child = command.arg(format!("{place}/write?db=x")).stdin(Stdio::piped()).spawn().expect("curl");
    std::io::Write::write_all(child.stdin.as_mut().expect("its input"), line.as_bytes()).expect("written");
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success(), "the series is refused");
}

#[test]
fn the_page_lives_while_it_stands_open() {
    if !tests::can_observe() {
        return;
    }
    let (daemon, link) = daemon();
    let mut command = with(&daemon, &["user", "add", "alice", "--role", "viewer"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("agent");
    std::io::Write::write_all(child.stdin.as_mut().expect("its input"), format!("{PASSWORD}\n").as_bytes())
        .expect("written");
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
    browser_script("live.mjs", &[&link, PASSWORD]);
}
