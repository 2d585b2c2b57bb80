//! The daemon's side of the relay: it passes on windows, alerts and reports, reads figures, and replaces a relay that died.
//!
//! The relay is a second instance of this program, as another user and without privileges. It has the network, this process has
//! none. They communicate over a socket pair ([`agent_common::pair`]); its end of file means that the other side has ended. (A
//! parent death signal would fire when the *thread* that started the relay ends, and would not let the spool close.)

mod budget;
mod connection;
mod dirs;
mod outlet;
mod process;
mod questions;
mod settings;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent_common::pair::{
    ApiState, FromRelay, Live, LiveResult, NewWindow, Ready, SinkFigures, Stream, ToRelay,
};
use agent_common::settings::BrokerAccess;
use agent_common::settings::server::Http;
use agent_common::wire::finding::{Alert, AlertState};
use agent_common::wire::silence::Silences;
use anyhow::{Context as _, bail};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use self::connection::Broken;
use self::process::Process;
pub(super) use self::process::unprivileged;
pub use self::process::{NO_USER, Owner, RELAY};
use self::questions::Answerer;
use self::settings::relay_settings;
pub use self::settings::{broker_access, server_config, store_config};
use crate::config::{Config, SERVER_USER};
use crate::daemon::launcher::Launcher;
use crate::daemon::restart::Restart;
use crate::outbox::{Counts, Outbox};

/// Longest time for the relay to open spool and store and to listen.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time for the relay to close spool and store, beyond its time to send.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

/// State that the connection's task shares with the handles.
#[derive(Debug, Default)]
struct Shared {
    outbox: Mutex<Outbox>,
    /// There is something to send.
    wake: Notify,
    figures: Mutex<Figures>,
    /// Bytes that the relay keeps of log lines at most.
    max_log_bytes: AtomicU64,
    /// The relay's HTTP API.
    api: Arc<Mutex<ApiState>>,
    /// What people have silenced: for `alerts.exec`.
    silences: Silences,
    /// Messages that are not items, as frames. They go first.
    control: Mutex<Vec<Vec<u8>>>,
    /// Who answers questions about this moment.
    answerer: Mutex<Answerer>,
    /// Set to close: send all items, then the closing message with this time limit for the relay.
    closing: Mutex<Option<Duration>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Figures of the relay and of the items for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Figures {
    /// The relay's newest figures.
    pub(super) sink: SinkFigures,
    /// It runs and answers.
    pub(super) connected: bool,
    /// Number of relays started after the first one.
    pub(super) restarts: u64,
    /// Windows in this process.
    pub(super) windows: Counts,
    /// Windows that fell out of the spools of relays that have ended.
    pub(super) lost_before: u64,
    /// Blocks of profiles in this process.
    pub(super) profiles: Counts,
    /// Blocks that fell out of the spools of relays that have ended.
    pub(super) profiles_lost_before: u64,
    /// Messages of log lines in this process.
    pub(super) logs: Counts,
    /// Messages that fell out of the spools of relays that have ended.
    pub(super) logs_lost_before: u64,
}

impl Figures {
    /// Windows that are lost for good, here or in a spool.
    #[must_use]
    pub(super) const fn lost(&self) -> u64 {
        self.windows.lost.saturating_add(self.lost_before).saturating_add(self.sink.spool.dropped.total())
    }

    /// Blocks of profiles that are lost for good, here or in a spool.
    #[must_use]
    pub(super) const fn profiles_lost(&self) -> u64 {
        let spool = self.sink.profiles.dropped.total();
        self.profiles.lost.saturating_add(self.profiles_lost_before).saturating_add(spool)
    }

    /// Messages of log lines that are lost for good, here or in a spool.
    #[must_use]
    pub(super) const fn logs_lost(&self) -> u64 {
        let spool = self.sink.logs.dropped.total();
        self.logs.lost.saturating_add(self.logs_lost_before).saturating_add(spool)
    }
}

/// Handle that passes items to the relay; clones share it. No method waits.
#[derive(Debug, Clone)]
pub(super) struct RelayHandle {
    shared: Arc<Shared>,
}

impl RelayHandle {
    /// Passes on a window.
    pub(super) fn window(&self, window: NewWindow) {
        lock(&self.shared.outbox).window(Stream::Metrics, window);
        self.shared.wake.notify_one();
    }

    /// Passes on a block of a profile.
    pub(super) fn profile(&self, block: NewWindow) {
        lock(&self.shared.outbox).window(Stream::Profile, block);
        self.shared.wake.notify_one();
    }

    /// Passes on a change of an alert.
    pub(super) fn alert(&self, alert: &Alert) {
        self.state(Stream::Alert, &alert.id, alert.state == AlertState::Resolved, alert);
    }

    /// Passes on a report.
    pub(super) fn report(&self, report: &impl serde::Serialize) {
        self.state(Stream::Report, "", false, report);
    }

    fn state(&self, stream: Stream, key: &str, over: bool, value: &impl serde::Serialize) {
        match serde_json::to_vec(value) {
            Ok(json) => lock(&self.shared.outbox).state(stream, key, over, json),
            Err(error) => tracing::warn!(%error, "cannot write a message as JSON"),
        }
        self.shared.wake.notify_one();
    }

    /// Has the relay's questions about this moment answered by this function.
    pub(super) fn answer_with<F>(&self, answer: impl Fn(Live) -> F + Send + Sync + 'static)
    where
        F: Future<Output = LiveResult> + Send + 'static,
    {
        *lock(&self.shared.answerer) = Answerer::new(answer);
    }

    /// From now on nobody answers them.
    pub(super) fn answer_no_more(&self) {
        *lock(&self.shared.answerer) = Answerer::default();
    }

    /// What people have silenced.
    pub(super) fn silences(&self) -> Silences {
        self.shared.silences.clone()
    }

    /// How the relay's HTTP API is, from now on.
    #[must_use]
    pub(super) fn api(&self) -> Arc<Mutex<ApiState>> {
        Arc::clone(&self.shared.api)
    }

    /// The newest figures.
    #[must_use]
    pub(super) fn figures(&self) -> Figures {
        let (windows, profiles, logs) = {
            let outbox = lock(&self.shared.outbox);
            (outbox.counts(Stream::Metrics), outbox.counts(Stream::Profile), outbox.counts(Stream::Log))
        };
        Figures { windows, profiles, logs, ..lock(&self.shared.figures).clone() }
    }
}

/// One relay process and the task that talks to it.
#[derive(Debug)]
struct Running {
    process: Process,
    task: JoinHandle<Result<(), Broken>>,
}

/// The relay: restarted as a new process when one dies.
#[derive(Debug)]
pub(super) struct Relay {
    handle: RelayHandle,
    settings: agent_common::settings::relay::Settings,
    /// The operator's settings of the broker, whose files are read anew when the relay asks.
    broker: Arc<Mutex<Option<BrokerAccess>>>,
    launcher: Launcher,
    running: Option<Running>,
    restart: Restart,
    /// The last failure that was logged.
    said: Option<String>,
    /// Gets the alerts of rules.
    alerts: mpsc::Sender<Alert>,
}

impl Relay {
    /// Starts it and waits until it works. Blocks; in a runtime. Its directories are there ([`make_relay_dirs`]). `alerts` gets
    /// the alerts of rules, which the relay evaluates.
    pub(super) fn start(
        config: &Config,
        launcher: Launcher,
        alerts: mpsc::Sender<Alert>,
    ) -> anyhow::Result<Self> {
        let settings = relay_settings(config)?;
        let handle = RelayHandle { shared: Arc::default() };
        handle.shared.max_log_bytes.store(settings.spool.max_log_bytes(), Ordering::Relaxed);
        let mut relay = Self {
            handle,
            settings,
            broker: Arc::new(Mutex::new(broker_access(config))),
            launcher,
            running: None,
            restart: Restart::new(Instant::now()),
            said: None,
            alerts,
        };
        let (started, ready) = oneshot::channel();
        relay.spawn(Some(started))?;
        match wait_for(ready) {
            Ok(Ok(ready)) => {
                if let (Some(address), Some(server)) = (ready.broker, &mut relay.settings.server) {
                    // A free port that was chosen stays the same for the next one.
                    server.listen = address;
                }
                Ok(relay)
            }
            Ok(Err(why)) => bail!(why),
            Err(error) => {
                let status = relay.running.take().map(|mut running| running.process.kill_and_wait());
                bail!("the relay does not start ({}): {error}", status.unwrap_or_default())
            }
        }
    }

    /// A handle to pass items to the relay.
    #[must_use]
    pub(super) fn handle(&self) -> RelayHandle {
        self.handle.clone()
    }

    fn spawn(&mut self, started: Option<oneshot::Sender<Result<Ready, String>>>) -> anyhow::Result<()> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().context("cannot make a socket pair")?;
        ours.set_nonblocking(true)?;
        let process = Process::spawn(&self.launcher, &theirs)?;
        let stream = tokio::net::UnixStream::from_std(ours)?;
        let broker = Arc::clone(&self.broker);
        let question = move || match &*lock(&broker) {
            Some(access) => access.embed(),
            None => Err(std::io::Error::other("the broker is the relay's own")),
        };
        let talk = connection::Talk {
            shared: Arc::clone(&self.handle.shared),
            settings: self.settings.clone(),
            broker: Arc::new(question),
            started,
            alerts: self.alerts.clone(),
        };
        let task = tokio::spawn(talk.run(stream));
        self.running = Some(Running { process, task });
        self.restart.started(Instant::now());
        Ok(())
    }

    /// Restarts the relay when it has died, with back-off. Logs the reason, and the same reason again only after a healthy run.
    pub(super) async fn tend(&mut self) {
        if let Some(running) = &mut self.running {
            if !running.task.is_finished() {
                return;
            }
            let broken = (&mut running.task).await;
            let status = running.process.kill_and_wait();
            let why = match broken {
                Ok(Ok(())) => status,
                Ok(Err(broken)) => format!("{broken} ({status})"),
                Err(error) => error.to_string(),
            };
            self.running = None;
            if self.restart.failed(Instant::now()) || self.said.as_ref() != Some(&why) {
                tracing::error!(why, "the relay died; it is started again, windows wait in this process");
                self.said = Some(why);
            }
        }
        if self.restart.is_due(Instant::now()) {
            match self.spawn(None) {
                Ok(()) => lock(&self.handle.shared.figures).restarts += 1,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "cannot start the relay");
                    self.restart.failed(Instant::now());
                }
            }
        }
    }

    /// Passes on changed settings. Listening addresses and directories do not change.
    pub(super) fn change(&mut self, config: &Config) -> anyhow::Result<()> {
        let new = relay_settings(config)?;
        *lock(&self.broker) = broker_access(config);
        let old = &mut self.settings;
        old.log = new.log;
        (old.spool.max_bytes, old.spool.max_age) = (new.spool.max_bytes, new.spool.max_age);
        self.handle.shared.max_log_bytes.store(old.spool.max_log_bytes(), Ordering::Relaxed);
        if let (Some(old), Some(new)) = (&mut old.server, new.server) {
            (old.store, old.retention, old.rules) = (new.store, new.retention, new.rules);
            old.http = Http { listen: old.http.listen, ..new.http };
        }
        let change = ToRelay::Change(Box::new(old.clone()));
        lock(&self.handle.shared.control).push(change.encode());
        self.handle.shared.wake.notify_one();
        Ok(())
    }

    /// Lets the relay send for `most` and close spool and store; kills it if it takes longer.
    pub(super) async fn stop(mut self, most: Duration) -> Figures {
        let shared = Arc::clone(&self.handle.shared);
        if let Some(mut running) = self.running.take() {
            *lock(&shared.closing) = Some(most);
            shared.wake.notify_one();
            let ended = tokio::time::timeout(most + CLOSE_TIMEOUT, &mut running.task).await;
            if ended.is_err() {
                tracing::warn!("the relay did not end in time and is killed");
            }
            running.process.end(CLOSE_TIMEOUT).await;
        }
        lock(&shared.outbox).disconnected();
        self.handle.figures()
    }
}

/// Makes the directories of spool, store and password, and gives them to the relay's user.
pub fn make_relay_dirs(config: &Config) -> anyhow::Result<()> {
    dirs::make(config, relay_owner(config)?)
}

/// The user of the relay.
pub fn relay_owner(config: &Config) -> anyhow::Result<Owner> {
    unprivileged("server.user", &config.server.user, SERVER_USER)
}

/// Waits for the first answer outside of the runtime.
fn wait_for(mut ready: oneshot::Receiver<Result<Ready, String>>) -> anyhow::Result<Result<Ready, String>> {
    let begin = Instant::now();
    loop {
        match ready.try_recv() {
            Ok(answer) => return Ok(answer),
            Err(oneshot::error::TryRecvError::Empty) if begin.elapsed() < START_TIMEOUT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(oneshot::error::TryRecvError::Empty) => bail!("no message within {START_TIMEOUT:?}"),
            Err(oneshot::error::TryRecvError::Closed) => bail!("it ended at once; see its message above"),
        }
    }
}

fn is_stream(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The first message of a relay.
fn first(message: FromRelay) -> Result<Result<Ready, String>, Broken> {
    match message {
        // A number from which windows can be counted for ever, in a stream whose name goes into topics and line protocol.
        FromRelay::Ready(ready)
            if [
                (&ready.windows, ready.next_seq),
                (&ready.profiles, ready.next_profile),
                (&ready.logs, ready.next_log),
            ]
            .into_iter()
            .all(|(stream, next)| is_stream(stream) && next <= u64::MAX / 2) =>
        {
            Ok(Ok(ready))
        }
        FromRelay::Failed(why) => Ok(Err(connection::shown(&why))),
        FromRelay::Ready(_)
        | FromRelay::Ack(_)
        | FromRelay::Figures(_)
        | FromRelay::Question(_)
        | FromRelay::Api(_)
        | FromRelay::Alert(_)
        | FromRelay::Silences(_) => Err(Broken::OutOfTurn),
    }
}
