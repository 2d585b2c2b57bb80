//! A running daemon, in directories of its own.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::agent;

/// Longest wait for what takes two seconds on an idle machine; beside eight builds attaching alone took 48.
const PATIENCE: Duration = Duration::from_mins(4);

/// A daemon in directories of its own.
#[derive(Debug)]
pub struct Daemon {
    /// The privileged process.
    pub child: Child,
    dir: tempfile::TempDir,
}

impl Daemon {
    /// On embedded defaults.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), &[])
    }

    /// With further arguments, in a directory that may have been used before.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_in(dir: tempfile::TempDir, args: &[&str]) -> Self {
        // The relay runs as another user: it must get through.
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
            .args(args)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the agent starts");
        let mut daemon = Self { child, dir };
        daemon.wait_for("the control socket", |daemon| daemon.path("run/agent.sock").exists().then_some(()));
        daemon
    }

    /// Ends it without a word, and gives back its directory.
    ///
    /// # Panics
    /// When it cannot be killed.
    #[must_use]
    pub fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().expect("it runs");
        self.child.wait().expect("a child of ours");
        std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory"))
    }

    /// The directory of one that has ended.
    ///
    /// # Panics
    /// When there is no other for this handle.
    #[must_use]
    pub fn kill_ended(mut self) -> tempfile::TempDir {
        std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory"))
    }

    /// The unprivileged process.
    ///
    /// # Panics
    /// When there is none.
    pub fn relay(&mut self) -> u32 {
        let pid = self.child.id();
        self.wait_for("the relay", |_| {
            children(pid).into_iter().find(|child| {
                fs::read_to_string(format!("/proc/{child}/comm"))
                    .is_ok_and(|comm| comm.trim() == "agent-relay")
            })
        })
    }

    /// A file in its directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Looks again and again until there is an answer.
    ///
    /// # Panics
    /// When there is none for a minute, or the daemon ended.
    pub fn wait_for<T>(&mut self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
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
    #[must_use]
    pub fn stored(&self, measurement: &str, field: &str, tags: &[&str]) -> Option<u64> {
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
    #[must_use]
    pub fn windows(&self) -> Option<(u64, u64, u64)> {
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
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).expect("it runs");
        self.wait_for_end()
    }

    /// How it ended.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait_for_end(&mut self) -> std::process::ExitStatus {
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
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
