//! The process `s7mpa-plugin`: it alone starts foreign programs, never as root.
//!
//! ```text
//! collector ── stdin: Settings, then open for as long as the daemon lives ──▶ plugin
//!           ── pair "alerts":     Request::Alert     ──▶ ──▶ alerts.exec
//!           ── pair "debuginfod": Request::Debuginfo ──▶ ──▶ debuginfod-find
//!           ◀─ Reply, one a request, in order ──
//! ```
//!
//! Which program runs is in the settings, not in a request. Requests and replies are lines of JSON, at most
//! [`MAX_LINE`] long. The process has no capabilities and a user of its own; programs have its limits, its system
//! call filter, a process group of their own and a time-out. What they leave behind is killed.

mod program;
mod serve;

use std::io::{self, BufRead, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use agent_common::wire::finding::Alert;
use serde::{Deserialize, Serialize};

pub use serve::{confine, serve};

/// Longest line: an alert with its stacks is some KiB.
pub const MAX_LINE: u64 = 1 << 20;
/// The process's name.
pub const COMM: &str = sandbox::Process::Plugin.comm();
/// The client of debuginfod's servers, of elfutils.
pub const DEBUGINFOD_CLIENT: &str = "debuginfod-find";

/// What runs, and for how long. The first line on standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The program for alerts.
    pub exec: Option<PathBuf>,
    /// What one run of it may take.
    pub timeout: Duration,
    /// Directories that programs may write to, beside their own.
    pub write_dirs: Vec<PathBuf>,
    /// Their own: home and place for temporary files.
    pub home: PathBuf,
    /// Debug files are fetched.
    pub debuginfod: bool,
    /// Level of its own log; empty: as the daemon's.
    pub log_level: String,
    /// Form of its own log.
    pub log_json: bool,
}

/// Programs, their libraries and settings, name resolution. Not `/var/lib` and `/run` as a whole: the store and the
/// broker's password are there, and where no users were made both run as `nobody`.
const READABLE: &[&str] = &[
    "/bin",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/opt",
    "/proc",
    "/sbin",
    "/srv",
    "/sys",
    "/usr",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
];

impl Settings {
    /// What programs may read beside the directories that they may write to: the system's, and where the program for
    /// alerts lies.
    pub(crate) fn readable(&self) -> Vec<PathBuf> {
        let own = self.exec.as_ref().and_then(|exec| exec.parent()).map(Into::into);
        READABLE.iter().map(Into::into).chain(own).collect()
    }

    /// Where debuginfod's client keeps files, if they are fetched.
    #[must_use]
    pub fn debuginfod_cache(&self) -> Option<PathBuf> {
        self.debuginfod.then(|| self.home.join("debuginfod"))
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Runs the program for alerts: JSON on its standard input, the main fields in its environment.
    Alert(Box<Alert>),
    /// Fetches a debug file into the cache.
    Debuginfo {
        /// Hexadecimal digits.
        build_id: String,
    },
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// Done.
    Done,
    /// Not done. It may work later.
    Failed(String),
}

/// The next line, without its end; `None` at the end of the stream. A longer one than [`MAX_LINE`] is an error.
pub fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    stream.take(MAX_LINE).read_line(&mut text)?;
    match text.pop() {
        Some('\n') => Ok(Some(text)),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a line is cut short or too long")),
        None => Ok(None),
    }
}

/// A message as a line.
pub fn line(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        let mut long = io::BufReader::new(io::repeat(b'a'));
        assert_eq!(read_line(&mut long).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read_line(&mut &b"cut"[..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read_line(&mut &b""[..]).unwrap(), None);
        assert_eq!(read_line(&mut &b"one\ntwo\n"[..]).unwrap().as_deref(), Some("one"));
    }

    #[test]
    fn a_request_names_no_program() {
        let smuggled = r#"{"debuginfo":{"build_id":"ab","program":"/bin/sh"}}"#;
        assert!(serde_json::from_str::<Request>(smuggled).is_err());
    }
}
