//! A running daemon, in directories of its own.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sandbox::{Process, Status};
use serde_json::Value;
use server::store::embedded::Reader;

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
        Self::start_by(agent::command(&[]), dir, free_port(), args)
    }

    /// The same by a command that becomes the agent with the arguments behind it, with its broker on a port.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_by(mut command: Command, dir: tempfile::TempDir, port: u16, args: &[&str]) -> Self {
        // The relay runs as another user: it must get through.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("our directory");
        let log = fs::File::create(dir.path().join("log")).expect("a log");
        let file = dir.path().join("agent.toml");
        fs::write(&file, "").expect("a configuration");
        let child = command
            .args(["run", "--set", "host=tested"])
            .arg("--config")
            .arg(&file)
            .args(["--set", &format!("server.mqtt_listen=127.0.0.1:{port}")])
            .args(["--http", "127.0.0.1:0"])
            .arg("--state-dir")
            .arg(dir.path().join("state"))
            .arg("--run-dir")
            .arg(dir.path().join("run"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the agent starts");
        let mut daemon = Self { child, dir };
        daemon.wait_for("the control socket", |daemon| daemon.path("run/agent.sock").exists().then_some(()));
        daemon
    }

    /// Ends it without a word, waits until its other processes have let go of its directory, and gives that back.
    ///
    /// # Panics
    /// When it cannot be killed, or another one of its processes does not end.
    #[must_use]
    pub fn kill(mut self) -> tempfile::TempDir {
        let family = self.family();
        self.child.kill().expect("it runs");
        self.child.wait().expect("a child of ours");
        let start = Instant::now();
        for (pid, status) in family {
            // Empty for one that has ended and nobody waited for.
            while fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| !words.is_empty()) {
                assert!(start.elapsed() < PATIENCE, "{} does not end: {}", status.comm, self.log());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.kill_ended()
    }

    /// The directory of one that has ended.
    ///
    /// # Panics
    /// When there is no other for this handle.
    #[must_use]
    pub fn kill_ended(mut self) -> tempfile::TempDir {
        std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a directory"))
    }

    /// The privileged process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All its processes.
    #[must_use]
    pub fn family(&self) -> Vec<(u32, Status)> {
        Status::family(Path::new("/proc"), self.pid())
    }

    /// One of its processes, if it runs.
    #[must_use]
    pub fn find(&self, process: Process) -> Option<(u32, Status)> {
        self.family().into_iter().find(|(_, status)| status.comm == process.comm())
    }

    /// The unprivileged process.
    ///
    /// # Panics
    /// When there is none.
    pub fn relay(&mut self) -> u32 {
        self.wait_for("the relay", |daemon| daemon.find(Process::Relay)).0
    }

    /// `agent` with these arguments and the directories of this daemon.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let (state, run) = (self.path("state"), self.path("run"));
        let dirs = [format!("state_dir={}", state.display()), format!("run_dir={}", run.display())];
        agent::command(&[&["--set", &dirs[0], "--set", &dirs[1]], args].concat())
    }

    /// What such a command printed, which is one line; `None`: it failed.
    #[must_use]
    pub fn printed(&self, args: &[&str]) -> Option<String> {
        let output = self.command(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
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
        self.try_wait_for(look)
            .unwrap_or_else(|| panic!("{what} did not come within {PATIENCE:?}: {}", self.log()))
    }

    /// The same; `None` when there is no answer for a minute.
    ///
    /// # Panics
    /// When the daemon ended.
    pub fn try_wait_for<T>(&mut self, look: impl Fn(&Self) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(found) = look(self) {
                return Some(found);
            }
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                panic!("agent run ended with {status}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    }

    /// Waits for so many windows in the store.
    pub fn wait_for_windows(&mut self, least: u64) {
        self.wait_for("windows in the store", |daemon| {
            daemon.windows().filter(|(count, ..)| *count >= least)
        });
    }

    /// Waits for so many more.
    pub fn wait_for_more_windows(&mut self, more: u64) {
        let before = self.windows().map_or(0, |(count, ..)| count);
        self.wait_for_windows(before + more);
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
        let store = Reader::open(&file).ok()?;
        let count = store.counts().ok()?.windows;
        let streams = store.stored().ok()?.into_iter().map(|(_, stored)| stored.to_set());
        let numbers = streams.reduce(|mut all, more| {
            all.merge(&more);
            all
        })?;
        Some((count, numbers.ranges().first()?.0, numbers.highest()))
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

/// A directory that other users get through: those of the processes without privileges.
///
/// # Panics
/// When there is no room for one.
#[must_use]
pub fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("our directory");
    dir
}

/// A port on which no process listens now.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port()
}

/// The unit that is shipped.
#[must_use]
pub fn unit() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/systemd/s7mpa-agent.service"))
}

/// Whether a daemon shows the full accept queue of a process in a network namespace of its own.
///
/// # Panics
/// When there is no `unshare`, `ip` or `python3`.
pub fn full_listener_of_another_namespace(daemon: &mut Daemon) -> bool {
    // A queue of one, and clients whose connections are never accepted, again and again.
    const CROWD: &str = "import socket,time\ns=socket.socket();s.bind(('127.0.0.1',4321));s.listen(0);c=[]\n\
        for i in range(3000):\n k=socket.socket();k.setblocking(False);k.connect_ex(('127.0.0.1',4321));c.append(k)\n \
        if len(c)>99:\n  c.pop(0).close()\n time.sleep(0.1)";
    let script = format!("ip link set lo up; exec python3 -c \"{CROWD}\"");
    let mut other = Command::new("unshare").args(["-n", "sh", "-c", &script]).spawn().expect("unshare");
    let socket = daemon.path("run/agent.sock").display().to_string();
    let seen = daemon.try_wait_for(|_| {
        let output = agent::run(&["--socket", &socket, "report", "--json", "--duration", "3s"]);
        String::from_utf8_lossy(&output.stdout).contains("4321").then_some(())
    });
    other.kill().expect("ours");
    other.wait().expect("ours");
    seen.is_some()
}
