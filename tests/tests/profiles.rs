//! Profiles as they are kept: what ran is there when its minute is over; an alert has its evidence, whatever dies after it.

use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::agent;
use tests::daemon::Daemon;

/// More programs that run than there are CPUs.
struct Spins(Vec<Child>);

impl Spins {
    fn start() -> Self {
        let count = 3 * std::thread::available_parallelism().expect("CPUs").get();
        let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
        Self(std::iter::repeat_with(spin).take(count).collect())
    }
}

impl Drop for Spins {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Folded stacks of the past, or why there are none.
fn kept(state: &str, args: &[&str]) -> Result<String, String> {
    let state = format!("state_dir={state}");
    let output =
        agent::run(&[&["flamegraph", "--set", &state, "--format", "folded", "-o", "-"], args].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(String::from_utf8_lossy(&output.stdout).into_owned()) } else { Err(said) }
}

fn state_of(daemon: &Daemon) -> String {
    daemon.path("state").display().to_string()
}

#[test]
fn what_ran_is_kept_when_its_minute_is_over() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    let _spins = Spins::start();
    let state = state_of(&daemon);
    let text = daemon.wait_for("a profile in the store", |_| {
        kept(&state, &["--from", "10m", "--comm", "sh"]).ok().filter(|text| !text.is_empty())
    });
    assert!(text.lines().all(|line| line.starts_with("sh;") || line.starts_with("sh ")), "{text}");
    let waits = kept(&state, &["--from", "10m", "--mode", "wakers", "--host", "tested"]).expect("waits");
    assert!(waits.contains("_[w]"), "waits have wakers: {waits}");
    let why = kept(&state, &["--from", "10m", "--host", "elsewhere"]).expect_err("none of that host");
    assert!(why.contains("no profile is kept"), "{why}");
    // Every other format is written from the same.
    for file in ["out.svg", "out.html", "out.pb.gz", "out.json", "out.speedscope.json"] {
        let path = daemon.path(file).display().to_string();
        let state = format!("state_dir={state}");
        let output =
            agent::run(&["flamegraph", "--set", &state, "--from", "10m", "--mode", "wall", "-o", &path]);
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(std::fs::metadata(&path).expect(file).len() > 200, "{file}");
    }
    assert!(daemon.stop().success());
}

/// Kills one of the two processes a second after an alert has opened, and asks for its evidence.
fn evidence_survives(kill_relay: bool) {
    if !tests::can_observe() {
        return;
    }
    // They run in every window, so that they are in the evidence of any alert.
    let _spins = Spins::start();
    let mut daemon = Daemon::start();
    let socket = daemon.path("run/agent.sock").display().to_string();
    let alert = daemon.wait_for("an alert", |_| {
        let output = agent::run(&["--socket", &socket, "alerts", "--json"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let first: Value = serde_json::from_str(text.lines().next()?).ok()?;
        Some(first["id"].as_str()?.to_owned())
    });
    std::thread::sleep(Duration::from_secs(1));
    let state = state_of(&daemon);
    let asked = || kept(&state, &["--alert", &alert]).ok().filter(|text| !text.is_empty());
    if kill_relay {
        let relay = daemon.relay();
        kill(Pid::from_raw(relay.cast_signed()), Signal::SIGKILL).expect("the relay runs");
        let text = daemon.wait_for("evidence of the alert", |_| asked());
        assert!(text.contains("sh"), "{text}");
        return;
    }
    let dir = daemon.kill();
    // The relay goes on for some seconds; what it could not send, the next one does.
    let mut daemon = Daemon::start_in(dir, &[]);
    let text = daemon.wait_for("evidence of the alert", |_| asked());
    assert!(text.contains("sh"), "{text}");
}

#[test]
fn evidence_of_an_alert_survives_the_collector() {
    evidence_survives(false);
}

#[test]
fn evidence_of_an_alert_survives_the_relay() {
    evidence_survives(true);
}
