//! The API of a server part: started again until it runs, whatever else the server does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_common::pair::ApiState;
use agent_common::settings::server::{Config, Http, StoreConfig};
use agent_common::text;
use agent_common::wire::silence::Silences;
use link::Backoff;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Api, ApiError, Embedded, Health, Options, Source};
use crate::secret;
use crate::store::elsewhere::Elsewhere;
use crate::store::embedded;

/// The file in the runtime directory that says where the API is, as JSON ([`ApiState`]): `agent open` reads it.
pub const ADDRESS_FILE: &str = "api.json";
/// Waits before it is tried again: another program may have its port.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// The API of a server; dropped, it ends.
#[derive(Debug)]
pub struct Service {
    http: Http,
    store: StoreConfig,
    health: Health,
    state: watch::Receiver<ApiState>,
    task: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts it. What is in its way is in its state, and in the log. What people silence is in `silences` from then on.
    pub fn start(config: &Config, silences: Silences) -> Self {
        let health = Health::new(silences);
        health.retains(config.retention.clone());
        let (to, state) = watch::channel(ApiState::default());
        let (http, store) = (config.http.clone(), config.store.clone());
        let task = http.enabled.then(|| {
            let options = Options {
                http: http.clone(),
                state_dir: config.state_dir.clone(),
                runtime_dir: config.runtime_dir.clone(),
            };
            tokio::spawn(run(options, store.clone(), health.clone(), to))
        });
        Self { http, store, health, state, task }
    }

    /// Whether it would be another one with this configuration.
    pub fn differs(&self, config: &Config) -> bool {
        self.http != config.http || (self.http.enabled && self.store != config.store)
    }

    /// Where the figures are that `/metrics` shows of the ingester.
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// Where it is, or what is in its way.
    pub fn state(&self) -> ApiState {
        self.state.borrow().clone()
    }

    /// Ends it; its port is free soon after.
    pub fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs until it is dropped.
async fn run(options: Options, store: StoreConfig, health: Health, state: watch::Sender<ApiState>) {
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
    let (mut said, mut failures) = (None, 0_u32);
    let file = options.runtime_dir.join(ADDRESS_FILE);
    loop {
        let started = async {
            let api = Api::start(options.clone(), source(&store, &options)?, health.clone()).await?;
            note(file.clone(), api.state()).await.map(|()| api)
        };
        let started = started.await;
        match started {
            Ok(api) => {
                let fingerprint = api.fingerprint.as_deref();
                tracing::info!(
                    url = api.url,
                    fingerprint,
                    "the HTTP API listens; `agent open` opens it in a browser"
                );
                state.send_replace(api.state());
                // It ends when this task does, and it with the service.
                return std::future::pending().await;
            }
            Err(error) => {
                let why = text::chain(&error);
                failures += 1;
                // One that ends to start again with other settings has the port for a moment.
                if failures > 1 && said.as_ref() != Some(&why) {
                    tracing::warn!("the HTTP API does not run, and is tried again: {why}");
                    state.send_replace(ApiState { problem: Some(why.clone()), ..ApiState::default() });
                    said = Some(why);
                }
                tokio::time::sleep(backoff.failed()).await;
            }
        }
    }
}

/// The store that it answers from.
fn source(store: &StoreConfig, options: &Options) -> Result<Arc<dyn Source>, ApiError> {
    Ok(match Elsewhere::of(store, Handle::current())? {
        Some(elsewhere) => Arc::new(elsewhere),
        None => Arc::new(Embedded::new(options.state_dir.join(embedded::FILE))),
    })
}

/// Writes down where it is.
async fn note(path: PathBuf, state: ApiState) -> Result<(), ApiError> {
    let write = |path: &Path, state: &ApiState| secret::write(path, &serde_json::to_vec(state)?);
    let written = tokio::task::spawn_blocking(move || {
        write(&path, &state).map_err(|source| ApiError::File { path, source })
    });
    written.await.map_err(|_| ApiError::Panic)?
}
