//! Past times from the windows that a daemon keeps on disk: the same as live, after its death, and what a full disk costs.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tests::agent;
use tests::daemon::Daemon;
use tests::diagnosis::cases;
use tests::diagnosis::stage::Stage;
use tests::windows::run;

/// `agent` about the state of a daemon that lives or not.
fn ask(dir: &Path, args: &[&str]) -> Output {
    let state = format!("state_dir={}", dir.join("state").display());
    let socket = dir.join("run/agent.sock").display().to_string();
    let mut all = vec!["--set", &*state, "--set", "host=tested", "--socket", &*socket];
    all.extend(args);
    agent::run(&all)
}

fn json(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// The report of these windows: all but the last in the memory of the daemon may be on disk.
fn past(dir: &Path, until_unix_ns: u64, seconds: f64) -> Output {
    let from = format!("{:.3}", until_unix_ns as f64 / 1e9 - seconds);
    let duration = format!("{:.0}ms", seconds * 1e3);
    ask(dir, &["report", "--json", "-n", "0", "--at", &from, "--duration", &duration])
}

/// Class, subject and culprit of each finding that would be an alert; without those that need more history than a live report has.
fn firm(report: &Value) -> Vec<(String, Value, Value)> {
    let findings = report["findings"].as_array().expect("findings").iter();
    let mut firm: Vec<_> = findings
        .filter(|finding| finding["confidence"].as_f64() >= Some(diagnosis::ALERT_CONFIDENCE))
        .filter(|finding| !finding["class"].as_str().is_some_and(|class| class.ends_with("-leak")))
        .map(|finding| {
            let class = finding["class"].as_str().expect("a class").to_owned();
            (class, finding["subject"].clone(), finding["culprit"].clone())
        })
        .collect();
    firm.sort_by_key(|(class, subject, _)| (class.clone(), subject["pid"].as_u64()));
    firm
}

/// Windows on disk, and windows that were lost.
fn recorded(daemon: &Daemon) -> (u64, u64) {
    let status = ask(daemon.path("").as_path(), &["doctor", "--json"]);
    let checks: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    let check =
        checks["checks"].as_array().expect("checks").iter().find(|check| check["name"] == "recordings");
    let found =
        check.and_then(|check| check["found"].as_str()).expect("a check of the recordings").to_owned();
    // `3 files, 1.2 MiB on disk; 17 windows written, 4 lost`
    let number = |part: Option<&str>| {
        let digits = part.and_then(|part| part.trim_start_matches([';', ',', ' ']).split(' ').next());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    };
    let written = found.split("; ").nth(1);
    let lost = found.split(", ").find(|part| part.contains(" lost"));
    (number(written), number(lost))
}

#[test]
fn a_past_time_is_judged_as_it_was_live_also_when_the_daemon_is_dead() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    daemon.wait_for_windows(2);
    let dir = daemon.path("");
    let case = cases::named("file-lock").expect("one of the cases");
    let mut stage = Stage::new(case).expect("a stage");
    stage.spoil().expect("the fault begins");
    let victim = stage.victim().pid();
    daemon.wait_for("an alert", |_| {
        let alerts = ask(&dir, &["alerts", "--json"]);
        let text = String::from_utf8_lossy(&alerts.stdout).into_owned();
        text.lines().any(|line| line.contains("file-lock")).then_some(())
    });
    let live = json(&ask(&dir, &["report", "--json", "-n", "0", "--last", "8s"]));
    let (until, seconds) =
        (live["until_unix_ns"].as_u64().expect("a time"), live["window_s"].as_f64().expect("a time"));
    assert!(firm(&live).iter().any(|(class, ..)| class == "file-lock"), "{live:#}");
    // Its last window is on disk by then.
    daemon.wait_for_more_windows(2);
    let report = json(&past(&dir, until, seconds));
    assert_eq!(report["until_unix_ns"], live["until_unix_ns"]);
    assert_eq!(firm(&report), firm(&live), "{report:#}\nlive: {live:#}");
    assert_eq!(report["coverage"]["expected"], live["coverage"]["expected"]);
    let of = |report: &Value| {
        let rows = report["processes"].as_array().expect("processes").clone();
        rows.into_iter().find(|row| row["pid"] == victim).expect("the victim")
    };
    assert_eq!(of(&report), of(&live));
    let finding =
        report["findings"].as_array().expect("findings").iter().find(|one| one["class"] == "file-lock");
    let stacks = finding.expect("the finding")["stacks"].to_string();
    assert!(stacks.contains("lock"), "the kernel's part of the stack has its names: {stacks}");
    let alerts = report["past"]["alerts"].as_array().expect("alerts");
    assert!(alerts.iter().any(|alert| alert["finding"]["class"] == "file-lock"), "{alerts:#?}");
    assert!(report["past"]["missing_s"].as_f64() < Some(1.5), "{report:#}");

    // As text and as a page.
    let from = format!("{:.3}", until as f64 / 1e9 - seconds);
    let text = ask(&dir, &["report", "--at", &from, "--duration", "8s"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("Alerts in this time:") && text.contains(" file-lock "), "{text}");
    let page = ask(&dir, &["report", "--at", &from, "--duration", "8s", "--html", "-"]);
    assert!(String::from_utf8_lossy(&page.stdout).contains("file-lock"));

    // Killed: what was written is there, without a daemon; and what comes later is another run.
    let kept = daemon.kill();
    let dead = json(&past(&dir, until, seconds));
    assert_eq!(firm(&dead), firm(&live));
    let second = Daemon::start_in(kept, &[]);
    let (dir, mut daemon) = (second.path(""), second);
    daemon.wait_for_more_windows(3);
    assert_eq!(firm(&json(&past(&dir, until, seconds))), firm(&live), "also when another runs");

    // Long before: neither recorded nor in the store.
    let never = ask(&dir, &["report", "--at", "2026-01-01 00:00"]);
    let said = String::from_utf8_lossy(&never.stderr).into_owned();
    assert!(!never.status.success() && said.contains("not recorded"), "{said}");
    let future = ask(&dir, &["report", "--at", "2126-01-01"]);
    assert!(String::from_utf8_lossy(&future.stderr).contains("has not been yet"));
}

#[test]
fn a_full_disk_costs_the_recordings_of_its_time_and_nothing_else() {
    if !tests::can_observe() {
        return;
    }
    let dir = tests::daemon::directory();
    let disk = dir.path().join("state/recordings");
    fs::create_dir_all(&disk).expect("our directory");
    let at = disk.to_str().expect("a path in UTF-8").to_owned();
    run("mount", &["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", &at]);
    let _mounted = Lazy(at);
    let mut daemon = Daemon::start_in(dir, &[]);
    daemon.wait_for("a recorded window", |daemon| (recorded(daemon).0 > 0).then_some(()));
    let hog = disk.join("hog");
    fill(&hog);
    daemon.wait_for("a lost window", |daemon| {
        fill(&hog);
        (recorded(daemon).1 > 0).then_some(())
    });
    assert!(daemon.log().contains("cannot record windows"), "{}", daemon.log());
    let before = recorded(&daemon).0;
    daemon.wait_for_more_windows(2);
    fs::remove_file(&hog).expect("ours");
    daemon.wait_for("windows recorded again", |daemon| (recorded(daemon).0 > before + 2).then_some(()));
    assert!(daemon.log().contains("windows are recorded again"), "{}", daemon.log());
    let lost = daemon.wait_for("the loss as a metric", |daemon| {
        daemon.stored("s7mpa_lost", "lost", &["reason=window_not_recorded"]).filter(|lost| *lost > 0)
    });
    assert!(lost <= recorded(&daemon).1);
    let status = daemon.stop();
    assert!(status.success(), "{status}: {}", daemon.log());
}

/// Takes what the disk has left.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).expect("a file");
    while file.write(&[7; 4096]).is_ok_and(|written| written > 0) {}
}

/// A mount; gone with the value.
struct Lazy(String);

impl Drop for Lazy {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["--lazy", &self.0]).status();
    }
}
