//! The server part in this process: a broker that stays, ingester and store that can be replaced, and the HTTP API, which needs
//! neither of them to run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_common::pair::ApiState;
use agent_common::settings::BrokerAccess;
use agent_common::settings::server::Config;
use agent_common::text;
use agent_common::wire::finding::Alert;
use agent_common::wire::silence::Silences;
use link::Backoff;
use server::api::Service;
use server::broker::{Broker, BrokerError};
use server::ingest::Ingest;
use server::push::Pusher;
use server::questions::Collector;
use server::rules::{Board, post_to};
use server::{Server, ServerError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Waits before a server that failed is started again.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A server that ran this long starts with the first wait again: the cause of the last failure is gone.
const BACKOFF_RESET_AFTER: Duration = Duration::from_mins(1);
/// Longest time for the server to close its store.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(6);

/// The server part: broker, ingester and store in this process.
pub(super) struct ServerPart {
    /// `None` while another program has its port.
    broker: Option<Broker>,
    config: Config,
    api: Service,
    running: Option<Running>,
    due: Instant,
    backoff: Backoff,
    /// The last failure that was logged.
    said: Option<String>,
    /// Gets the alerts of rules.
    alerts: mpsc::Sender<Alert>,
    /// Whom the API asks about this moment.
    collector: Collector,
    /// What people have silenced.
    silences: Silences,
}

struct Running {
    ingest: Ingest,
    rules: Arc<Board>,
    pusher: Pusher,
    task: JoinHandle<Result<(), ServerError>>,
    stop: Option<oneshot::Sender<()>>,
    since: Instant,
    /// It is ending, to start again with other settings.
    restarting: bool,
}

impl ServerPart {
    /// Starts broker, ingester and store. Another program on the broker's port is no failure: it is named, and the port is
    /// tried again ([`Self::tend`]).
    /// `alerts` gets the alerts of rules.
    pub(super) async fn start(
        config: Config,
        alerts: mpsc::Sender<Alert>,
        collector: Collector,
        silences: Silences,
    ) -> Result<Self, ServerError> {
        let mut part = Self {
            broker: None,
            api: start_api(&config, &collector, &silences),
            collector,
            silences,
            config,
            running: None,
            due: Instant::now(),
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_MAX),
            said: None,
            alerts,
        };
        match part.start_broker().await {
            Ok(broker) => {
                part.running = Some(Running::start(&broker, &part.config, &part.api, &part.alerts).await?);
                part.broker = Some(broker);
            }
            // With a port that is chosen freely there is always another one.
            Err(ServerError::Broker(error @ BrokerError::PortInUse { .. })) => {
                part.failed(text::chain(&error));
            }

            Err(error) => return Err(error),
        }
        Ok(part)
    }

    async fn start_broker(&self) -> Result<Broker, ServerError> {
        let (listen, dir) = (self.config.listen, self.config.runtime_dir.clone());
        tokio::task::spawn_blocking(move || Broker::start(listen, &dir))
            .await
            .map_err(|_| ServerError::Panic("starting the broker"))?
            .map_err(ServerError::from)
    }

    /// The broker, once it has its port.
    pub(super) const fn broker(&self) -> Option<&Broker> {
        self.broker.as_ref()
    }

    /// How the API is.
    pub(super) fn api(&self) -> ApiState {
        self.api.state()
    }

    /// Has ingester and store end and start again with another store, and the API with other settings. Where both listen and
    /// where files are does not change.
    pub(super) fn change(&mut self, config: Config) {
        self.config.http = config.http.clone();
        if self.api.differs(&config) {
            // The old one first: both have one port.
            self.api.stop();
            let config = Config { store: config.store.clone(), ..self.config.clone() };
            self.api = start_api(&config, &self.collector, &self.silences);
            if let Some(running) = &self.running {
                running.tell(&self.api);
            }
        }
        let Config { store, retention, push, rules, .. } = config;
        let new = Config { store, retention, push, rules, ..self.config.clone() };
        if new == self.config {
            return;
        }
        self.api.health().retains(new.retention.clone());
        self.config = new;
        self.backoff.succeeded();
        self.said = None;
        self.due = Instant::now();
        if let Some(running) = &mut self.running {
            running.restarting = true;
            running.stop.take();
        }
    }

    /// Restarts it when it has ended, with back-off. Logs the reason, and the same reason again only after it ran for
    /// [`BACKOFF_RESET_AFTER`]. Returns the broker's access if the broker has just got its port.
    pub(super) async fn tend(&mut self) -> Option<BrokerAccess> {
        if let Some(running) = &mut self.running {
            if !running.task.is_finished() {
                if self.said.is_some() && running.since.elapsed() > BACKOFF_RESET_AFTER {
                    self.said = None;
                    self.backoff.succeeded();
                }
                return None;
            }
            let restarting = running.restarting;
            let why = match (&mut running.task).await {
                Ok(Ok(())) => "it ended".to_owned(),
                Ok(Err(error)) => text::chain(&error),
                Err(error) => error.to_string(),
            };
            self.running = None;
            if !restarting {
                self.failed(why);
            }
        }
        if Instant::now() < self.due {
            return None;
        }
        let mut access = None;
        if self.broker.is_none() {
            match self.start_broker().await {
                Ok(broker) => {
                    access = Some(broker.access());
                    self.broker = Some(broker);
                }
                Err(error) => self.failed(text::chain(&error)),
            }
        }
        if let Some(broker) = &self.broker {
            match Running::start(broker, &self.config, &self.api, &self.alerts).await {
                Ok(running) => self.running = Some(running),
                Err(error) => self.failed(text::chain(&error)),
            }
        }
        access
    }

    fn failed(&mut self, why: String) {
        self.due = Instant::now() + self.backoff.failed();
        if self.said.as_ref() != Some(&why) {
            tracing::error!(why, "the server part failed; it is started again, windows wait in the spool");
            self.said = Some(why);
        }
    }

    /// Lets it close its store.
    pub(super) async fn stop(self) {
        let Some(Running { task, stop, .. }) = self.running else { return };
        drop(stop);
        match tokio::time::timeout(CLOSE_TIMEOUT, task).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(error = text::chain(&error), "the server part"),
            Ok(Err(error)) => tracing::error!(%error, "the server part"),
            Err(_) => tracing::warn!("the server part did not end in time"),
        }
    }
}

/// The API, which asks this collector.
fn start_api(config: &Config, collector: &Collector, silences: &Silences) -> Service {
    let api = Service::start(config, silences.clone());
    api.health().ask(collector.clone());
    api
}

impl Running {
    async fn start(
        broker: &Broker,
        config: &Config,
        api: &Service,
        alerts: &mpsc::Sender<Alert>,
    ) -> Result<Self, ServerError> {
        let mut server = Server::beside(broker, config.clone()).await?;
        let ingest = server.ingest().clone();
        let rules = server.start_rules(post_to(alerts.clone()))?;
        let pusher = server.start_push()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            // Dropping the sender stops it.
            let _ = stopped.await;
        };
        let task = tokio::spawn(server.run(shutdown));
        let running =
            Self { ingest, rules, pusher, task, stop: Some(stop), since: Instant::now(), restarting: false };
        running.tell(api);
        Ok(running)
    }

    /// Tells the API of what runs now.
    fn tell(&self, api: &Service) {
        api.health().watch(&self.ingest);
        api.health().evaluate(Arc::clone(&self.rules));
        api.health().push_to(self.pusher.clone());
    }
}
