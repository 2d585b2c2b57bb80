//! Figures of spool and MQTT sink.

use serde::{Deserialize, Serialize};

use crate::units::{DurNs, UnixNs};

/// Windows that fell out of the spool, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dropped {
    /// Pushed out by the spool's bound in bytes.
    pub bytes: u64,
    /// Older than the spool's bound in time.
    pub age: u64,
    /// The disk was full and so was the memory kept for that case.
    pub disk_full: u64,
    /// The disk refused for another reason.
    pub io: u64,
    /// Unreadable on disk.
    pub corrupt: u64,
    /// Cut short by a crash while being written.
    pub torn: u64,
    /// Larger than a window may be.
    pub too_large: u64,
}

impl Dropped {
    /// All of them. The figures may have come from a process that lies.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.bytes
            .saturating_add(self.age)
            .saturating_add(self.disk_full)
            .saturating_add(self.io)
            .saturating_add(self.corrupt)
            .saturating_add(self.torn)
            .saturating_add(self.too_large)
    }
}

/// Figures of a spool. Counts since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpoolFigures {
    /// Stream of the windows that are written.
    pub stream: String,
    /// Number after the highest that was taken.
    pub next_seq: u64,
    /// Windows kept.
    pub windows: u64,
    /// Of these, in memory because the disk is full.
    pub in_memory: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// End of the oldest window kept.
    pub oldest_end: Option<UnixNs>,
    /// Windows taken.
    pub appended: u64,
    /// Windows that came again and were there already.
    pub duplicates: u64,
    /// Windows acknowledged.
    pub acked: u64,
    /// Windows that fell out.
    pub dropped: Dropped,
}

/// Figures of the sink. Counts since it was started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkFigures {
    /// The broker.
    pub broker: String,
    /// There is a connection.
    pub connected: bool,
    /// Connections so far.
    pub connections: u64,
    /// Windows sent for the first time.
    pub published: u64,
    /// Windows sent again.
    pub resent: u64,
    /// Windows acknowledged for good.
    pub acked: u64,
    /// Other messages sent.
    pub messages: u64,
    /// Other messages that fell out.
    pub dropped_messages: u64,
    /// Windows sent and not yet acknowledged.
    pub on_their_way: u64,
    /// The spool; what fell out there is in `spool.dropped`.
    pub spool: SpoolFigures,
    /// The spool of profiles.
    pub profiles: SpoolFigures,
    /// The spool of log lines.
    pub logs: SpoolFigures,
    /// Age of the oldest window kept.
    pub oldest_age: Option<DurNs>,
    /// What is wrong now, in one line; `None` when all is well.
    pub error: Option<String>,
    /// Its kind, as a word.
    pub error_kind: Option<String>,
    /// Remote write, if it is configured.
    pub export: Option<ExportFigures>,
    /// Pyroscope, if it is configured; a sample is one of a profile.
    pub pyroscope: Option<ExportFigures>,
    /// OTLP profiles, if they are configured, likewise.
    pub otlp_profiles: Option<ExportFigures>,
    /// Loki, if it is configured; a sample is a line.
    pub loki: Option<ExportFigures>,
    /// OTLP logs, if they are configured, likewise.
    pub otlp_logs: Option<ExportFigures>,
}

/// Figures of an export. Counts since it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportFigures {
    /// Samples that the receiver has taken.
    pub sent_samples: u64,
    /// Samples that wait.
    pub waiting_samples: u64,
    /// Samples that fell out of the queue, and those that the receiver refused for good.
    pub lost_samples: u64,
    /// Why the newest request was not taken, in one line; `None`: it was.
    pub error: Option<String>,
}

/// How the HTTP API of the server part is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiState {
    /// Where it is.
    pub url: Option<String>,
    /// SHA-256 of its certificate, if it speaks TLS.
    pub fingerprint: Option<String>,
    /// Why it does not run, in one line.
    pub problem: Option<String>,
}
