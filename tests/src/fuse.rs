//! A FUSE file system that can be stopped, and what a test needs beside one that does not answer.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::agent;

/// What would hang for ever without an answer is taken to hang after this; it takes seconds on an idle machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A mounted file system and its server. Both are gone when this is dropped, and whatever waited for them goes on.
#[derive(Debug)]
pub struct Fuse {
    server: Child,
    dir: tempfile::TempDir,
}

impl Fuse {
    /// Serves copies of these files.
    ///
    /// # Panics
    /// When the kernel has no FUSE.
    #[must_use]
    pub fn serve(files: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (source, mount) = (dir.path().join("source"), dir.path().join("mount"));
        std::fs::create_dir(&source).and_then(|()| std::fs::create_dir(&mount)).expect("our directory");
        for file in files.iter().map(Path::new) {
            std::fs::copy(file, source.join(file.file_name().expect("a file"))).expect("a copy");
        }
        let mut server = Command::new(crate::programs().join("fuse_server"))
            .args([&source, &mount])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let output = server.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("its output");
        assert_eq!(line, "ready\n", "the file system is not mounted");
        Self { server, dir }
    }

    /// Path of a file.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("mount").join(name)
    }

    /// Process of the server.
    #[must_use]
    pub fn server(&self) -> u32 {
        self.server.id()
    }

    /// From here on nothing is answered.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// It answers again.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.server.id() as i32), signal).expect("the server runs");
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        // Its end ends all requests, those that wait and those to come.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = umount2(&self.dir.path().join("mount"), MntFlags::MNT_DETACH);
    }
}

/// A process that is killed when the test is over, however it ends.
#[derive(Debug)]
pub struct Guarded(pub Child);

impl Guarded {
    /// Starts it without input and output.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(program: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display())))
    }

    /// Starts a program that spins. When this returns all that it needs of its file is in memory: it has spun for 50 ms.
    ///
    /// # Panics
    /// When it cannot be started, or ends.
    #[must_use]
    pub fn spin(program: &Path, args: &[&str]) -> Self {
        let process = Self::spawn(program, args);
        // Field 14: user time, ticks of 10 ms.
        while crate::stat_field(&process.pid().to_string(), 14).expect("it lives") < 5 {
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end(&mut self) -> std::process::ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "process {} does not end", self.pid());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        // One that waits for a dead file system is collected when that is gone.
        let _ = self.0.try_wait();
    }
}

/// Runs the agent to its end, which comes: also beside a file system that does not answer.
///
/// # Panics
/// When it does not end.
#[must_use]
pub fn in_time(args: &[&str]) -> Output {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| std::fs::File::create(dir.path().join(name)).expect("a file");
    let child = agent::command(args).stdout(file("out")).stderr(file("err")).spawn();
    let mut child = Guarded(child.expect("the agent starts"));
    let status = child.end();
    let text = |name: &str| std::fs::read(dir.path().join(name)).expect("its output");
    Output { status, stdout: text("out"), stderr: text("err") }
}
