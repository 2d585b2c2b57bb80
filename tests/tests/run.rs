//! `agent run` on embedded defaults, whole: probes, windows, broker, ingest, store, read back.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::agent;
use tests::workload::Workload;

/// Longest wait for what takes two seconds on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon in directories of its own.
struct Daemon {
    child: Child,
    dir: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        // The server part runs as another user: it must get through.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("our directory");
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
        let log = fs::File::create(dir.path().join("log")).expect("a log");
        let file = dir.path().join("agent.toml");
        fs::write(&file, "").expect("a configuration");
        let child = agent::command(&["run", "--set", "host=tested"])
            .arg("--config")
            .arg(&file)
            .args(["--set", &format!("server.mqtt_listen=127.0.0.1:{port}")])
            .arg("--state-dir")
            .arg(dir.path().join("state"))
            .arg("--run-dir")
            .arg(dir.path().join("run"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the agent starts");
        let mut daemon = Self { child, dir };
        daemon.wait_for("the control socket", |daemon| daemon.path("run/agent.sock").exists().then_some(()));
        daemon
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Looks again and again until there is an answer.
    fn wait_for<T>(&mut self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(found) = look(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                panic!("agent run ended with {status} before {what}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{what} did not come within {PATIENCE:?}: {}", self.log());
    }

    /// `agent query …`: sum of a counter's samples.
    fn stored(&self, measurement: &str, field: &str, tags: &[&str]) -> Option<u64> {
        let state = format!("state_dir={}", self.path("state").display());
        let mut args = vec!["--set", &state, "query", measurement, field, "--json"];
        for tag in tags {
            args.extend(["--tag", tag]);
        }
        let output = agent::run(&args);
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        let series = answer["series"].as_array()?;
        Some(
            series
                .iter()
                .filter_map(|s| s["samples"].as_array())
                .flatten()
                .filter_map(|s| s[1].as_u64())
                .sum(),
        )
    }

    /// Windows in the store: how many, the least and the greatest number.
    fn windows(&self) -> Option<(u64, u64, u64)> {
        let file = self.path("state-server/metrics.db");
        let store =
            rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        store
            .query_row("SELECT count(*), min(seq), max(seq) FROM head", [], |row| {
                Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64))
            })
            .ok()
    }

    /// SIGTERM, then its end.
    fn stop(&mut self) -> std::process::ExitStatus {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).expect("it runs");
        self.wait_for_end()
    }

    fn wait_for_end(&mut self) -> std::process::ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "agent run does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        for _ in 0..100 {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Children of a process.
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

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

    let servers = children(daemon.child.id());
    assert_eq!(servers.len(), 1, "the server part is a process of its own");
    let status = daemon.stop();
    assert!(status.success(), "{status}: {}", daemon.log());
    assert!(!Path::new(&format!("/proc/{}", servers[0])).exists(), "the server part was left behind");
}

#[test]
fn the_server_part_has_no_privileges() {
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    let collector = daemon.child.id();
    let server = daemon.wait_for("the server part", |_| children(collector).first().copied());
    let status = daemon.wait_for("its loss of privileges", |_| {
        let text = fs::read_to_string(format!("/proc/{server}/status")).ok()?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let uid = field("Uid:")?.split_whitespace().next()?.to_owned();
        (uid != "0").then_some((uid, field("CapEff:")?, field("CapPrm:")?))
    });
    assert_eq!(
        (status.1.trim(), status.2.trim()),
        ("0000000000000000", "0000000000000000"),
        "uid {}",
        status.0
    );
}

/// Threads of a process: name, effective capabilities, permitted, ambient, `NoNewPrivs`.
fn threads(pid: u32) -> Vec<(String, u64, u64, u64, bool)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
        .filter_map(|text| {
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let set = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
            let name = field("Name:")?.to_owned();
            Some((name, set("CapEff:")?, set("CapPrm:")?, set("CapAmb:")?, field("NoNewPrivs:")? == "1"))
        })
        .collect()
}

#[test]
fn each_thread_keeps_the_privileges_that_it_needs_and_no_others() {
    const LOOK: u64 = 1 << 2 | 1 << 19; // DAC_READ_SEARCH, SYS_PTRACE
    const PROBE: u64 = 1 << 38 | 1 << 39; // PERFMON, BPF
    const KERNEL: u64 = 1 << 34; // SYSLOG
    const FILES: u64 = 1 << 40; // CHECKPOINT_RESTORE
    const TEND: u64 = 1 << 5 | 1 << 6 | 1 << 7; // KILL, SETGID, SETUID
    if !tests::can_observe() {
        return;
    }
    let mut daemon = Daemon::start();
    daemon
        .wait_for("a first window in the store", |daemon| daemon.windows().filter(|(count, ..)| *count > 0));
    let pid = daemon.child.id();
    let threads = threads(pid);
    for (name, effective, permitted, ambient, no_new_privs) in &threads {
        let allowed = match name.as_str() {
            "agent" => TEND,
            // The unwinder fills maps.
            "collector" | "unwind" => LOOK | PROBE | KERNEL,
            "symbolizer" => LOOK | KERNEL | FILES,
            _ => LOOK,
        };
        assert_eq!((effective & !allowed, permitted & !allowed, *ambient), (0, 0, 0), "{name}: {threads:?}");
        assert!(no_new_privs, "{name}: {threads:?}");
    }
    let names: Vec<&str> = threads.iter().map(|(name, ..)| name.as_str()).collect();
    for name in ["agent", "collector", "unwind", "symbolizer", "mqtt", "spool"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // And what is left is enough: kernel functions have names, and the server part dies and comes back under its user.
    assert!(!daemon.log().contains("hides its addresses"), "{}", daemon.log());
    let server = children(pid)[0];
    kill(Pid::from_raw(server as i32), Signal::SIGKILL).expect("it runs");
    daemon.wait_for("another server part", |_| children(pid).into_iter().find(|child| *child != server));
    let (before, ..) = daemon.windows().expect("windows");
    daemon.wait_for("two more windows", |daemon| daemon.windows().filter(|(count, ..)| *count >= before + 2));
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
    let server = children(pid)[0];
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
    daemon.wait_for("another server part", |_| children(pid).into_iter().find(|child| *child != server));
    let (before, ..) = daemon.windows().expect("windows");
    daemon.wait_for("two more windows", |daemon| daemon.windows().filter(|(count, ..)| *count >= before + 2));
    let (count, first, last) = daemon.windows().expect("windows");
    assert_eq!((first, count), (1, last), "no window was lost over the restart");
    let log = daemon.log();
    assert!(!log.contains("the server part died"), "{log}");
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
            .any(|line| line.contains("the server part died") && line.contains("/no/such/ca.pem"))
            .then_some(())
    });
    reload("");
    let (before, ..) = daemon.windows().expect("windows");
    daemon.wait_for("two more windows", |daemon| daemon.windows().filter(|(count, ..)| *count >= before + 2));
    let (count, first, last) = daemon.windows().expect("windows");
    assert_eq!((first, count), (1, last), "no window was lost while there was no server part");
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
