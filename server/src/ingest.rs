//! From the broker into the store: check, batch, write, acknowledge.
//!
//! One task owns the link and the queue; one write runs at a time on a blocking thread. A window is acknowledged to
//! the broker after the store has it, and to its collector by a `stored` message (retained) after that. Whatever dies
//! in between, the window comes again, and the store leaves out what it has.
//!
//! Profiles have a store and acknowledgements of their own: what that store does not take is not held here, the relay sends
//! it again.
//!
//! Nothing that arrives stops the stream: what cannot be used is counted by reason, acknowledged to the broker and
//! forgotten. A store that is away stops the stream until it is back, which the collectors' spools bear.

mod acks;
mod session;
mod stats;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use agent_common::units::UnixNs;
use agent_common::wire::stored::{RangeSet, Stored};
use agent_common::wire::topic::{self, Channel};
use link::{Backoff, Link, Message};

use self::acks::Ticket;
use crate::live::Feed;
use crate::store::logs::{self, LogStore};
use crate::store::profiles::{self, ProfileStore};
use crate::store::{Note, Store, Window};
pub use stats::{BesideStats, HostStatus, IngestStats, Latency, Rejected, StreamState};

/// How to ingest.
#[derive(Debug, Clone)]
pub struct Options {
    /// The connection. The client id is also the ingester's name in its own status topic.
    pub broker: link::Options,
    /// Group of a shared subscription, for several ingesters. `None`: this one takes everything.
    pub group: Option<String>,
    /// Largest payload that is looked at.
    pub max_payload: usize,
    /// Windows in one write.
    pub batch_windows: usize,
    /// Bytes in one write (one window always is).
    pub batch_bytes: usize,
    /// Bytes that may wait for the store. More is left to the broker unacknowledged: the broker's own window is the
    /// first bound (20 messages with Mosquitto, 100 with the embedded one), but Mosquitto 2.0.11 was seen to run
    /// 3,848 ahead.
    pub backlog_bytes: usize,
    /// First wait after a failed connection, doubled with jitter …
    pub backoff_first: Duration,
    /// … up to this.
    pub backoff_most: Duration,
    /// Asks the embedded broker what it refused.
    pub refused_by_broker: Option<fn() -> u64>,
    /// Interval of status messages.
    pub status_every: Duration,
}

impl Options {
    /// Defaults for a connection.
    pub fn new(broker: link::Options) -> Self {
        Self {
            broker: link::Options { manual_acks: true, ..broker },
            group: None,
            max_payload: crate::broker::MAX_PACKET,
            batch_windows: 64,
            batch_bytes: 8 << 20,
            backlog_bytes: 128 << 20,
            backoff_first: Duration::from_millis(250),
            backoff_most: Duration::from_secs(10),
            refused_by_broker: None,
            status_every: Duration::from_secs(10),
        }
    }
}

/// Entries of the per-host and per-stream tables: about 4 MiB with a small status each.
const HOSTS: usize = 10_000;

fn now() -> UnixNs {
    UnixNs(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64)
}

/// A window that waits for the store.
#[derive(Debug)]
struct Pending {
    window: Window,
    bytes: usize,
    /// What to acknowledge.
    ticket: Ticket,
}

/// What is shared with whoever asks.
#[derive(Debug, Default)]
struct Shared {
    stats: Mutex<IngestStats>,
    /// Who hears of what was stored.
    feed: Mutex<Option<Feed>>,
}

impl Shared {
    /// The data is consistent after each statement, so a panic elsewhere is no reason to stop.
    fn stats(&self) -> MutexGuard<'_, IngestStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feed(&self) -> Option<Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An ingester; [`Ingest::run`] does the work. Clones show the same figures.
#[derive(Debug, Clone)]
pub struct Ingest {
    options: Arc<Options>,
    store: Arc<dyn Store>,
    /// `None`: profiles are not taken.
    profiles: Option<Arc<ProfileStore>>,
    /// `None`: log lines are not taken.
    logs: Option<Arc<LogStore>>,
    shared: Arc<Shared>,
}

impl Ingest {
    /// An ingester that does not run yet.
    pub fn new(options: Options, store: Arc<dyn Store>) -> Self {
        Self { options: Arc::new(options), store, profiles: None, logs: None, shared: Arc::default() }
    }

    /// The same that takes profiles, too.
    #[must_use]
    pub fn with_profiles(self, profiles: Option<Arc<ProfileStore>>) -> Self {
        Self { profiles, ..self }
    }

    /// The same that takes log lines, too.
    #[must_use]
    pub fn with_logs(self, logs: Option<Arc<LogStore>>) -> Self {
        Self { logs, ..self }
    }

    /// Figures since it was made.
    pub fn stats(&self) -> IngestStats {
        let refused_by_broker = self.options.refused_by_broker.map_or(0, |count| count());
        IngestStats { refused_by_broker, ..self.shared.stats().clone() }
    }

    /// Tells of what is stored from now on.
    pub fn tell(&self, feed: Feed) {
        *self.shared.feed.lock().unwrap_or_else(PoisonError::into_inner) = Some(feed);
    }

    /// Runs until `shutdown` is ready, then writes what it has and says goodbye.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut options = self.options.broker.clone();
        options.last_will = Some(self.status("offline"));
        let mut backoff = Backoff::new(self.options.backoff_first, self.options.backoff_most);
        let mut work = Work::default();
        tokio::pin!(shutdown);
        loop {
            work.link += 1;
            let failure = match Link::open(&options) {
                Ok(link) => {
                    let mut session = session::Session::new(self, link, &mut work);
                    match session.run(&mut backoff, &mut shutdown).await {
                        Ok(session::End::Shutdown) => return,
                        Ok(session::End::Reconnect) => continue,
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            {
                let mut stats = self.shared.stats();
                stats.connected = false;
                if stats.error.as_ref() != Some(&failure.text) {
                    tracing::warn!(kind = ?failure.kind, "{failure}");
                }
                stats.error = Some(failure.text);
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.failed()) => {}
                () = &mut shutdown => return,
            }
        }
    }

    fn status(&self, word: &str) -> Message {
        let stats = (word == "online").then(|| self.stats());
        let payload = serde_json::json!({
            "state": word,
            "host": self.options.broker.client_id,
            "version": env!("CARGO_PKG_VERSION"),
            "ingest": stats,
        });
        Message {
            topic: topic::of(&self.options.broker.client_id, &Channel::Status),
            payload: payload.to_string().into_bytes(),
            retain: true,
        }
    }
}

/// What outlives a connection.
#[derive(Debug, Default)]
struct Work {
    /// Count of connections.
    link: u64,
    queue: VecDeque<Pending>,
    /// Alerts and reports that wait for the store.
    notes: VecDeque<(Note, Ticket)>,
    /// Blocks of profiles that wait for their store.
    profiles: Waiting<profiles::Message>,
    /// Log lines that wait for theirs.
    logs: Waiting<logs::Message>,
    /// Bytes of all.
    queue_bytes: usize,
    /// `stored` messages to publish by topic and stream, latest of each stream.
    to_tell: BTreeMap<(String, String), Stored>,
    /// Windows that the store will never take. They are reported as stored, or the relay would send them for ever.
    hopeless: BTreeMap<(String, String), RangeSet>,
    /// Hosts whose clock was warned about, at most [`HOSTS`].
    warned_of_clock: BTreeSet<String>,
    /// Messages were left to the broker because of [`Options::backlog_bytes`].
    shed: bool,
}

/// Messages for a store beside the metrics', with their bytes.
#[derive(Debug)]
struct Waiting<M>(Vec<(M, usize, Ticket)>);

impl<M> Default for Waiting<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M> Waiting<M> {
    fn push(&mut self, message: M, bytes: usize, ticket: Ticket, all_bytes: &mut usize) {
        *all_bytes += bytes;
        self.0.push((message, bytes, ticket));
    }

    fn take(&mut self, all_bytes: &mut usize) -> (Vec<M>, Vec<Ticket>) {
        let taken = std::mem::take(&mut self.0);
        *all_bytes -= taken.iter().map(|(_, bytes, _)| bytes).sum::<usize>();
        taken.into_iter().map(|(message, _, ticket)| (message, ticket)).unzip()
    }
}

impl Work {
    /// Queues a window. One that waits already (the broker or the collector sent it again while the store was away)
    /// is not queued twice: then the ticket of the older message comes back.
    fn push(&mut self, pending: Pending) -> Option<Ticket> {
        let head = &pending.window.head;
        let same = |p: &&mut Pending| {
            p.window.head.seq == head.seq
                && p.window.head.stream == head.stream
                && p.window.head.host == head.host
        };
        if let Some(waiting) = self.queue.iter_mut().find(same) {
            return Some(std::mem::replace(&mut waiting.ticket, pending.ticket));
        }
        self.queue_bytes += pending.bytes;
        self.queue.push_back(pending);
        None
    }

    /// Nothing waits for the store.
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.notes.is_empty() && self.profiles.0.is_empty() && self.logs.0.is_empty()
    }

    fn push_note(&mut self, note: Note, ticket: Ticket) {
        self.queue_bytes += note.len();
        self.notes.push_back((note, ticket));
    }

    fn take_notes(&mut self) -> Vec<(Note, Ticket)> {
        let notes = Vec::from(std::mem::take(&mut self.notes));
        self.queue_bytes -= notes.iter().map(|(note, _)| note.len()).sum::<usize>();
        notes
    }

    fn take_batch(&mut self, options: &Options) -> Vec<Pending> {
        let mut bytes = 0;
        let mut batch = Vec::new();
        while let Some(next) = self.queue.front() {
            let enough = batch.len() >= options.batch_windows || bytes + next.bytes > options.batch_bytes;
            if enough && !batch.is_empty() {
                break;
            }
            bytes += next.bytes;
            batch.extend(self.queue.pop_front());
        }
        self.queue_bytes -= bytes;
        batch
    }

    fn put_back(&mut self, batch: Vec<Pending>, notes: Vec<(Note, Ticket)>) {
        for (note, ticket) in notes.into_iter().rev() {
            self.queue_bytes += note.len();
            self.notes.push_front((note, ticket));
        }
        for pending in batch.into_iter().rev() {
            self.queue_bytes += pending.bytes;
            self.queue.push_front(pending);
        }
    }
}
