//! The agent under the restrictions of the systemd unit that is shipped: every feature works there.

use std::process::Command;

use serde_json::Value;
use tests::agent;
use tests::daemon::{self, Daemon};
use tests::systemd::Unit;

/// Starts the daemon as the unit would.
fn under_unit() -> Daemon {
    let dir = daemon::directory();
    // As systemd does before it starts the service, from StateDirectory and RuntimeDirectory.
    let own =
        ["state", "run", "state-server", "run-server", "state-plugin"].map(|name| dir.path().join(name));
    for dir in &own {
        std::fs::create_dir(dir).expect("our directory");
    }
    let hook = dir.path().join("hook");
    std::fs::write(&hook, "#!/bin/sh\ncat > $HOME/alert\n").expect("our directory");
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("ours");
    let mut command = Command::new(tests::programs().join("under_unit"));
    command.arg(daemon::unit()).args(&own).arg("--").arg(agent::path());
    command.env_remove("S7MPA_TOOLS").env("NO_COLOR", "1");
    let exec = format!("alerts.exec={}", hook.display());
    Daemon::start_by(command, dir, daemon::free_port(), &["--set", &exec])
}

#[test]
fn the_shipped_unit_is_read_and_keeps_to_its_word() {
    let unit = Unit::read(daemon::unit()).expect("the unit");
    for (key, value) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("DevicePolicy", "closed"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictNamespaces", "net"),
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
    ] {
        assert_eq!(unit.get(key), Some(value), "{key}");
    }
    // Every capability that a process keeps is in the unit.
    let bounding = unit.get("CapabilityBoundingSet").expect("it is set");
    for process in sandbox::Process::ALL {
        for (capability, purpose) in process.capabilities() {
            let name = capability.to_string();
            assert!(bounding.split(' ').any(|word| word == name), "{name}: {purpose}");
        }
    }
}

#[test]
fn every_feature_works_under_the_unit() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = under_unit();
    daemon.wait_for_windows(2);
    let socket = daemon.path("run/agent.sock").display().to_string();
    let doctor = agent::run(&["--socket", &socket, "doctor", "--json"]);
    let doctor: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let lost = |value: &Value| value["name"] == "daemon" && !value["lost"].is_null();
    let checks = doctor["checks"].as_array().expect("checks");
    assert!(!checks.iter().any(lost), "the daemon lacks something: {checks:?}");

    // More that runs than there are CPUs, calls, sleeps: samples with names, syscalls, waits, alerts.
    let spins = std::thread::available_parallelism().expect("CPUs").get() + 1;
    let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
    let mut spins: Vec<_> = std::iter::repeat_with(spin).take(spins).collect();
    let mut dd = Command::new("sh")
        .args([
            "-c",
            "while :; do dd if=/dev/zero of=/dev/null bs=1 count=20000 2>/dev/null; sleep 0.05; done",
        ])
        .spawn()
        .expect("sh");
    let pid = dd.id().to_string();
    let report = daemon.try_wait_for(|_| {
        let output = agent::run(&["--socket", &socket, "report", "--duration", "5s", "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).ok()?;
        report["processes"].as_array().is_some_and(|rows| rows.len() > 5).then_some(report)
    });
    let folded = daemon.path("state/out.folded").display().to_string();
    let drawn = agent::run(&[
        "--socket",
        &socket,
        "flamegraph",
        "--all",
        "--last",
        "1m",
        "--format",
        "folded",
        "-o",
        &folded,
    ]);
    let waits = daemon.path("state/waits.folded").display().to_string();
    let drawn_waits = agent::run(&[
        "--socket",
        &socket,
        "flamegraph",
        "--all",
        "--last",
        "1m",
        "--mode",
        "off-cpu",
        "--format",
        "folded",
        "-o",
        &waits,
    ]);
    let alert = daemon.path("state-plugin/alert");
    let alerted =
        daemon.try_wait_for(|_| std::fs::read_to_string(&alert).ok().filter(|text| !text.is_empty()));
    let syscalls = agent::run(&["--socket", &socket, "syscalls", "--json", "--duration", "3s"]);
    for child in spins.iter_mut().chain([&mut dd]) {
        child.kill().expect("ours");
        child.wait().expect("ours");
    }
    let log = daemon.log();
    let report = report.unwrap_or_else(|| panic!("no report: {log}"));
    assert!(report["coverage"]["missing"].as_array().is_none_or(Vec::is_empty), "{}", report["coverage"]);
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let text = std::fs::read_to_string(&folded).expect("folded stacks");
    assert!(text.contains("dd;") || text.contains("dd "), "a user stack of dd (pid {pid}): {text}");
    assert!(
        text.contains("vfs_write") || text.contains("ksys_write") || text.contains("do_syscall_64"),
        "kernel frames have names: {text}"
    );
    assert!(text.contains("main") || text.contains("__libc_start"), "user frames have names: {text}");
    assert!(drawn_waits.status.success(), "{}", String::from_utf8_lossy(&drawn_waits.stderr));
    assert!(!std::fs::read_to_string(&waits).expect("waits").is_empty(), "waits have stacks");
    let syscalls = String::from_utf8_lossy(&syscalls.stdout).into_owned();
    assert!(syscalls.contains("\"write\""), "{syscalls}");
    assert!(alerted.is_some(), "alerts.exec did not run: {log}");
    for dead in ["has refused calls", "not watched", "hides its addresses", "cannot "] {
        assert!(!log.contains(dead), "{dead}: {log}");
    }
    assert!(daemon.stop().success(), "{}", daemon.log());
}

#[test]
fn containers_are_seen_under_the_unit() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = under_unit();
    daemon.wait_for_windows(1);
    let found = daemon::full_listener_of_another_namespace(&mut daemon);
    assert!(found, "{}", daemon.log());
}

#[test]
fn systemd_itself_finds_no_fault_with_the_units() {
    for unit in ["s7mpa-agent.service", "s7mpa-server.service"] {
        let path = daemon::unit().with_file_name(unit);
        // It wants the program where the unit says.
        let text = std::fs::read_to_string(&path).expect("the unit");
        let dir = tempfile::tempdir().expect("a directory");
        let copy = dir.path().join(unit);
        std::fs::write(&copy, text.replace("/usr/bin/agent", &agent::path().display().to_string()))
            .expect("ours");
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&copy)
            .output()
            .expect("systemd-analyze");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let ours: Vec<&str> = said.lines().filter(|line| line.contains(unit)).collect();
        assert!(ours.is_empty(), "{ours:?}");
    }
}
