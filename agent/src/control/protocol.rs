//! The control protocol: one JSON object a line in each direction, errors are values.
//!
//! A client writes one [`Request`] line and reads [`Reply`] lines: one, or a stream for `watch` and `alerts`.
//! Closing its writing half means "enough": a flame graph still running is answered with what it has, a stream
//! ends. A request of another version is answered with an error, never guessed at.

use std::io::{self, Write};

use agent_common::pair::ApiState;
use agent_common::wire::finding::Alert;
use agent_common::wire::postmortem::PostMortem;
use agent_common::wire::report::{Coverage, Report, SelfCost, SyscallsReport};
use postmortem::Facts;
use profile::{FoldOptions, Folded, Mode, Timeline};
use serde::{Deserialize, Serialize};

use super::postmortems::Which;
use crate::history::HistoryStats;

/// Version of the protocol. Raised when an old client would misread an answer.
pub const VERSION: u32 = 2;

/// Longest request line: the longest real one is under 200 bytes.
pub const MAX_REQUEST_BYTES: usize = 16 << 10;

/// One line to the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestLine {
    /// [`VERSION`].
    pub v: u32,
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
}

/// One line from the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplyLine {
    /// [`VERSION`].
    pub v: u32,
    /// The answer.
    #[serde(flatten)]
    pub reply: Reply,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// How the daemon is.
    Status,
    /// Folded stacks.
    Flamegraph {
        /// Whose.
        target: Target,
        /// When.
        span: Span,
        /// How to fold.
        fold: FoldOptions,
        /// Of what.
        #[serde(default)]
        mode: Mode,
        /// Leave out waits for work.
        #[serde(default)]
        no_idle: bool,
        /// Each sample by itself too, with its time.
        #[serde(default)]
        timeline: bool,
    },
    /// `agent syscalls`.
    Syscalls {
        /// One process, or all.
        pid: Option<u32>,
        /// When.
        span: Span,
    },
    /// `agent report`.
    Report {
        /// When.
        span: Span,
        /// Processes with a row of their own.
        top_n: usize,
        /// One process alone.
        #[serde(default)]
        pid: Option<u32>,
    },
    /// `agent report --html`: a report and the flame graphs that belong to it.
    Page {
        /// When.
        span: Span,
        /// Processes with a row of their own.
        top_n: usize,
        /// One process alone.
        #[serde(default)]
        pid: Option<u32>,
    },
    /// A report a window until the client has enough.
    Watch {
        /// Processes with a row of their own.
        top_n: usize,
    },
    /// Why a process ended badly.
    Explain {
        /// Which.
        which: Which,
        /// What was seen of the end as well, and of one without a post-mortem.
        #[serde(default)]
        facts: bool,
    },
    /// Open alerts, and with `follow` each change until the client has enough.
    Alerts {
        /// Go on.
        follow: bool,
    },
}

/// Whose stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The host's.
    All,
    /// One process'.
    Pid(u32),
}

/// Which windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// The past: as many milliseconds back as there are.
    LastMs(u64),
    /// The full windows that begin from now on.
    NextMs(u64),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "body", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Flamegraph`].
    Flamegraph(Box<Profile>),
    /// To [`Request::Syscalls`].
    Syscalls(SyscallsReport),
    /// To [`Request::Report`], and each of [`Request::Watch`].
    Report(Box<Report>),
    /// To [`Request::Page`].
    Page(Box<Page>),
    /// To [`Request::Explain`].
    Explained(Box<Explained>),
    /// To [`Request::Alerts`], one each.
    Alert(Box<Alert>),
    /// Messages that this client missed because it read too slowly.
    Lagged(u64),
    /// The request was not answered.
    Error(Failure),
}

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
}

/// Kinds of [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The line is not a request of this version.
    BadRequest,
    /// No such process.
    NoProcess,
    /// Nothing was observed in that span.
    NoData,
    /// Too many clients.
    Busy,
    /// It should have worked.
    Broken,
}

/// Why a process ended badly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// Name of the post-mortem; empty where there is none.
    pub id: String,
    /// It.
    pub postmortem: Option<PostMortem>,
    /// What was seen, if it was asked for.
    #[serde(default)]
    pub facts: Option<Facts>,
}

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// On-CPU samples a second and CPU.
    pub rate_hz: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// What it remembers.
    pub history: HistoryStats,
    /// Coverage of the newest window.
    pub coverage: Coverage,
    /// Cost in the newest window.
    #[serde(rename = "self")]
    pub self_cost: SelfCost,
    /// Open alerts.
    pub open_alerts: u64,
    /// The HTTP API; nothing in it: it is off, or another server's.
    #[serde(default)]
    pub api: ApiState,
    /// Windows on disk.
    #[serde(default)]
    pub recordings: RecordingsStatus,
}

/// What the daemon keeps on disk for `report --at`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingsStatus {
    /// Nothing is kept: it is switched off.
    pub off: bool,
    /// Windows written since the daemon started.
    pub windows: u64,
    /// Windows that were not: the disk was full or slow.
    pub lost: u64,
    /// Bytes on disk, those of before included.
    pub bytes: u64,
    /// Files on disk.
    pub files: u64,
    /// Why nothing is written now.
    pub error: Option<String>,
}

/// A report and the flame graphs of the same windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The report.
    pub report: Report,
    /// Flame graphs, those with something to show.
    pub graphs: Vec<Profile>,
    /// End of the windows, ns since the epoch.
    pub until_unix_ns: u64,
}

/// Folded stacks and what they cover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Whose.
    pub target: Target,
    /// Name of the process, where it is one.
    pub comm: Option<String>,
    /// Observed time, seconds.
    pub window_s: f64,
    /// Samples a second and CPU.
    pub rate_hz: u32,
    /// What it is of.
    #[serde(default)]
    pub mode: Mode,
    /// On-CPU samples in it.
    pub samples: u64,
    /// Waits in it.
    #[serde(default)]
    pub waits: u64,
    /// Time that the waits stand for, ns.
    #[serde(default)]
    pub waited_ns: u64,
    /// Time blocked in the same states according to the accounting of every switch, ns.
    #[serde(default)]
    pub blocked_ns: Option<u64>,
    /// What the probes covered in this time.
    pub coverage: Coverage,
    /// The stacks.
    pub folded: Folded,
    /// Wall clock at the start, ns since the epoch.
    #[serde(default)]
    pub start_unix_ns: u64,
    /// Each sample by itself, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
    /// Why it is shorter than was asked for, if it is.
    pub ended_early: Option<String>,
    /// Which past it is of, and of which hosts, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Reads a request line.
pub fn parse_request(line: &str) -> Result<Request, Failure> {
    let bad = |message: String| Failure::new(FailureKind::BadRequest, message);
    let value: serde_json::Value =
        serde_json::from_str(line).map_err(|error| bad(format!("not a JSON object: {error}")))?;
    match value.get("v").and_then(serde_json::Value::as_u64) {
        Some(v) if v == u64::from(VERSION) => {}
        Some(v) => {
            return Err(bad(format!(
                "the client speaks version {v} of the control protocol, this daemon ({}) version {VERSION}; \
                 use the same `agent` for both",
                env!("CARGO_PKG_VERSION")
            )));
        }
        None => return Err(bad("no version: `v` is missing".to_owned())),
    }
    serde_json::from_value::<RequestLine>(value)
        .map(|line| line.request)
        .map_err(|error| bad(error.to_string()))
}

/// Writes one line of JSON, newline included.
pub fn write_line(mut to: impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut to, value)?;
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_line() {
        for request in [
            Request::Status,
            Request::Flamegraph {
                target: Target::Pid(7),
                span: Span::LastMs(5000),
                fold: FoldOptions::default(),
                mode: Mode::Wakers,
                no_idle: true,
                timeline: true,
            },
            Request::Syscalls { pid: None, span: Span::NextMs(1000) },
            Request::Report { span: Span::NextMs(1000), top_n: 20, pid: Some(7) },
            Request::Page { span: Span::LastMs(1000), top_n: 20, pid: None },
            Request::Watch { top_n: 20 },
            Request::Alerts { follow: true },
            Request::Explain { which: Which::Unit("web".into()), facts: true },
            Request::Explain { which: Which::Last, facts: false },
        ] {
            let mut text = Vec::new();
            write_line(&mut text, &RequestLine { v: VERSION, request: request.clone() }).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert_eq!(text.matches('\n').count(), 1);
            assert_eq!(parse_request(&text), Ok(request), "{text}");
        }
    }

    #[test]
    fn another_version_and_nonsense_are_refused_in_words() {
        for (text, word) in [
            ("{\"v\":1,\"ask\":\"status\"}", "version 1"),
            ("{\"ask\":\"status\"}", "`v` is missing"),
            ("{\"v\":2,\"ask\":\"fly\"}", "fly"),
            ("hello", "not a JSON"),
        ] {
            let failure = parse_request(text).unwrap_err();
            assert_eq!(failure.kind, FailureKind::BadRequest);
            assert!(failure.message.contains(word), "{failure}");
        }
    }
}
