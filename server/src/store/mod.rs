//! Where the points go: one small interface, two implementations.
//!
//! [`embedded::EmbeddedStore`] keeps them in SQLite on this host; [`influx::InfluxStore`] sends them to InfluxDB or
//! what takes its write API. Both block: call them from a thread of their own (`spawn_blocking` will do), never from
//! an async task.

mod backup;
mod database;
pub mod elsewhere;
pub mod embedded;
mod error;
mod headed;
pub mod influx;
pub mod logs;
mod note;
pub mod profiles;
mod push;
mod samples;
mod window;
mod writer;

use std::time::Duration;

use agent_common::wire::stored::Stored;

pub use backup::backup;
pub use error::StoreError;
pub use headed::{BodyError, HeadedError, MessageError};
pub use note::{MAX_NOTE_BYTES, Note, NoteError, ReportNote};
pub use push::{Batch, Overflow, PUSHED, PushLimits, Pushed, PushedSample, STALE};
pub use window::{Window, WindowError};

/// How far a host's clock may be ahead of ours unremarked. Clocks that are kept by NTP differ by less than a second; a
/// window takes some milliseconds to us, which makes it look late, never early.
pub const SKEW_TOLERANCE: Duration = Duration::from_secs(10);

/// Measurement of what rules record: a field is a metric, under its own name. No collector may send it.
pub const RECORDED: &str = "s7mpa_rule";

/// A store of metrics windows.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Writes windows, all or none (InfluxDB has no transactions: there it is all, or as far as it came, and writing
    /// the same points again changes nothing). A window whose (host, stream, number) is in the store already is
    /// counted and left out. When this returns `Ok`, every window given is durable and may be acknowledged.
    fn write(&self, windows: &[Window]) -> Result<Written, StoreError>;

    /// Keeps alerts and reports, as far as the store has a place for them. What is there already is left out: returns
    /// how many were new. When this returns `Ok` they may be acknowledged.
    fn keep(&self, notes: &[Note]) -> Result<u64, StoreError>;

    /// Writes samples that programs have pushed, of all batches or of none. A sample of a series and time that is there already
    /// takes its place. When this returns `Ok`, what it counts is durable.
    fn push(&self, batches: &[Batch]) -> Result<Vec<Pushed>, StoreError> {
        let _ = batches;
        Err(StoreError::Unsupported {
            what: "pushed samples are kept by the embedded store alone: with server.store = influx1 or influx2 send them to that database",
        })
    }

    /// Which windows of a stream are in the store.
    fn stored(&self, host: &str, stream: &str) -> Result<Stored, StoreError>;

    /// All (host, stream) pairs that [`Store::stored`] knows something about.
    fn streams(&self) -> Result<Vec<(String, String)>, StoreError>;

    /// Asks the store how it is: can it be reached, does it take writes, what has it dropped.
    fn health(&self) -> Result<Health, StoreError>;

    /// Finishes what is open. Writing afterwards gives [`StoreError::Closed`].
    fn close(&self) -> Result<(), StoreError>;
}

/// What a write did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Windows that are new in the store.
    pub windows: u64,
    /// Windows that were there already.
    pub duplicates: u64,
    /// Points (lines) of the new windows that the store took.
    pub points: u64,
    /// Fields of these points.
    pub samples: u64,
    /// Points that the store will never take (a field whose type differs from the stored one, a time outside the
    /// server's retention). They are lost, so they are counted; sending them again would stop the stream.
    pub refused: u64,
    /// The store's words on the first of them.
    pub refusal: Option<String>,
}

/// State of a store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Health {
    /// One line for people: what it is and where.
    pub summary: String,
    /// Points that the store dropped although it had accepted them, by reason, since this program started. Anything
    /// above zero is a loss.
    pub dropped: Vec<(String, u64)>,
    /// Other counts, by name: windows, points, bytes, deletions by retention.
    pub counts: Vec<(&'static str, u64)>,
    /// What went wrong without stopping a write, newest first: rolling, retention.
    pub warnings: Vec<String>,
}
