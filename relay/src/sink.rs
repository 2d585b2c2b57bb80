//! MQTT sink: windows and profiles out of their spools, and reports, alerts and status beside them.
//!
//! Publishers do not wait: only [`MqttSink::room`] waits for the disk or the network. Two
//! threads do the work: *spool* writes windows to disk, *mqtt* sends them in order, [`MqttConfig::window`] at a time, and
//! drops each when it is acknowledged. Blocks of profiles and of log lines are to a spool what windows are; each of the streams
//! has a spool, and numbers and acknowledgements of its own ([`Stream::SPOOLED`]):
//!
//! * [`Delivery::Store`]: when an ingester's `stored` message says that the store has it. Windows that are not named in
//!   time are sent again; the store leaves out what it has.
//! * [`Delivery::Broker`]: when the broker has it. For consumers that do not answer, such as Telegraf.
//!
//! [`MqttSink::acks`] returns what the collector need not keep any longer: a window when it is on the disk (or delivered, if the
//! disk is full), a message when the broker has it, or when it was dropped and counted.

mod hand_off;
mod send;
mod session;
mod status;
mod write;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use agent_common::pair::{Ack, SinkFigures, Stream};
use agent_common::settings::BrokerAccess;
pub use agent_common::settings::relay::Delivery;
use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::stored::{MAX_RANGES, RangeSet};
use agent_common::wire::topic::{self, Channel};
use link::{Failure, Message};
use tokio::sync::Notify;

use self::hand_off::{HandOff, Origin, Waiting};
use self::status::Status;
use self::write::spool_thread;
use crate::spool::{NewWindow, Spool, SpoolError};

/// Where and how to send.
#[derive(Debug, Clone)]
pub struct MqttConfig {
    /// Host name in topics and heads.
    pub host: String,
    /// The broker.
    pub broker: BrokerAccess,
    /// See [`Delivery`].
    pub delivery: Delivery,
    /// Windows that may be on their way. 32 keep a catch-up busy over a round trip of 100 ms at 300 windows/s.
    pub window: usize,
    /// Bytes that may be on their way (one window always may). The embedded broker keeps 16 MiB for all hosts.
    pub window_bytes: usize,
    /// A window that was not acknowledged for this long is sent again; doubled at each time, up to a minute.
    pub resend_after: Duration,
    /// First wait after a failed connection, doubled with jitter …
    pub backoff_first: Duration,
    /// … up to this.
    pub backoff_most: Duration,
    /// Interval of pings.
    pub keep_alive: Duration,
    /// Interval of `status` messages.
    pub status_every: Duration,
}

impl MqttConfig {
    /// Defaults.
    #[must_use]
    pub fn new(host: impl Into<String>, broker: impl Into<BrokerAccess>) -> Self {
        Self {
            host: host.into(),
            broker: broker.into(),
            delivery: Delivery::default(),
            window: 32,
            window_bytes: 4 << 20,
            resend_after: Duration::from_secs(2),
            backoff_first: Duration::from_millis(250),
            backoff_most: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            status_every: Duration::from_secs(30),
        }
    }

    /// Checks URL, password and certificates without connecting.
    pub fn check(&self) -> Result<(), Failure> {
        link::check(&self.link_options(self.broker.clone()))
    }

    fn link_options(&self, broker: BrokerAccess) -> link::Options {
        let offline =
            Status { state: "offline", host: &self.host, why: Some("connection lost"), ..Status::default() };
        link::Options {
            keep_alive: self.keep_alive,
            last_will: Some(offline.message()),
            ..link::Options::new(broker, format!("s7mpa-{}", self.host))
        }
    }
}

/// Streams that have a spool.
const LANES: usize = Stream::SPOOLED.len();

/// A stream and its spool.
#[derive(Debug)]
struct Lane {
    stream: Stream,
    spool: Mutex<Spool>,
}

#[derive(Debug)]
struct Shared {
    config: MqttConfig,
    /// How the broker is reached: it may change while the sink runs.
    broker: Mutex<BrokerAccess>,
    hand_off: Mutex<HandOff>,
    acks: Mutex<BTreeMap<Stream, RangeSet>>,
    wake_spool: Condvar,
    wake_mqtt: Notify,
    /// There is room for another window.
    wake_room: Notify,
    /// There are acknowledgements.
    wake_acks: Notify,
    /// The broker refuses the connection: its credentials may have changed.
    wake_broker: Notify,
    /// In the order of [`Stream::SPOOLED`].
    lanes: [Lane; LANES],
    stats: Mutex<SinkFigures>,
    /// The threads have ended.
    closed: AtomicBool,
}

/// The data behind a lock is consistent after each statement, so a panic elsewhere is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Handle of a running sink; clones share it.
#[derive(Debug, Clone)]
pub struct MqttSink {
    shared: Arc<Shared>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl MqttSink {
    /// Starts the threads. A broker that cannot be reached is no error: windows are kept. The spools are those of
    /// [`Stream::SPOOLED`].
    ///
    /// # Panics
    /// Never: there are as many spools as streams.
    pub fn start(config: MqttConfig, spools: [Spool; LANES]) -> std::io::Result<Self> {
        let mut streams = Stream::SPOOLED.into_iter();
        let lanes = spools.map(|spool| {
            // SANITY: there are as many spools as streams.
            let stream = streams.next().expect("a stream for each spool");
            Lane { stream, spool: Mutex::new(spool) }
        });
        let shared = Arc::new(Shared {
            stats: Mutex::new(SinkFigures { broker: config.broker.url.clone(), ..SinkFigures::default() }),
            broker: Mutex::new(config.broker.clone()),
            config,
            hand_off: Mutex::default(),
            acks: Mutex::default(),
            wake_spool: Condvar::new(),
            wake_mqtt: Notify::new(),
            wake_room: Notify::new(),
            wake_acks: Notify::new(),
            wake_broker: Notify::new(),
            lanes,
            closed: AtomicBool::new(false),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let for_spool = Arc::clone(&shared);
        let for_mqtt = Arc::clone(&shared);
        let threads = vec![
            thread::Builder::new().name("spool".into()).spawn(move || spool_thread(&for_spool))?,
            thread::Builder::new()
                .name("mqtt".into())
                .spawn(move || runtime.block_on(session::run(&for_mqtt)))?,
        ];
        Ok(Self { shared, threads: Arc::new(Mutex::new(threads)) })
    }

    /// Other limits of a stream's spool, in force with the next window.
    pub fn set_spool_limits(&self, stream: Stream, limits: crate::spool::Limits) {
        if let Some(lane) = self.shared.lanes.iter().find(|lane| lane.stream == stream) {
            lock(&lane.spool).set_limits(limits);
        }
    }

    /// Another way to reach the broker, from the next connection on.
    pub fn set_broker(&self, broker: BrokerAccess) {
        *lock(&self.shared.broker) = broker;
    }

    /// Resolves when the broker refuses the connection, or a file cannot be used: read its credentials again.
    pub async fn broker_refuses(&self) {
        self.shared.wake_broker.notified().await;
    }

    /// Hands over the window, or block, with this number in this stream of windows. Wait for [`MqttSink::room`] before it.
    /// Of a stream that has no spool it is left out.
    pub fn publish_window(&self, stream: Stream, windows: &str, seq: u64, window: NewWindow) {
        let Some(lane) = Stream::SPOOLED.into_iter().position(|one| one == stream) else { return };
        let mut hand_off = lock(&self.shared.hand_off);
        hand_off.bytes += window.body.len();
        hand_off.windows.push_back(Waiting { lane, stream: windows.to_owned(), seq, window });
        self.shared.wake_spool.notify_one();
    }

    /// Waits while a disk that hangs blocks the windows before.
    pub async fn room(&self) {
        loop {
            let room = self.shared.wake_room.notified();
            if lock(&self.shared.hand_off).has_room() {
                return;
            }
            room.await;
        }
    }

    /// Hands over a JSON message for a channel of this host. With `retain` only the latest matters: it is sent again
    /// after each reconnect, and an empty one clears it. `origin`: what is acknowledged when the broker has it.
    pub fn publish(
        &self,
        channel: Channel,
        json: impl Into<Vec<u8>>,
        retain: bool,
        origin: Option<(Stream, u64)>,
    ) {
        let topic = topic::of(&self.shared.config.host, &channel);
        self.put([(Message { topic, payload: json.into(), retain }, origin)]);
    }

    /// Hands over an alert: retained while it is open, cleared (an empty message) when it is over.
    pub fn publish_alert(
        &self,
        id: &str,
        json: impl Into<Vec<u8>>,
        open: bool,
        origin: Option<(Stream, u64)>,
    ) {
        let topic = topic::alert(&self.shared.config.host, id);
        let alert = Message { topic: topic.clone(), payload: json.into(), retain: open };
        if open {
            self.put([(alert, origin)]);
        } else {
            // Retained messages are sent first: with the other one the broker has both.
            self.put([(Message { topic, payload: Vec::new(), retain: true }, None), (alert, origin)]);
        }
    }

    fn put<const N: usize>(&self, messages: [(Message, Option<Origin>); N]) {
        let mut hand_off = lock(&self.shared.hand_off);
        let done: Vec<Origin> =
            messages.into_iter().flat_map(|(message, origin)| hand_off.put(message, origin)).collect();
        drop(hand_off);
        self.shared.acknowledge(done);
        self.shared.wake_mqtt.notify_one();
    }

    /// Waits for items that the collector need not keep any longer; `None` when the sink is closed and all are acknowledged.
    pub async fn acks(&self) -> Option<Vec<Ack>> {
        loop {
            let more = self.shared.wake_acks.notified();
            // Looked at first: what is acknowledged before the end is found below.
            let closed = self.shared.closed.load(Ordering::Acquire);
            let acks = std::mem::take(&mut *lock(&self.shared.acks));
            if !acks.is_empty() {
                let parts = |(stream, set): (&Stream, &RangeSet)| {
                    let stream = *stream;
                    let parts: Vec<Ack> = set
                        .ranges()
                        .chunks(MAX_RANGES)
                        .map(|ranges| Ack { stream, ranges: ranges.to_vec() })
                        .collect();
                    parts
                };
                return Some(acks.iter().flat_map(parts).collect());
            }
            if closed {
                return None;
            }
            more.await;
        }
    }

    /// Figures. Never waits for the disk.
    #[must_use]
    pub fn stats(&self) -> SinkFigures {
        self.shared.stats()
    }

    /// Takes no more, sends what there is and waits for acknowledgements until `deadline` from now; what remains
    /// stays in the spool for the next start. Without a connection it does not wait.
    pub fn close(self, deadline: Duration) -> Result<SinkFigures, SpoolError> {
        lock(&self.shared.hand_off).closing = Some(Instant::now() + deadline);
        self.shared.wake_spool.notify_one();
        self.shared.wake_mqtt.notify_one();
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the MQTT sink panicked");
            }
        }
        let stats = self.stats();
        // Both, whatever becomes of the first.
        let closed = self.shared.lanes.each_ref().map(|lane| lock(&lane.spool).close());
        let closed: Result<(), SpoolError> = closed.into_iter().collect();
        self.shared.closed.store(true, Ordering::Release);
        self.shared.wake_acks.notify_one();
        closed.map(|()| stats)
    }
}

impl Shared {
    fn acknowledge(&self, origins: impl IntoIterator<Item = Origin>) {
        let mut acks = lock(&self.acks);
        let mut any = false;
        for (stream, seq) in origins {
            any |= acks.entry(stream).or_default().insert(seq);
        }
        if any {
            self.wake_acks.notify_one();
        }
    }

    /// Windows that were in memory alone count as done when they are delivered, or dropped.
    fn acknowledge_released(&self) {
        for lane in &self.lanes {
            let released = lock(&lane.spool).take_released();
            self.acknowledge(released.into_iter().map(|seq| (lane.stream, seq)));
        }
    }

    fn stats(&self) -> SinkFigures {
        let dropped_messages = lock(&self.hand_off).dropped_messages;
        // While a slow disk blocks a spool, these are its last known figures: the caller must not wait for the disk.
        let fresh = self.lanes.each_ref().map(|lane| match lane.spool.try_lock() {
            Ok(spool) => Some(spool.stats()),
            Err(TryLockError::Poisoned(spool)) => Some(spool.into_inner().stats()),
            Err(TryLockError::WouldBlock) => None,
        });
        let mut stats = lock(&self.stats);
        let [windows, profiles, logs] = fresh;
        stats.spool = windows.unwrap_or_else(|| stats.spool.clone());
        stats.profiles = profiles.unwrap_or_else(|| stats.profiles.clone());
        stats.logs = logs.unwrap_or_else(|| stats.logs.clone());
        let spool = stats.spool.clone();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let oldest_age =
            spool.oldest_end.map(|UnixNs(end)| DurNs((now.as_nanos() as u64).saturating_sub(end)));
        SinkFigures { dropped_messages, acked: spool.acked, oldest_age, spool, ..stats.clone() }
    }
}
