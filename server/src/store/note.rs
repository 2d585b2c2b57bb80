//! Alerts and reports: what is kept beside the windows.

use agent_common::units::UnixNs;
use agent_common::wire::finding::{Alert, AlertState};
use agent_common::wire::line::Point;
use serde::Deserialize;

/// Largest alert or report that is kept. Alerts have some 2 KB, reports of 300 processes some 100 KB.
pub const MAX_NOTE_BYTES: usize = 1 << 20;

/// A message that is kept as it came.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// One step in the life of an alert: (host, id, time, state) is its identity, so it can come any number of times.
    Alert {
        /// Read.
        alert: Box<Alert>,
        /// As it came.
        json: String,
    },
    /// A report.
    Report(ReportNote),
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportNote {
    /// Whose.
    pub host: String,
    /// End of the time that it is about, by the clock of its host; of an older agent's when it arrived.
    pub at: UnixNs,
    /// It was made because an alert opened.
    pub of_alert: bool,
    /// As it came.
    pub json: String,
}

/// Why a payload is no alert or report.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// Larger than [`MAX_NOTE_BYTES`].
    #[error("too large")]
    TooLarge,
    /// Not UTF-8.
    #[error("not text")]
    Binary,
    /// Not JSON, or a field is missing.
    #[error("not the JSON that it should be: {0}")]
    Json(#[from] serde_json::Error),
    /// The host in it is not the topic's.
    #[error("of another host than its topic")]
    Host,
}

impl Note {
    /// Reads an alert that came on a topic of `host`.
    pub fn alert(host: &str, payload: &[u8]) -> Result<Self, NoteError> {
        let json = text(payload)?;
        let alert: Box<Alert> = serde_json::from_str(json)?;
        if alert.host != host {
            return Err(NoteError::Host);
        }
        Ok(Self::Alert { alert, json: json.to_owned() })
    }

    /// Reads a report that came on the topic of `host`. Its figures are for those who show it: here it is JSON that
    /// names its host.
    pub fn report(host: &str, payload: &[u8], arrived: UnixNs) -> Result<Self, NoteError> {
        #[derive(Deserialize)]
        struct Named {
            host: String,
            #[serde(default)]
            until_unix_ns: u64,
            #[serde(default)]
            of_alert: bool,
        }
        let json = text(payload)?;
        let Named { host: named, until_unix_ns, of_alert } = serde_json::from_str(json)?;
        if named != host {
            return Err(NoteError::Host);
        }
        let at = if until_unix_ns == 0 { arrived } else { UnixNs(until_unix_ns) };
        Ok(Self::Report(ReportNote { host: named, at, of_alert, json: json.to_owned() }))
    }

    /// An alert as a point of measurement `alert`; `None` for a report. The tags distinguish the alerts of one window.
    pub fn to_point(&self) -> Option<Point> {
        let Self::Alert { alert, .. } = self else { return None };
        let finding = &alert.finding;
        let subject = &finding.subject;
        let mut point = Point::new("alert", UnixNs(alert.at_unix_ns))
            .tag("host", &*alert.host)
            .tag("class", &*finding.class)
            .tag("state", state(alert.state))
            .tag("kind", &*subject.kind);
        if let Some(comm) = &subject.comm {
            point = point.tag("comm", &**comm);
        }
        if let Some(pid) = subject.pid {
            point = point.tag("pid", pid.to_string());
        }
        Some(
            point
                .field("id", &*alert.id)
                .field("opened_unix_ns", alert.opened_unix_ns)
                .field("lost_ns_per_s", finding.lost_ns_per_s)
                .field("share_pct", finding.share_pct)
                .field("confidence", finding.confidence),
        )
    }

    /// Bytes of it.
    pub fn len(&self) -> usize {
        match self {
            Self::Alert { json, .. } | Self::Report(ReportNote { json, .. }) => json.len(),
        }
    }

    /// Never: both are JSON objects.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The word for it, as in JSON.
pub(super) const fn state(state: AlertState) -> &'static str {
    match state {
        AlertState::Open => "open",
        AlertState::Update => "update",
        AlertState::Resolved => "resolved",
    }
}

fn text(payload: &[u8]) -> Result<&str, NoteError> {
    if payload.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLarge);
    }
    std::str::from_utf8(payload).map_err(|_| NoteError::Binary)
}
