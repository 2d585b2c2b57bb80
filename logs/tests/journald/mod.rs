//! A systemd-journald of the test's own. It runs without systemd, in a mount namespace whose `/run` is an empty directory: the host's
//! journal is never touched.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAMS: [&str; 2] = ["/lib/systemd/systemd-journald", "/usr/lib/systemd/systemd-journald"];
/// The file that is written, below `/run`.
const FILE: &str = "log/journal/0123456789abcdef0123456789abcdef/system.journal";
/// Seconds for what takes milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// `$1`: the directory, `$2`: journald. What it logs of itself goes to its stderr, never to the host's kernel log.
const SCRIPT: &str = r#"
mount --bind "$1/run" /run || { echo "cannot mount over /run" >&2; exit 90; }
[ -e /etc/machine-id ] || { echo "no /etc/machine-id: install the package systemd" >&2; exit 91; }
mount --bind "$1/machine-id" /etc/machine-id || { echo "cannot mount over /etc/machine-id" >&2; exit 90; }
exec "$2"
"#;

pub(crate) struct Journald {
    child: Child,
    directory: tempfile::TempDir,
}

impl Journald {
    /// Starts one with further lines of configuration, and variables of the environment.
    pub(crate) fn start(config: &str, variables: &[(&str, &str)]) -> Self {
        let program = PROGRAMS.into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("no systemd-journald: install the package systemd");
        let directory = tempfile::tempdir().expect("a directory");
        let run = directory.path().join("run");
        for path in ["systemd/journal", "systemd/journald.conf.d", "log/journal"] {
            std::fs::create_dir_all(run.join(path)).expect("a directory");
        }
        let config = format!(
            "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nForwardToSyslog=no\nForwardToWall=no\n\
             RateLimitIntervalSec=0\nSyncIntervalSec=1s\n{config}\n"
        );
        std::fs::write(run.join("systemd/journald.conf.d/test.conf"), config).expect("configuration");
        std::fs::write(directory.path().join("machine-id"), "0123456789abcdef0123456789abcdef\n")
            .expect("an id");
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"])
            .arg(directory.path())
            .arg(program)
            .envs(variables.iter().copied())
            .env("SYSTEMD_LOG_TARGET", "console")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare: install the package util-linux");
        // It takes signals once it has opened its file; before that they would end it.
        let file = run.join(FILE);
        let start = Instant::now();
        while !file.exists() {
            let ended = child.try_wait().expect("a child's state");
            assert!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "systemd-journald does not start ({ended:?}): the test needs root and mounts. {}",
                said(&mut child)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, directory }
    }

    fn run(&self, path: &str) -> PathBuf {
        self.directory.path().join("run").join(path)
    }

    /// Sends an entry by the native protocol, in which a value may hold any byte.
    pub(crate) fn send(&self, fields: &[(&str, &[u8])]) {
        let mut message = Vec::new();
        for (name, value) in fields {
            message
                .extend([name.as_bytes(), b"\n", &(value.len() as u64).to_le_bytes(), value, b"\n"].concat());
        }
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.send_to(&message, self.run("systemd/journal/socket")).expect("journald takes an entry");
    }

    /// Sends a line as a program does that logs by syslog.
    pub(crate) fn syslog(&self, line: &[u8]) {
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.send_to(line, self.run("systemd/journal/dev-log")).expect("journald takes a line");
    }

    /// The standard output of a service. Its name counts for a process in the root cgroup; any other has the unit of its cgroup.
    pub(crate) fn stdout(&self, identifier: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.run("systemd/journal/stdout")).expect("a stream");
        write!(stream, "{identifier}\n{identifier}.service\n6\n1\n0\n0\n0\n")
            .expect("journald takes a stream's head");
        stream
    }

    /// Returns when all that was sent is in the file.
    pub(crate) fn sync(&self) {
        let synced = self.run("systemd/journal/synced");
        let _ = std::fs::remove_file(&synced);
        // SIGRTMIN+1.
        self.signal("-35");
        let start = Instant::now();
        while !synced.exists() {
            assert!(start.elapsed() < PATIENCE, "systemd-journald does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Has the file closed for good and a new one begun; the path of the closed one.
    pub(crate) fn rotate(&self) -> PathBuf {
        let before = self.files();
        self.signal("-USR2");
        let start = Instant::now();
        loop {
            let new: Vec<PathBuf> = self.files().into_iter().filter(|file| !before.contains(file)).collect();
            if let [file, ..] = &new[..] {
                return file.clone();
            }
            assert!(start.elapsed() < PATIENCE, "systemd-journald does not rotate");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: &str) {
        let ok = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .expect("kill")
            .success();
        assert!(ok, "cannot signal systemd-journald");
    }

    /// All files of the journal; the one that is written is `system.journal`.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries =
            std::fs::read_dir(self.run("log/journal/0123456789abcdef0123456789abcdef")).expect("files");
        let paths = entries.map(|entry| entry.expect("a file").path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "journal")).collect()
    }

    /// The file that is written.
    pub(crate) fn file(&self) -> PathBuf {
        self.run(FILE)
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(child: &mut Child) -> String {
    let _ = child.kill();
    let _ = child.wait();
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.read_to_string(&mut said);
    }
    said
}
