//! How the server is: what arrived, what was stored, what was refused, and what the process itself takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use agent_common::settings::server::Retention;
use agent_common::wire::silence::Silences;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::text::Page;
use crate::api::push::Place;
use crate::api::work::Work;
use crate::ingest::{BesideStats, Ingest, IngestStats};
use crate::live::Feed;
use crate::push::{PushStats, Pusher, Reason};
use crate::questions::Collector;
use crate::rules::Board;

/// What the handler of `/metrics` shares.
#[derive(Debug, Clone)]
pub(in crate::api) struct Shared {
    pub(in crate::api) work: Work,
    pub(in crate::api) health: Health,
}

/// Counts of the API since it was made.
#[derive(Debug, Default)]
pub(in crate::api) struct Counts {
    pub(in crate::api) connections: AtomicU64,
    pub(in crate::api) refused_connections: AtomicU64,
    /// Answers by the first digit of their status.
    answers: [AtomicU64; 6],
}

impl Counts {
    pub(in crate::api) fn count(&self, status: StatusCode) {
        if let Some(class) = self.answers.get(usize::from(status.as_u16() / 100)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How the server is. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Health {
    counts: Arc<Counts>,
    ingest: Arc<Mutex<Option<Ingest>>>,
    feed: Feed,
    rules: Arc<Mutex<Option<Arc<Board>>>>,
    place: Place,
    collector: Arc<Mutex<Option<Collector>>>,
    silences: Silences,
    retention: Arc<Mutex<Option<Retention>>>,
}

impl Health {
    /// What people silence is told to the holders of this.
    #[must_use]
    pub fn new(silences: Silences) -> Self {
        Self { silences, ..Self::default() }
    }

    pub(in crate::api) const fn silences(&self) -> &Silences {
        &self.silences
    }

    /// The ingester whose figures are shown, and whose news are told, from now on.
    pub fn watch(&self, ingest: &Ingest) {
        ingest.tell(self.feed.clone());
        *self.ingest.lock().unwrap_or_else(PoisonError::into_inner) = Some(ingest.clone());
    }

    /// The rules that are evaluated from now on, and the functions that queries may call.
    pub fn evaluate(&self, rules: Arc<Board>) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Some(rules);
    }

    /// Where pushed samples go from now on.
    pub fn push_to(&self, pusher: Pusher) {
        self.place.set(pusher);
    }

    pub(in crate::api) const fn place(&self) -> &Place {
        &self.place
    }

    /// How long the store keeps things, from now on.
    pub fn retains(&self, retention: Retention) {
        *self.retention.lock().unwrap_or_else(PoisonError::into_inner) = Some(retention);
    }

    /// How long the store keeps things, where that is known.
    pub(in crate::api) fn retention(&self) -> Option<Retention> {
        self.retention.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What arrived and was stored, as JSON.
    pub(in crate::api) fn ingested(&self) -> Option<Value> {
        let ingest = self.ingest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stats = ingest?.stats();
        Some(json!({
            "connected": stats.connected,
            "waiting_windows": stats.waiting,
            "received_windows": stats.received,
            "stored_windows": stats.stored,
            "missing_windows": stats.streams.values().map(|stream| stream.missing).sum::<u64>(),
            "store_failures": stats.store_failures,
        }))
    }

    /// The collector of this host, which is asked about the moment from now on.
    pub fn ask(&self, collector: Collector) {
        *self.collector.lock().unwrap_or_else(PoisonError::into_inner) = Some(collector);
    }

    pub(in crate::api) fn collector(&self) -> Option<Collector> {
        self.collector.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::api) fn rules(&self) -> Option<Arc<Board>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::api) const fn feed(&self) -> &Feed {
        &self.feed
    }

    pub(in crate::api) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    pub(super) fn write(&self, page: &mut Page, store_is_read: bool) {
        let help = "Whether the store could be read for this page.";
        page.gauge("s7mpa_server_store_readable", help).value(u64::from(store_is_read));
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut answers = page
            .counter("s7mpa_server_http_requests_total", "Requests answered, by the class of the status.");
        for (class, count) in self.counts.answers.iter().enumerate().skip(1) {
            answers.sample(&[("code", &format!("{class}xx"))], read(count) as f64);
        }
        page.counter("s7mpa_server_http_connections_total", "Connections accepted.")
            .value(read(&self.counts.connections));
        page.counter("s7mpa_server_http_refused_connections_total", "Connections closed for want of room.")
            .value(read(&self.counts.refused_connections));
        let ingest = self.ingest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(ingest) = ingest {
            of_ingest(page, &ingest.stats());
        }
        if let Some(pusher) = self.place.get() {
            of_push(page, &pusher.stats());
        }
        of_process(page);
    }
}

fn of_ingest(page: &mut Page, stats: &IngestStats) {
    let gauges = [
        (
            "s7mpa_server_broker_connected",
            "Whether there is a connection to the broker.",
            u64::from(stats.connected),
        ),
        ("s7mpa_server_waiting_windows", "Windows that wait for the store.", stats.waiting),
        ("s7mpa_server_streams", "Collectors' streams that the store has.", stats.streams.len() as u64),
        (
            "s7mpa_server_missing_windows",
            "Windows that the store lacks, of numbers below the newest.",
            stats.streams.values().map(|stream| stream.missing).sum(),
        ),
        ("s7mpa_server_clocks_ahead", "Hosts whose clock is ahead.", stats.clocks_ahead_ns.len() as u64),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help).value(value);
    }
    let counters = [
        ("s7mpa_server_received_windows_total", "Windows that arrived.", stats.received),
        ("s7mpa_server_received_bytes_total", "Their bytes.", stats.received_bytes),
        ("s7mpa_server_stored_windows_total", "Windows new in the store.", stats.stored),
        ("s7mpa_server_duplicate_windows_total", "Windows that the store had already.", stats.duplicates),
        ("s7mpa_server_stored_points_total", "Points of the new windows.", stats.points),
        ("s7mpa_server_stored_notes_total", "Messages of alerts and reports new in the store.", stats.notes),
        ("s7mpa_server_malformed_lines_total", "Lines left out of windows.", stats.malformed_lines),
        ("s7mpa_server_refused_points_total", "Points that the store will never take.", stats.refused_points),
        ("s7mpa_server_refused_packets_total", "Packets too large for the broker.", stats.refused_by_broker),
        ("s7mpa_server_shed_messages_total", "Messages left to the broker for want of room.", stats.shed),
        ("s7mpa_server_store_failures_total", "Writes of the store that failed.", stats.store_failures),
    ];
    for (name, help, value) in counters {
        page.counter(name, help).value(value);
    }
    let rejected = &stats.rejected;
    let reasons = [
        ("too_large", rejected.too_large),
        ("empty", rejected.empty),
        ("binary", rejected.binary),
        ("malformed", rejected.malformed),
        ("head", rejected.head),
        ("wrong_host", rejected.wrong_host),
        ("topic", rejected.topic),
        ("store", rejected.store),
    ];
    let mut family = page.counter("s7mpa_server_rejected_messages_total", "Messages refused, by reason.");
    for (reason, count) in reasons {
        family.sample(&[("reason", reason)], count as f64);
    }
    of_beside(page, [("profile", &stats.profiles), ("log", &stats.logs)]);
}

/// Messages for the stores beside the metrics', by their channel.
fn of_beside(page: &mut Page, channels: [(&str, &BesideStats); 2]) {
    type Count = fn(&BesideStats) -> u64;
    let families: [(_, _, Count); 3] = [
        ("s7mpa_server_stored_messages_total", "Messages new in their store, by channel.", |stats| stats.new),
        ("s7mpa_server_duplicate_messages_total", "Messages that their store had already.", |stats| {
            stats.duplicates
        }),
        (
            "s7mpa_server_unstored_messages_total",
            "Messages that their store did not take: they come again.",
            |stats| stats.failures,
        ),
    ];
    for (name, help, count) in families {
        let mut family = page.counter(name, help);
        for (channel, stats) in channels {
            family.sample(&[("channel", channel)], count(stats) as f64);
        }
    }
}

fn of_push(page: &mut Page, stats: &PushStats) {
    let counters = [
        (
            "s7mpa_server_pushed_samples_total",
            "Samples that programs pushed and that were stored.",
            stats.samples,
        ),
        ("s7mpa_server_push_writes_total", "Transactions that stored them.", stats.writes),
        (
            "s7mpa_server_push_failures_total",
            "Requests not stored: the store failed, or too much was waiting.",
            stats.failures,
        ),
        (
            "s7mpa_server_push_left_out_total",
            "Pushed texts, exemplars and native histograms: nothing here can be asked for them.",
            stats.left_out,
        ),
    ];
    for (name, help, value) in counters {
        page.counter(name, help).value(value);
    }
    let help = "Pushed samples refused (of malformed text, lines), by reason.";
    let mut family = page.counter("s7mpa_server_push_refused_total", help);
    for reason in Reason::ALL {
        family.sample(&[("reason", reason.name())], stats.refused(reason) as f64);
    }
}

/// The names that every client library of Prometheus has for it.
fn of_process(page: &mut Page) {
    /// Ticks of `/proc/PID/stat` a second: `USER_HZ` of all architectures here.
    const TICKS: f64 = 100.0;
    const PAGE_BYTES: u64 = 4096;
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    let Some((_, rest)) = stat.rsplit_once(')') else { return };
    let field = |nth: usize| rest.split_whitespace().nth(nth - 3).and_then(|field| field.parse::<u64>().ok());
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        page.counter("process_cpu_seconds_total", "CPU time of the server's process.")
            .sample(&[], (user + system) as f64 / TICKS);
    }
    if let Some(pages) = field(24) {
        page.gauge("process_resident_memory_bytes", "Its memory.").value(pages * PAGE_BYTES);
    }
    let boot = std::fs::read_to_string("/proc/stat").ok().and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok())
    });
    if let (Some(ticks), Some(boot)) = (field(22), boot) {
        page.gauge("process_start_time_seconds", "When it began, Unix time.")
            .sample(&[], boot as f64 + ticks as f64 / TICKS);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Its open files.").value(open.count() as u64);
    }
}
