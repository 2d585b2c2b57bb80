//! Figures of an ingester.

use std::collections::BTreeMap;

use agent_common::abi::syscalls::{bucket_middle, bucket_of};
use agent_common::units::UnixNs;
use serde::Serialize;

/// Messages that were refused, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// Larger than is looked at.
    pub too_large: u64,
    /// Nothing in it.
    pub empty: u64,
    /// Not UTF-8.
    pub binary: u64,
    /// The first line is not line protocol; an alert or a report is not JSON.
    pub malformed: u64,
    /// The first line is no window head, or an incomplete one.
    pub head: u64,
    /// The head (the alert, the report) is of another host than the topic: a collector must not write in another's name.
    pub wrong_host: u64,
    /// The topic is none of ours.
    pub topic: u64,
    /// The store will never take it.
    pub store: u64,
}

impl Rejected {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.too_large
            + self.empty
            + self.binary
            + self.malformed
            + self.head
            + self.wrong_host
            + self.topic
            + self.store
    }
}

/// A latency histogram, buckets within 12.5 %.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latency {
    buckets: BTreeMap<u8, u64>,
    /// Values in it.
    pub count: u64,
    /// Largest, ns.
    pub max_ns: u64,
}

impl Latency {
    pub(super) fn add(&mut self, ns: u64) {
        *self.buckets.entry(bucket_of(ns)).or_default() += 1;
        self.count += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// The value below which this share (0..=1) lies, ns; 0 when empty.
    pub fn quantile_ns(&self, share: f64) -> u64 {
        let want = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (&bucket, &count) in &self.buckets {
            seen += count;
            if seen >= want {
                return bucket_middle(bucket).min(self.max_ns);
            }
        }
        self.max_ns
    }
}

impl Serialize for Latency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut s = serializer.serialize_struct("Latency", 4)?;
        s.serialize_field("count", &self.count)?;
        s.serialize_field("p50_ns", &self.quantile_ns(0.5))?;
        s.serialize_field("p99_ns", &self.quantile_ns(0.99))?;
        s.serialize_field("max_ns", &self.max_ns)?;
        s.end()
    }
}

/// One collector's stream, as the store has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StreamState {
    /// Up to here nothing is missing.
    pub contiguous: u64,
    /// Highest number.
    pub highest: u64,
    /// Numbers below it that are not there (yet).
    pub missing: u64,
}

/// Latest `status` of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostStatus {
    /// When it arrived.
    pub at: UnixNs,
    /// The message.
    pub json: String,
}

/// Messages for a store beside the metrics'.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BesideStats {
    /// New in their store.
    pub new: u64,
    /// There already.
    pub duplicates: u64,
    /// Not taken by their store: the relays send them again.
    pub failures: u64,
    /// What is wrong with their store now, in one line.
    pub error: Option<String>,
}

/// Counts since the ingester was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IngestStats {
    /// There is a connection and its subscriptions stand.
    pub connected: bool,
    /// Connections so far.
    pub connections: u64,
    /// Metrics messages that arrived.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Windows new in the store.
    pub stored: u64,
    /// Windows that were in the store already.
    pub duplicates: u64,
    /// Points of the new windows.
    pub points: u64,
    /// Messages of alerts and reports that are new in the store.
    pub notes: u64,
    /// Blocks of profiles.
    pub profiles: BesideStats,
    /// Messages of log lines.
    pub logs: BesideStats,
    /// Lines left out of windows because they were malformed.
    pub malformed_lines: u64,
    /// Points that the store will never take.
    pub refused_points: u64,
    /// Packets larger than the embedded broker takes: it closed the connections that brought them. They are not in
    /// `received`. Counts only where [`crate::broker::refusals`] listens.
    pub refused_by_broker: u64,
    /// Messages refused.
    pub rejected: Rejected,
    /// Messages left to the broker because too much was waiting for the store.
    pub shed: u64,
    /// Windows that wait for the store.
    pub waiting: u64,
    /// Writes that failed.
    pub store_failures: u64,
    /// End of the window → in the store, for windows new in the store. Those that waited in a spool are in it.
    pub latency: Latency,
    /// Streams by `host/stream`, at most 10,000.
    pub streams: BTreeMap<String, StreamState>,
    /// Hosts whose clock is ahead of ours by more than [`crate::store::SKEW_TOLERANCE`], and by how much, ns; at most
    /// 10,000. Their windows are stored with the times that they have.
    pub clocks_ahead_ns: BTreeMap<String, u64>,
    /// What is wrong with the broker now, in one line.
    pub error: Option<String>,
    /// What is wrong with the store now, in one line.
    pub store_error: Option<String>,
    /// Latest status of each host, at most 10,000.
    #[serde(skip)]
    pub hosts: BTreeMap<String, HostStatus>,
}
