//! The relay's main loop: it passes items from the socket pair to spool, broker and webhook, and acknowledges what those have.

mod pair;
mod questions;
mod server_part;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_common::pair::{
    Answer, ApiState, FromRelay, Item, ItemHead, Kind, Question, Ready, SilencesPart, SinkFigures, Stream,
    ToRelay, VERSION,
};
use agent_common::settings::BrokerAccess;
use agent_common::settings::relay::{Log, Settings};
use agent_common::text;
use agent_common::wire::finding::Alert;
use agent_common::wire::silence::Silences;
use notifier::{FIRST_PAUSE, Notifiers, REPEAT_OPEN_EVERY};
use server::broker::Broker;
use server::questions::Collector;
use server::rules::MAX_WAITING_ALERTS;
use tokio::sync::{mpsc, watch};

pub use self::pair::{HelloError, accept};
use self::pair::{Reader, Writer};
use self::questions::Questions;
use self::server_part::ServerPart;
use crate::export::{Exports, Gauges};
use crate::sink::{MqttConfig, MqttSink};
use crate::spool::{self, NewWindow, Spool};
use crate::webhook::Webhook;

/// Longest time for the sink to send the last windows after the collector has died.
const SINK_DRAIN: Duration = Duration::from_secs(3);
/// Longest time for the notifiers to deliver the last alerts.
const NOTIFIERS_DRAIN: Duration = Duration::from_secs(3);
/// Longest time for the exporters to send what waits.
const EXPORT_DRAIN: Duration = Duration::from_secs(3);
/// Interval at which the relay sends its figures to the collector.
const FIGURES_EVERY: Duration = Duration::from_secs(1);
/// Least time between two requests for the broker's credentials.
const MIN_ACCESS_REQUEST_INTERVAL: Duration = Duration::from_secs(10);
/// Most messages that wait to be written. An acknowledgement has some bytes.
const MAX_UNWRITTEN: usize = 64;
/// Directory of the profiles' spool in that of the windows.
const PROFILES: &str = "profiles";
/// Their part of the space: about a day's.
const PROFILES_SHARE: u64 = 4;
/// Directory of the log lines' spool in that of the windows.
const LOGS: &str = "logs";

/// Everything that runs in this process.
struct Parts {
    sink: MqttSink,
    notifiers: Notifiers,
    silences: Silences,
    exports: Exports,
    server: Option<ServerPart>,
    of_rules: mpsc::Receiver<Alert>,
    questions: Questions,
    ready: Ready,
}

/// Runs until the collector closes the connection or ends, or until `stop`. `set_log` sets the log level.
pub async fn run(
    stream: UnixStream,
    settings: Settings,
    set_log: fn(&Log),
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (reader, mut writer) = pair::split(stream)?;
    let parts = match start(&settings).await {
        Ok(parts) => parts,
        Err(why) => {
            writer.send(&FromRelay::Failed(why.clone())).await?;
            return Err(std::io::Error::other(why));
        }
    };
    writer.send(&FromRelay::Ready(parts.ready.clone())).await?;
    let Parts { sink, notifiers, silences, exports, server, of_rules, questions, .. } = parts;
    let relay = Relay { sink, notifiers, silences, exports, server, of_rules, questions, set_log };
    relay.work(reader, writer, stop).await;
    Ok(())
}

/// Starts the server part, if it is configured, and the sink. An error is one line.
async fn start(settings: &Settings) -> Result<Parts, String> {
    let (to_relay, of_rules) = mpsc::channel(MAX_WAITING_ALERTS);
    let (collector, asked) = Collector::new(&settings.host);
    let silences = Silences::default();
    let server = match &settings.server {
        Some(config) => {
            let started = ServerPart::start(config.clone(), to_relay, collector, silences.clone()).await;
            Some(started.map_err(|e| text::chain(&e))?)
        }
        None => None,
    };
    let broker = match (&settings.broker, &server) {
        (Some(broker), _) => broker.clone(),
        (None, Some(server)) => server.broker().map_or_else(nowhere, Broker::access),
        (None, None) => return Err("no broker is configured".to_owned()),
    };
    let config = MqttConfig { delivery: settings.delivery, ..MqttConfig::new(&settings.host, broker) };
    config.check().map_err(|e| format!("broker: {e}"))?;
    let open = |dir: &Path, limits| Spool::open(dir, limits).map_err(|e| text::chain(&e));
    let spool = open(&settings.spool.dir, limits(settings))?;
    let profile_spool = open(&settings.spool.dir.join(PROFILES), profile_limits(settings))?;
    let (windows, next_seq) = spool.next();
    let (profiles, next_profile) = profile_spool.next();
    let log_spool = open(&settings.spool.dir.join(LOGS), log_limits(settings))?;
    let (logs, next_log) = log_spool.next();
    let ready = Ready {
        version: VERSION,
        windows: windows.to_owned(),
        next_seq,
        profiles: profiles.to_owned(),
        next_profile,
        logs: logs.to_owned(),
        next_log,
        broker: server.as_ref().and_then(|server| server.broker()).map(|broker| broker.address),
    };
    let sink = MqttSink::start(config, [spool, profile_spool, log_spool])
        .map_err(|e| format!("cannot start the MQTT sink: {e}"))?;
    let mut notifiers = Notifiers::new(silences.clone());
    if let Some(webhook) = &settings.webhook {
        let url = webhook.url.read_secret().map_err(|e| format!("alerts.webhook: {e}"))?;
        let webhook = Webhook::new(&url, webhook.timeout).map_err(|e| e.to_string())?;
        notifiers.add(webhook, REPEAT_OPEN_EVERY, FIRST_PAUSE);
    }
    let exports = Exports::start(settings)?;
    let questions = Questions::new(asked);
    Ok(Parts { sink, notifiers, silences, exports, server, of_rules, questions, ready })
}

/// Access without a login, for an embedded broker that does not listen yet: another program may own its port.
fn nowhere() -> BrokerAccess {
    BrokerAccess::new("mqtt://127.0.0.1:1")
}

fn limits(settings: &Settings) -> spool::Limits {
    spool::Limits {
        max_bytes: settings.spool.max_bytes,
        max_age: settings.spool.max_age,
        ..spool::Limits::default()
    }
}

/// Profiles have a quarter of the windows' space, beside it.
fn profile_limits(settings: &Settings) -> spool::Limits {
    spool::Limits { max_bytes: settings.spool.max_bytes / PROFILES_SHARE, ..limits(settings) }
}

/// Log lines have half of the windows' space, beside it. Newer ones never push them out: the collector reads no more of its sources
/// while they are about to fill it. A message that waits longer than `max_age` goes, counted; the times in its lines do not matter.
fn log_limits(settings: &Settings) -> spool::Limits {
    spool::Limits { max_bytes: settings.spool.max_log_bytes(), ..limits(settings) }
}

struct Relay {
    sink: MqttSink,
    notifiers: Notifiers,
    /// What people have silenced.
    silences: Silences,
    exports: Exports,
    server: Option<ServerPart>,
    /// Alerts of rules, which the server part evaluates.
    of_rules: mpsc::Receiver<Alert>,
    /// What the API asks the collector.
    questions: Questions,
    set_log: fn(&Log),
}

/// Where the figures come from.
struct Figures {
    sink: Arc<MqttSink>,
    exports: Gauges,
}

impl Figures {
    fn now(&self) -> FromRelay {
        FromRelay::Figures(Box::new(self.exports.add_to(self.sink.stats())))
    }
}

impl Relay {
    async fn work(mut self, reader: Reader, writer: Writer, stop: impl Future<Output = ()>) {
        let (to_write, outgoing) = mpsc::channel(MAX_UNWRITTEN);
        let (end, mut ended) = watch::channel(());
        let figures = Figures { sink: Arc::new(self.sink.clone()), exports: self.exports.gauges() };
        let writing = tokio::spawn(write(writer, outgoing, figures, end));
        let within = {
            let reading = self.read(reader, to_write);
            tokio::pin!(reading);
            tokio::select! {
                within = &mut reading => within,
                () = stop => SINK_DRAIN,
                // The collector does not read any longer: it is gone.
                _ = ended.changed() => SINK_DRAIN,
            }
        };
        self.close(within, writing).await;
    }

    /// Reads messages until the collector closes (returns its time limit) or ends.
    async fn read(&mut self, mut reader: Reader, to_write: mpsc::Sender<FromRelay>) -> Duration {
        let mut tend = tokio::time::interval(Duration::from_millis(500));
        let mut asked: Option<Instant> = None;
        let mut api = ApiState::default();
        let mut silenced = None;
        loop {
            // A disk that hangs holds the windows in the collector, which counts what falls out.
            self.sink.room().await;
            let message = tokio::select! {
                message = reader.next() => message,
                () = self.sink.broker_refuses() => {
                    if asked.is_none_or(|asked| asked.elapsed() >= MIN_ACCESS_REQUEST_INTERVAL) {
                        asked = Some(Instant::now());
                        // The writer ends only when the collector does, which the reader sees.
                        let _ = to_write.send(FromRelay::Question(Question::Broker)).await;
                    }
                    continue;
                }
                Some(alert) = self.of_rules.recv() => {
                    self.notifiers.send(&alert);
                    // For those who follow the daemon, and alerts.exec.
                    let _ = to_write.send(FromRelay::Alert(Box::new(alert))).await;
                    continue;
                }
                Some(question) = self.questions.next() => {
                    let _ = to_write.send(question).await;
                    continue;
                }
                _ = tend.tick() => {
                    if let Some(server) = &mut self.server {
                        if let Some(access) = server.tend().await {
                            self.sink.set_broker(access);
                        }
                        let now = server.api();
                        if now != api {
                            api = now.clone();
                            let _ = to_write.send(FromRelay::Api(now)).await;
                        }
                    }
                    let now = self.silences.all();
                    if silenced.as_ref() != Some(&now) {
                        silenced = Some(now.clone());
                        for part in SilencesPart::all(&now) {
                            let _ = to_write.send(FromRelay::Silences(part)).await;
                        }
                    }
                    continue;
                }
            };
            match message {
                Ok(Some(ToRelay::Item(item))) => self.take(item),
                Ok(Some(ToRelay::Change(settings))) => self.change(*settings),
                Ok(Some(ToRelay::Answer(answer))) => match *answer {
                    Answer::Broker(broker) => self.sink.set_broker(broker),
                    Answer::Failed(why) => {
                        tracing::warn!(why, "the broker's credentials cannot be read again");
                    }
                },
                Ok(Some(ToRelay::Live(answer))) => self.questions.answered(answer),
                Ok(Some(ToRelay::Close { within_ms })) => return Duration::from_millis(within_ms),
                Ok(Some(ToRelay::Hello(_))) => tracing::warn!("a second greeting is ignored"),
                Ok(None) => {
                    tracing::warn!("the collector is gone");
                    return SINK_DRAIN;
                }
                Err(error) => {
                    tracing::error!(error = text::chain(&error), "the collector sent an invalid message");
                    return SINK_DRAIN;
                }
            }
        }
    }

    fn take(&mut self, Item { head, payload }: Item) {
        let origin = Some((head.stream, head.seq));
        match (head.stream, head.stream.kind()) {
            (stream, Kind::Spooled) => {
                self.exports.take(&head, &payload);
                let ItemHead { windows, seq, end, span, points, .. } = head;
                let window = NewWindow { end, span, points, body: payload };
                self.sink.publish_window(stream, &windows, seq, window);
            }
            (Stream::Alert, _) => {
                match serde_json::from_slice::<Alert>(&payload) {
                    Ok(alert) => self.notifiers.send(&alert),
                    Err(error) => tracing::error!(%error, "an alert is not valid JSON"),
                }
                self.sink.publish_alert(&head.key, payload, !head.over, origin);
            }
            (stream, kind) => {
                self.sink.publish(stream.channel(), payload, kind == Kind::State, origin);
            }
        }
    }

    /// Takes over what can change while everything runs.
    fn change(&mut self, settings: Settings) {
        (self.set_log)(&settings.log);
        self.sink.set_spool_limits(Stream::Metrics, limits(&settings));
        self.sink.set_spool_limits(Stream::Profile, profile_limits(&settings));
        self.sink.set_spool_limits(Stream::Log, log_limits(&settings));
        if let (Some(server), Some(config)) = (&mut self.server, settings.server) {
            server.change(config);
        }
    }

    async fn close(self, within: Duration, writing: tokio::task::JoinHandle<()>) {
        let Self { sink, notifiers, exports, server, .. } = self;
        let closing = tokio::task::spawn_blocking(move || sink.close(within));
        let exported = exports.close(EXPORT_DRAIN);
        let (closed, (), ()) = tokio::join!(closing, notifiers.close(NOTIFIERS_DRAIN), exported);
        match closed {
            Ok(Ok(figures)) => what_is_left(&figures),
            Ok(Err(error)) => tracing::warn!(error = text::chain(&error), "cannot close the spool"),
            Err(error) => tracing::error!(%error, "closing the spool failed"),
        }
        // The last acknowledgements have gone out; the writer ends with the sink's handles.
        let _ = tokio::time::timeout(Duration::from_secs(1), writing).await;
        if let Some(server) = server {
            server.stop().await;
        }
    }
}

/// Logs the windows that no broker has taken.
fn what_is_left(figures: &SinkFigures) {
    let spool = &figures.spool;
    let lost = spool.in_memory + spool.dropped.total();
    if lost > 0 {
        tracing::warn!(lost, "windows were lost: the disk or the spool's limits had no room for them");
    }
    let disk = spool.windows - spool.in_memory;
    if disk > 0 {
        tracing::info!(windows = disk, "kept on disk until the broker takes them");
    }
}

/// Writes acknowledgements and figures as they come. Ends with the sink, with an acknowledgement of all it has, or with
/// the collector.
async fn write(
    mut writer: Writer,
    mut messages: mpsc::Receiver<FromRelay>,
    figures: Figures,
    end: watch::Sender<()>,
) {
    let mut beat = tokio::time::interval(FIGURES_EVERY);
    loop {
        let message = tokio::select! {
            acks = figures.sink.acks() => {
                let Some(acks) = acks else { break };
                for ack in acks {
                    if writer.send(&FromRelay::Ack(ack)).await.is_err() {
                        let _ = end.send(());
                        return;
                    }
                }
                continue;
            }
            // The reader has ended when this is closed; acknowledgements go on until the sink has ended.
            Some(message) = messages.recv() => message,
            _ = beat.tick() => figures.now(),
        };
        if writer.send(&message).await.is_err() {
            let _ = end.send(());
            return;
        }
    }
    let _ = writer.send(&figures.now()).await;
}
