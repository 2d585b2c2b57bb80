//! Broker, ingester and store together.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use link::Failure;

use crate::broker::{self, Broker, BrokerError};
use crate::config::{self, BrokerConfig, Config, StoreConfig};
use crate::ingest::{self, Ingest, IngestStats};
use crate::push::Pusher;
use crate::rules::{Board, Loaded, Post, Rules};
use crate::store::logs::{self, LogStore};
use crate::store::profiles::{self, ProfileStore};
use crate::store::{PushLimits, Store, StoreError, embedded, influx};

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The embedded broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// URL, password file or certificates of an external broker.
    #[error(transparent)]
    BrokerSettings(#[from] Failure),
    /// The store cannot be opened.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// Two settings exclude each other.
    #[error("{0}")]
    Settings(&'static str),
    /// No thread for the rules.
    #[error("rules: {0}")]
    Rules(#[source] std::io::Error),
    /// No thread for what programs push.
    #[error("push: {0}")]
    Push(#[source] std::io::Error),
    /// A task of ours panicked.
    #[error("{0} panicked")]
    Panic(&'static str),
}

/// A server whose broker listens and whose store is open.
#[derive(Debug)]
pub struct Server {
    broker: Option<Broker>,
    ingest: Ingest,
    store: Arc<dyn Store>,
    /// The embedded store's file.
    file: Option<PathBuf>,
    rules: config::Rules,
    evaluated: Option<Rules>,
    beside: Beside,
    /// How long the store keeps samples.
    max_age: Duration,
}

/// Runs broker, ingester and store until `shutdown` is ready.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
    Server::start(config).await?.run(shutdown).await
}

impl Server {
    /// Opens the store and starts the broker. Nothing is ingested before [`Server::run`].
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        check(&config)?;
        let store = open(&config).await?;
        Self::with_store(config, store).await
    }

    /// The same beside an embedded broker that runs already and goes on when this server ends: a store can be replaced
    /// without it.
    pub async fn beside(broker: &Broker, config: Config) -> Result<Self, ServerError> {
        check(&config)?;
        let store = open(&config).await?;
        let beside = Beside::open(&config).await?;
        Ok(Self::reading(Some(broker.clone()), link_to(broker, &config), config, store, beside))
    }

    /// The same with a store that is open already.
    pub async fn with_store(config: Config, store: Arc<dyn Store>) -> Result<Self, ServerError> {
        check(&config)?;
        let (broker, link) = match &config.broker {
            BrokerConfig::Embedded => {
                let (listen, runtime_dir) = (config.listen, config.runtime_dir.clone());
                let broker = tokio::task::spawn_blocking(move || Broker::start(listen, &runtime_dir))
                    .await
                    .map_err(|_| ServerError::Panic("starting the broker"))??;
                let link = link_to(&broker, &config);
                (Some(broker), link)
            }
            // The broker keeps what arrives while the ingester is away, unless the client id is not its own for good.
            BrokerConfig::External(external) => {
                let clean_session = config.ingest.group.is_some() && config.ingest.client_id.is_none();
                (
                    None,
                    link::Options {
                        clean_session,
                        ..link::Options::new(external.clone(), client_id(&config))
                    },
                )
            }
        };
        let beside = Beside::open(&config).await?;
        Ok(Self::reading(broker, link, config, store, beside))
    }

    fn reading(
        broker: Option<Broker>,
        link: link::Options,
        config: Config,
        store: Arc<dyn Store>,
        beside: Beside,
    ) -> Self {
        let refused_by_broker = broker.as_ref().map(|_| broker::refused as fn() -> u64);
        let options =
            ingest::Options { group: config.ingest.group, refused_by_broker, ..ingest::Options::new(link) };
        let is_embedded = config.store == StoreConfig::Embedded;
        let file = is_embedded.then(|| config.state_dir.join(embedded::FILE));
        let ingest = Ingest::new(options, Arc::clone(&store))
            .with_profiles(beside.profiles.clone())
            .with_logs(beside.logs.clone());
        let max_age = max_age(&config.retention);
        Self { broker, ingest, store, file, rules: config.rules, evaluated: None, beside, max_age }
    }

    /// Starts to evaluate the rules of the settings over the embedded store; `post` gets the changes of their alerts. Returns what
    /// is known of each rule.
    pub fn start_rules(&mut self, post: Post) -> Result<Arc<Board>, ServerError> {
        let mut loaded = Loaded::read(&self.rules);
        let path = self.file.clone().unwrap_or_default();
        if self.file.is_none() && !loaded.is_empty() {
            tracing::warn!("rules are evaluated over the embedded store alone: server.store is another one");
            loaded = Loaded::read(&config::Rules::default());
        }
        let rules = Rules::start(loaded, Arc::clone(&self.store), &path, post).map_err(ServerError::Rules)?;
        let board = Arc::clone(rules.board());
        self.evaluated = Some(rules);
        Ok(board)
    }

    /// Starts to take what programs push.
    pub fn start_push(&self) -> Result<Pusher, ServerError> {
        Pusher::start(Arc::clone(&self.store), self.max_age).map_err(ServerError::Push)
    }

    /// Where the embedded broker listens.
    pub fn broker_address(&self) -> Option<SocketAddr> {
        self.broker.as_ref().map(|b| b.address)
    }

    /// File with the password of the embedded broker; its user is [`broker::USER`].
    pub fn broker_password_file(&self) -> Option<PathBuf> {
        self.broker.as_ref().map(|b| b.password_file.clone())
    }

    /// The ingester: a clone shows its figures while the server runs.
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// Figures of the ingester.
    pub fn stats(&self) -> IngestStats {
        self.ingest.stats()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Ingests until `shutdown` is ready, then closes the store. The broker goes with the process.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        self.ingest.run(shutdown).await;
        let Self { store, evaluated, beside, .. } = self;
        let close = move || {
            if let Some(rules) = evaluated {
                rules.stop();
            }
            let closed = beside.close();
            store.close().and(closed)
        };
        tokio::task::spawn_blocking(close).await.map_err(|_| ServerError::Panic("closing the store"))??;
        Ok(())
    }
}

/// What can be known to be wrong before anything is opened.
fn check(config: &Config) -> Result<(), ServerError> {
    if config.ingest.group.is_some() && config.store == StoreConfig::Embedded {
        return Err(ServerError::Settings(
            "ingest.group needs a store that takes several writers: the embedded one has one",
        ));
    }
    if let BrokerConfig::External(external) = &config.broker {
        link::check(&link::Options::new(external.clone(), client_id(config)))?;
    }
    Ok(())
}

fn client_id(config: &Config) -> String {
    match (&config.ingest.client_id, &config.ingest.group) {
        (Some(id), _) => id.clone(),
        (None, None) => "s7mpa-ingest".into(),
        (None, Some(group)) => format!("s7mpa-ingest-{group}-{}", std::process::id()),
    }
}

fn link_to(broker: &Broker, config: &Config) -> link::Options {
    link::Options::new(broker.access(), client_id(config))
}

async fn open(config: &Config) -> Result<Arc<dyn Store>, ServerError> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || open_store(&config))
        .await
        .map_err(|_| ServerError::Panic("opening the store"))?
        .map_err(ServerError::from)
}

/// The stores beside the metrics', whatever the store of those. `None` in a group of ingesters: each has one writer, and a message
/// goes to one of a group.
#[derive(Debug, Default)]
struct Beside {
    profiles: Option<Arc<ProfileStore>>,
    logs: Option<Arc<LogStore>>,
}

impl Beside {
    async fn open(config: &Config) -> Result<Self, ServerError> {
        if config.ingest.group.is_some() {
            return Ok(Self::default());
        }
        let (dir, retention) = (config.state_dir.clone(), config.retention.clone());
        tokio::task::spawn_blocking(move || Self::open_now(&dir, retention))
            .await
            .map_err(|_| ServerError::Panic("opening the stores of profiles and log lines"))?
            .map_err(ServerError::from)
    }

    fn open_now(dir: &Path, retention: config::Retention) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Misconfigured {
            what: format!("cannot make the store's directory {}", dir.display()),
            retry_after: Duration::from_secs(1),
            source: Some(source.into()),
        })?;
        let day = |days: u32| Duration::from_secs(u64::from(days) * 24 * 3600);
        let profiles = profiles::Options {
            max_age: day(retention.profile_days),
            max_bytes: retention.profile_max_bytes,
            ..profiles::Options::default()
        };
        let of_source = |(source, age_s)| (source, Duration::from_secs(age_s));
        let logs = logs::Options {
            max_age: day(retention.log_days),
            source_age: retention.log_source_s.into_iter().map(of_source).collect(),
            max_bytes: retention.log_max_bytes,
        };
        Ok(Self {
            profiles: Some(Arc::new(ProfileStore::open(dir, profiles)?)),
            logs: Some(Arc::new(LogStore::open(dir, logs)?)),
        })
    }

    fn close(self) -> Result<(), StoreError> {
        let closed = self.profiles.map_or(Ok(()), |profiles| profiles.close());
        self.logs.map_or(Ok(()), |logs| logs.close()).and(closed)
    }
}

/// How long the store keeps samples.
fn max_age(retention: &config::Retention) -> Duration {
    Duration::from_secs(u64::from(retention.days) * 24 * 3600)
}

fn open_store(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    match &config.store {
        StoreConfig::Embedded => {
            let options = embedded::Options {
                written_age: Duration::from_secs(config.retention.written_s),
                ten_seconds_age: Duration::from_secs(config.retention.ten_seconds_s),
                max_age: max_age(&config.retention),
                max_bytes: config.retention.max_bytes,
                push: PushLimits {
                    max_series: config.push.max_series,
                    new_series_per_minute: config.push.new_series_per_minute,
                },
                ..embedded::Options::default()
            };
            Ok(Arc::new(embedded::EmbeddedStore::open(&config.state_dir, options)?))
        }
        StoreConfig::Influx1(settings) => {
            Ok(Arc::new(influx::InfluxStore::open(influx::Options::of_v1(settings)?)?))
        }
        StoreConfig::Influx2(settings) => {
            Ok(Arc::new(influx::InfluxStore::open(influx::Options::of_v2(settings)?)?))
        }
    }
}
