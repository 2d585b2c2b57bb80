//! One line, and the stream that it belongs to.

use std::fmt;
use std::sync::Arc;

use agent_common::units::UnixNs;
use serde::{Deserialize, Serialize};

/// How grave a line is, as syslog counts it: 0 is the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Severity {
    /// The system is unusable.
    Emergency = 0,
    /// Action must be taken at once.
    Alert = 1,
    /// A critical condition: fatal, panic.
    Critical = 2,
    /// An error.
    Error = 3,
    /// A warning.
    Warning = 4,
    /// Normal, but significant.
    Notice = 5,
    /// Information.
    Info = 6,
    /// For debugging: debug, trace.
    Debug = 7,
    /// The line does not say.
    Unknown = 8,
}

impl Severity {
    /// All, the gravest first.
    pub const ALL: [Self; 9] = [
        Self::Emergency,
        Self::Alert,
        Self::Critical,
        Self::Error,
        Self::Warning,
        Self::Notice,
        Self::Info,
        Self::Debug,
        Self::Unknown,
    ];

    /// By syslog's number; what is none is [`Self::Unknown`].
    #[must_use]
    pub fn of_number(number: u64) -> Self {
        Self::ALL.get(number.min(8) as usize).copied().unwrap_or(Self::Unknown)
    }

    /// Its name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Emergency => "emergency",
            Self::Alert => "alert",
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where lines come from, by labels: `host`, `source` (`journal`, `kmsg`, `file`, `container`, `stdio`), and what of `file`, `unit`,
/// `container`, `pod`, `namespace`, `comm`, `stream` (`stdout`, `stderr`) is known. Sorted by name, each name once. Clones share them: each
/// line goes with its stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stream(Arc<[(String, String)]>);

impl Stream {
    /// Of these labels; of two with one name the last counts, and an empty value is none.
    #[must_use]
    pub fn new(labels: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, value) in labels {
            let (name, value) = (name.into(), value.into());
            all.retain(|(known, _)| *known != name);
            if !value.is_empty() {
                all.push((name, value));
            }
        }
        all.sort_unstable();
        Self(all.into())
    }

    /// The value of a label.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All labels, by name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// One line of a log, or several that belong together: a stack trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When: as the line says, else when it was read. Unix time.
    pub at: UnixNs,
    /// How grave.
    pub severity: Severity,
    /// Process that wrote it; 0: not known.
    pub pid: u32,
    /// When that process started, boot time in ns; 0: not known.
    pub start_ns: u64,
    /// Where it begins in its source: a byte offset, or a sequence number. Rises within a source, and is what a line that is sent
    /// twice is known by.
    pub position: u64,
    /// The text, without the end of the line; several lines have `\n` between them. What is not UTF-8 is replaced by U+FFFD.
    pub message: String,
    /// Further fields, in their order: of JSON, logfmt, the journal.
    pub fields: Vec<(String, String)>,
}

impl Record {
    /// Bytes of its message and fields.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len());
        self.message.len() + fields.sum::<usize>()
    }
}
