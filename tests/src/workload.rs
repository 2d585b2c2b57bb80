//! Both ends of a workload: the program's side ([`ready`], [`done`]) and the test's ([`Workload`]).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Program's side: prints that it is set up, and waits for the test's signal to begin.
pub fn ready() {
    println!("ready");
    wait();
}

/// Program's side: prints that the work is done, with `what` the test needs to know about it. Stays alive until the test ends it.
pub fn done(what: &str) {
    println!("done {what}");
    wait();
}

fn wait() {
    let mut line = String::new();
    // A closed input means the same as a line: the test is gone or wants us gone.
    let _ = std::io::stdin().lock().read_line(&mut line);
}

/// The argument at this place, or its default.
#[must_use]
pub fn argument(at: usize, default: u64) -> u64 {
    std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Test's side: a workload that has said `ready`.
#[derive(Debug)]
pub struct Workload {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Workload {
    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start or says anything else.
    #[must_use]
    pub fn start(name: &str, args: &[u64]) -> Self {
        let mut command = Command::new(crate::programs().join(name));
        command.args(args.iter().map(ToString::to_string));
        Self::spawn(&mut command)
    }

    /// The same of a command line that ends in a workload, such as one under strace.
    ///
    /// # Panics
    /// When it does not start or says anything else.
    #[must_use]
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {}: {e}", command.get_program().display()));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut workload = Self { child, stdin, stdout };
        assert_eq!(workload.line(), "ready");
        workload
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the signal to begin and does not wait for the end.
    ///
    /// # Panics
    /// When it is gone.
    pub fn begin(&mut self) {
        self.stdin.as_mut().expect("not ended yet").write_all(b"go\n").expect("the workload waits");
    }

    /// Sends the signal to begin and waits until the work is done. Returns what the program printed about it.
    ///
    /// # Panics
    /// When it dies on the way.
    pub fn work(&mut self) -> String {
        self.begin();
        let line = self.line();
        line.strip_prefix("done")
            .unwrap_or_else(|| panic!("the workload ended early: {line:?}"))
            .trim()
            .to_owned()
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// When it cannot be asked for.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Waits for an end that it finds by itself.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().expect("a child of ours")
    }

    /// Lets it go and waits for its end.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn finish(mut self) -> std::process::ExitStatus {
        drop(self.stdin.take());
        self.child.wait().expect("a child of ours")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("its output can be read");
        line.trim_end().to_owned()
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
