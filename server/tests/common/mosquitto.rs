//! A real Mosquitto, started by a test.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Far beyond what a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until something is true, or fails with its name.
pub(crate) fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port").port()
}

/// A program of the Debian packages that `cargo xtask test` fetches, else of this host; with its libraries.
fn tool(program: &str) -> Command {
    let Some(root) = std::env::var_os("S7MPA_TOOLS").map(PathBuf::from) else {
        return Command::new(program.rsplit('/').next().unwrap_or(program));
    };
    let mut command = Command::new(root.join(program));
    command.env("LD_LIBRARY_PATH", root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH)));
    command
}

fn started<T>(program: &str, result: std::io::Result<T>) -> T {
    result.unwrap_or_else(|e| {
        panic!("cannot start {program}: {e}; `cargo xtask test` fetches it and sets S7MPA_TOOLS")
    })
}

/// Mosquitto on a free port, with persistence.
pub(crate) struct Mosquitto {
    process: Option<Child>,
    dir: PathBuf,
    pub(crate) port: u16,
    settings: String,
}

#[allow(dead_code, reason = "each test program uses its part")]
impl Mosquitto {
    /// Starts it in `dir` with these further settings.
    pub(crate) fn start(dir: &Path, settings: &str) -> Self {
        let dir = dir.join("mosquitto");
        fs::create_dir_all(&dir).expect("directory");
        let mut broker = Self { process: None, dir, port: free_port(), settings: settings.to_owned() };
        // Another process may take the port in between.
        for _ in 0..5 {
            broker.start_again();
            std::thread::sleep(Duration::from_millis(50));
            let process = broker.process.as_mut().expect("just started");
            if process.try_wait().expect("its state").is_none() {
                return broker;
            }
            broker.port = free_port();
        }
        panic!("mosquitto ends at once: {}", fs::read_to_string(broker.dir.join("log")).unwrap_or_default());
    }

    /// One that knows a single user.
    pub(crate) fn with_user(dir: &Path, user: &str, password: &str) -> Self {
        let file = dir.join("passwords");
        let mut command = tool("usr/bin/mosquitto_passwd");
        let made = command.args(["-b", "-c"]).arg(&file).args([user, password]).status();
        assert!(started("mosquitto_passwd", made).success());
        Self::start(dir, &format!("allow_anonymous false\npassword_file {}", file.display()))
    }

    pub(crate) fn start_again(&mut self) {
        let file = self.dir.join("mosquitto.conf");
        let anonymous = if self.settings.contains("allow_anonymous") { "" } else { "allow_anonymous true\n" };
        // `user root`: it would otherwise change to a user that this machine may not have.
        let text = format!(
            "listener {} 127.0.0.1\n{anonymous}user root\npersistence true\npersistence_location {}/\n\
             autosave_interval 1\nmax_queued_messages 0\n{}\n",
            self.port,
            self.dir.display(),
            self.settings
        );
        fs::write(&file, text).expect("mosquitto.conf");
        let log = fs::File::create(self.dir.join("log")).expect("log");
        let mut command = tool("usr/sbin/mosquitto");
        let process = command.arg("-c").arg(&file).stdout(Stdio::null()).stderr(log).spawn();
        self.process = Some(started("mosquitto", process));
        let (process, port) = (self.process.as_mut().expect("just started"), self.port);
        eventually("mosquitto listens or ends", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
                || process.try_wait().is_ok_and(|state| state.is_some())
        });
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("kill");
            process.wait().expect("wait");
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}
