//! `agent run` on embedded defaults, whole: probes, windows, broker, ingest, store, read back.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::agent;
use tests::daemon::Daemon;
use tests::workload::Workload;

#[test]
fn what_a_process_did_is_read_back_from_the_store_to_the_last_call() {
    const CALLS: u64 = 400_000;
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    daemon
        .wait_for("a first window in the store", |daemon| daemon.windows().filter(|(count, ..)| *count > 0));
    let mut workload = Workload::start("getppid_loop", &[CALLS]);
    let pid = format!("pid={}", workload.pid());
    workload.work();
    let tags = ["syscall=getppid", pid.as_str()];
    let seen = daemon.wait_for("the workload's calls", |daemon| {
        daemon.stored("s7mpa_syscall", "count", &tags).filter(|count| *count >= CALLS)
    });
    assert_eq!(seen, CALLS, "{}", daemon.log());
    // It goes on living for a window: nothing is counted twice.
    let (before, ..) = daemon.windows().expect("windows");
    daemon.wait_for("two more windows", |daemon| daemon.windows().filter(|(count, ..)| *count >= before + 2));
    assert_eq!(daemon.stored("s7mpa_syscall", "count", &tags), Some(CALLS));
    workload.finish();

    let (count, first, last) = daemon.windows().expect("windows");
    assert_eq!((first, count), (1, last), "windows are numbered from 1 without a gap, each is stored once");

    let relay = daemon.relay();
    let status = daemon.stop();
    assert!(status.success(), "{status}: {}", daemon.log());
    assert!(!Path::new(&format!("/proc/{relay}")).exists(), "the relay was left behind");
}

#[test]
fn a_hangup_takes_over_what_can_change_and_says_what_cannot() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    daemon
        .wait_for("a first window in the store", |daemon| daemon.windows().filter(|(count, ..)| *count > 0));
    let pid = daemon.child.id();
    let relay = daemon.relay();
    let hangup = || kill(Pid::from_raw(pid as i32), Signal::SIGHUP).expect("it runs");
    let file = daemon.path("agent.toml");

    fs::write(&file, "[collector]\nproceses = 7\n").expect("our directory");
    hangup();
    daemon.wait_for("word of the mistake", |d| {
        d.log().contains("did you mean `collector.processes`").then_some(())
    });

    fs::write(&file, "[collector]\nprocesses = 7\nrate_hz = 49\n[server]\nretention = \"3d\"\n")
        .expect("our directory");
    hangup();
    daemon.wait_for("word of the changes", |daemon| {
        let log = daemon.log();
        let line = |key: &str, what: &str| {
            log.lines().any(|line| line.contains(&format!("key=\"{key}\"")) && line.contains(what))
        };
        (line("collector.processes", "configuration changed")
            && line("collector.rate_hz", "next start")
            && line("server.retention", "server part restarts"))
        .then_some(())
    });
    let (before, ..) = daemon.windows().expect("windows");
    daemon.wait_for("two more windows", |daemon| daemon.windows().filter(|(count, ..)| *count >= before + 2));
    let (count, first, last) = daemon.windows().expect("windows");
    assert_eq!((first, count), (1, last), "no window was lost over the restart");
    assert_eq!(daemon.relay(), relay, "store and ingester are replaced, the process stays");
    let log = daemon.log();
    assert!(!log.contains("the server part failed"), "{log}");
}

#[test]
fn a_server_part_that_does_not_start_again_says_why_and_comes_back_when_it_can() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    daemon
        .wait_for("a first window in the store", |daemon| daemon.windows().filter(|(count, ..)| *count > 0));
    let pid = daemon.child.id();
    let file = daemon.path("agent.toml");
    let reload = |text: &str| {
        fs::write(&file, text).expect("our directory");
        kill(Pid::from_raw(pid as i32), Signal::SIGHUP).expect("it runs");
    };
    reload(
        "[server]\nstore = \"influx2\"\ninflux_url = \"https://localhost:1\"\ninflux_ca_file = \"/no/such/ca.pem\"\n",
    );
    daemon.wait_for("word of the cause", |daemon| {
        let log = daemon.log();
        log.lines()
            .any(|line| line.contains("the server part failed") && line.contains("/no/such/ca.pem"))
            .then_some(())
    });
    reload("");
    let (before, ..) = daemon.windows().expect("windows");
    // Windows that were on their way when the store failed are sent again after newer ones: the gap closes.
    daemon.wait_for("the windows of the time without a store", |daemon| {
        daemon.windows().filter(|(count, first, last)| *count >= before + 2 && (*first, *count) == (1, *last))
    });
}

#[test]
fn commands_ask_the_daemon() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    daemon
        .wait_for("a first window in the store", |daemon| daemon.windows().filter(|(count, ..)| *count > 0));
    let socket = daemon.path("run/agent.sock").display().to_string();
    let output = agent::run(&["--socket", &socket, "report", "--duration", "2s", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["host"], "tested", "the daemon's own name: it is the daemon that answered");
    assert!(report["processes"].as_array().is_some_and(|rows| !rows.is_empty()), "{report}");
    assert!(report["self"]["rss_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{report}");
}
