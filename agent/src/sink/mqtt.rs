//! MQTT sink: windows out of the spool, and reports, alerts and status beside them.
//!
//! The collector hands over and goes on: [`MqttSink::publish_window`] and [`MqttSink::publish`] take a short lock and
//! never wait for the disk or the network. Two threads do the work: *spool* writes windows to disk, *mqtt* sends them
//! in order, [`MqttConfig::window`] at a time, and lets go of each when it is acknowledged:
//!
//! * [`Delivery::EndToEnd`]: when an ingester's `stored` message says that the store has it. Windows that are not
//!   named in time are sent again; the store leaves out what it has.
//! * [`Delivery::Broker`]: when the broker has it. For consumers that do not answer, such as Telegraf.

mod session;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use agent_common::units::{DurNs, UnixNs};
use agent_common::wire::topic::{self, Channel};
use serde::{Deserialize, Serialize};
use server::mqtt::{self, Failure, Message};
use tokio::sync::Notify;

use super::spool::{NewWindow, Spool, SpoolError, SpoolStats};

/// Windows between collector and spool thread: a minute of a disk that hangs.
const HAND_OFF_WINDOWS: usize = 64;
/// Their bytes, at most.
const HAND_OFF_BYTES: usize = 32 << 20;
/// Messages that are not retained and wait for the broker; they are news, not history.
const MESSAGES: usize = 256;
/// Largest of them.
const MESSAGE_BYTES: usize = 4 << 20;
/// Topics with a retained message: status, report, and the open alerts of a host on its worst day. About 8 MiB.
const RETAINED: usize = 4096;

/// Who must have a window before the spool lets go of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// The store, as told by an ingester.
    #[default]
    EndToEnd,
    /// The broker.
    Broker,
}

/// Where and how to send.
#[derive(Debug, Clone)]
pub struct MqttConfig {
    /// Host name in topics and heads.
    pub host: String,
    /// `mqtt://host:port` or `mqtts://host:port`.
    pub url: String,
    /// User.
    pub user: Option<String>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with this client's certificates.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the key to it.
    pub key_file: Option<PathBuf>,
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
    pub fn new(host: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            url: url.into(),
            user: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
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

    /// Checks URL, password file and certificates without connecting.
    pub fn check(&self) -> Result<(), Failure> {
        mqtt::check(&self.link_options())
    }

    fn link_options(&self) -> mqtt::Options {
        let offline =
            Status { state: "offline", host: &self.host, why: Some("connection lost"), ..Status::default() };
        mqtt::Options {
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            keep_alive: self.keep_alive,
            last_will: Some(offline.message()),
            ..mqtt::Options::new(&self.url, format!("s7mpa-{}", self.host))
        }
    }
}

/// Payload of `s7mpa/v1/<host>/status`, retained.
#[derive(Debug, Default, Serialize)]
struct Status<'a> {
    /// `online` or `offline`.
    state: &'a str,
    host: &'a str,
    version: Option<&'a str>,
    /// Why it is offline.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sink: Option<SinkStats>,
}

impl Status<'_> {
    fn message(&self) -> Message {
        Message {
            topic: topic::of(self.host, &Channel::Status),
            // SANITY: strings and numbers only.
            payload: serde_json::to_vec(self).expect("a status is JSON"),
            retain: true,
        }
    }
}

/// Figures of the sink. Counts since it was started.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SinkStats {
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
    /// Windows that fell out between collector and spool.
    pub dropped_hand_off: u64,
    /// Other messages that fell out.
    pub dropped_messages: u64,
    /// Windows sent and not yet acknowledged.
    pub on_their_way: u64,
    /// The spool; what fell out there is in `spool.dropped`.
    pub spool: SpoolStats,
    /// Age of the oldest window kept.
    pub oldest_age: Option<DurNs>,
    /// What is wrong now, in one line; `None` when all is well.
    pub error: Option<String>,
    /// Its kind, as a word.
    pub error_kind: Option<String>,
}

/// Between the collector and the two threads.
#[derive(Debug, Default)]
struct HandOff {
    windows: VecDeque<NewWindow>,
    bytes: usize,
    messages: VecDeque<Message>,
    /// Latest payload of each retained topic; empty: to be cleared at the broker.
    retained: BTreeMap<String, Vec<u8>>,
    /// Retained topics whose latest payload was not sent yet.
    unsent: VecDeque<String>,
    dropped_windows: u64,
    dropped_messages: u64,
    /// No more is taken; send what there is until then.
    closing: Option<Instant>,
    /// The spool thread has put the last window into the spool.
    spooled: bool,
}

#[derive(Debug)]
struct Shared {
    config: MqttConfig,
    hand_off: Mutex<HandOff>,
    wake_spool: Condvar,
    wake_mqtt: Notify,
    spool: Mutex<Spool>,
    stats: Mutex<SinkStats>,
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
    /// Starts the threads. A broker that cannot be reached is no error: windows are kept.
    pub fn start(config: MqttConfig, spool: Spool) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            stats: Mutex::new(SinkStats { broker: config.url.clone(), ..SinkStats::default() }),
            config,
            hand_off: Mutex::default(),
            wake_spool: Condvar::new(),
            wake_mqtt: Notify::new(),
            spool: Mutex::new(spool),
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

    /// Other limits of the spool, in force with the next window.
    pub fn set_spool_limits(&self, limits: super::spool::Limits) {
        lock(&self.shared.spool).set_limits(limits);
    }

    /// Hands over a window. Never waits; when the disk hangs the oldest that was handed over falls out.
    pub fn publish_window(&self, window: NewWindow) {
        let mut hand_off = lock(&self.shared.hand_off);
        if hand_off.closing.is_some() {
            hand_off.dropped_windows += 1;
            return;
        }
        hand_off.bytes += window.lines.len();
        hand_off.windows.push_back(window);
        while hand_off.windows.len() > HAND_OFF_WINDOWS
            || (hand_off.bytes > HAND_OFF_BYTES && hand_off.windows.len() > 1)
        {
            if let Some(old) = hand_off.windows.pop_front() {
                hand_off.bytes -= old.lines.len();
                hand_off.dropped_windows += 1;
            }
        }
        self.shared.wake_spool.notify_one();
    }

    /// Hands over a JSON message for a channel of this host. With `retain` only the latest matters: it is sent again
    /// after each reconnect, and an empty one clears it.
    pub fn publish(&self, channel: Channel, json: impl Into<Vec<u8>>, retain: bool) {
        self.publish_to(topic::of(&self.shared.config.host, &channel), json.into(), retain);
    }

    /// Hands over an alert: retained while it is open, cleared (an empty message after the last one) when it is over.
    pub fn publish_alert(&self, id: &str, json: impl Into<Vec<u8>>, open: bool) {
        let topic = topic::alert(&self.shared.config.host, id);
        self.publish_to(topic.clone(), json.into(), open);
        if !open {
            self.publish_to(topic, Vec::new(), true);
        }
    }

    fn publish_to(&self, topic: String, payload: Vec<u8>, retain: bool) {
        let mut hand_off = lock(&self.shared.hand_off);
        // A broker would close the connection at a larger packet, at each attempt again. Windows have the spool's bound.
        if hand_off.closing.is_some() || payload.len() > MESSAGE_BYTES {
            hand_off.dropped_messages += 1;
            return;
        }
        if retain {
            if hand_off.retained.len() >= RETAINED && !hand_off.retained.contains_key(&topic) {
                hand_off.dropped_messages += 1;
                return;
            }
            hand_off.retained.insert(topic.clone(), payload);
            if !hand_off.unsent.contains(&topic) {
                hand_off.unsent.push_back(topic);
            }
        } else {
            if hand_off.messages.len() >= MESSAGES {
                hand_off.messages.pop_front();
                hand_off.dropped_messages += 1;
            }
            hand_off.messages.push_back(Message { topic, payload, retain });
        }
        self.shared.wake_mqtt.notify_one();
    }

    /// Figures. Never waits for the disk.
    #[must_use]
    pub fn stats(&self) -> SinkStats {
        self.shared.stats()
    }

    /// Takes no more, sends what there is and waits for acknowledgements until `deadline` from now; what remains
    /// stays in the spool for the next start. Without a connection it does not wait.
    pub fn close(self, deadline: Duration) -> Result<SinkStats, SpoolError> {
        lock(&self.shared.hand_off).closing = Some(Instant::now() + deadline);
        self.shared.wake_spool.notify_one();
        self.shared.wake_mqtt.notify_one();
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the MQTT sink panicked");
            }
        }
        let stats = self.stats();
        lock(&self.shared.spool).close()?;
        Ok(stats)
    }
}

impl Shared {
    fn stats(&self) -> SinkStats {
        let (dropped_hand_off, dropped_messages) = {
            let hand_off = lock(&self.hand_off);
            (hand_off.dropped_windows, hand_off.dropped_messages)
        };
        // While a slow disk holds the spool, its last known figures will do: whoever asks must not wait for the disk.
        let fresh = match self.spool.try_lock() {
            Ok(spool) => Some(spool.stats()),
            Err(TryLockError::Poisoned(spool)) => Some(spool.into_inner().stats()),
            Err(TryLockError::WouldBlock) => None,
        };
        let mut stats = lock(&self.stats);
        if let Some(fresh) = fresh {
            stats.spool = fresh;
        }
        let spool = stats.spool.clone();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let oldest_age =
            spool.oldest_end.map(|UnixNs(end)| DurNs((now.as_nanos() as u64).saturating_sub(end)));
        SinkStats {
            dropped_hand_off,
            dropped_messages,
            acked: spool.acked,
            oldest_age,
            spool,
            ..stats.clone()
        }
    }
}

/// Puts windows into the spool as they come.
fn spool_thread(shared: &Shared) {
    // An error is logged when it begins and when it ends, not once a second.
    let mut failing = false;
    loop {
        let (windows, closing) = {
            let mut hand_off = lock(&shared.hand_off);
            while hand_off.windows.is_empty() && hand_off.closing.is_none() {
                hand_off = shared.wake_spool.wait(hand_off).unwrap_or_else(PoisonError::into_inner);
            }
            hand_off.bytes = 0;
            (std::mem::take(&mut hand_off.windows), hand_off.closing.is_some())
        };
        for window in &windows {
            let (result, in_memory) = {
                let mut spool = lock(&shared.spool);
                let result = spool.append(window);
                (result, spool.is_in_memory())
            };
            match &result {
                Err(e) if !failing => {
                    tracing::error!(error = e as &dyn std::error::Error, "a window was lost");
                }
                Ok(_) if in_memory && !failing => {
                    tracing::error!(
                        directory = %lock(&shared.spool).directory().display(),
                        "the spool's disk is full: new windows are kept in memory, the oldest are dropped when that is full, \
                         and all of them are lost at exit unless the broker takes them"
                    );
                }
                Ok(_) if failing && !in_memory => tracing::info!("the spool takes windows again"),
                _ => {}
            }
            failing = result.is_err() || in_memory;
            shared.wake_mqtt.notify_one();
        }
        let due = lock(&shared.spool).sync_due();
        if let Some(file) = due
            && let Err(error) = file.sync_data()
        {
            tracing::warn!(%error, "cannot sync the spool");
        }
        if closing && lock(&shared.hand_off).windows.is_empty() {
            lock(&shared.hand_off).spooled = true;
            shared.wake_mqtt.notify_one();
            return;
        }
    }
}
