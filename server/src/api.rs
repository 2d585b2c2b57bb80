//! HTTP: Prometheus's API, so that Grafana and `promtool` work as they are.
//!
//! It listens on loopback alone, and trusts nobody there: any web page can send requests to it by way of a browser, and any
//! user of the host can connect. So each request must name a host that is ours, come from no foreign page, and carry the
//! token, which only the owner of its file can read (`guard`).

mod connections;
mod guard;
mod prometheus;
mod serve;
mod source;
mod work;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use self::prometheus::{selector, value};
pub use self::source::{Embedded, Source};
use crate::secret;

/// The token's file in the runtime directory.
pub const TOKEN_FILE: &str = "api.token";

/// What may be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen: a loopback address. Port 0: a free one.
    pub listen: SocketAddr,
    /// Where the token's file is made.
    pub runtime_dir: PathBuf,
    /// Names that requests may have in `Host`, beside `localhost` and loopback addresses.
    pub hosts: Vec<String>,
    /// How long a query may take.
    pub query_timeout: Duration,
    /// How old the newest sample of a series may be in an instant vector.
    pub lookback: Duration,
}

impl Options {
    /// With Prometheus's five minutes of lookback, ten seconds a query.
    pub fn new(listen: SocketAddr, runtime_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen,
            runtime_dir: runtime_dir.into(),
            hosts: Vec::new(),
            query_timeout: Duration::from_secs(10),
            lookback: Duration::from_mins(5),
        }
    }
}

/// Why the API does not run.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Another machine could reach it, unencrypted.
    #[error("api: {0} is no loopback address")]
    NotLoopback(SocketAddr),
    /// The port is in use, or may not be used.
    #[error("api: cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The token's file.
    #[error("api: cannot write the token file {path}")]
    Token {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// The API as it runs; dropped, it ends with all its connections.
#[derive(Debug)]
pub struct Api {
    /// Where it listens.
    pub address: SocketAddr,
    /// The file with the token, mode 0600.
    pub token_file: PathBuf,
    task: JoinHandle<()>,
}

impl Api {
    /// Makes the token, listens, and answers from `source`.
    pub async fn start(options: Options, source: Arc<dyn Source>) -> Result<Self, ApiError> {
        if !options.listen.ip().is_loopback() {
            return Err(ApiError::NotLoopback(options.listen));
        }
        let listening = |source| ApiError::Listen { listen: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let token_file = options.runtime_dir.join(TOKEN_FILE);
        let (dir, path) = (options.runtime_dir.clone(), token_file.clone());
        let made = tokio::task::spawn_blocking(move || secret::make(&dir, &path)).await;
        let token = made
            .unwrap_or_else(|_| Err(std::io::Error::other("the task panicked")))
            .map_err(|source| ApiError::Token { path: token_file.clone(), source })?;
        let guard = guard::Guard::new(&token, options.hosts.clone());
        let router = prometheus::router(work::Work::new(&options, source))
            .layer(axum::middleware::from_fn_with_state(Arc::new(guard), guard::check));
        Ok(Self { address, token_file, task: tokio::spawn(serve::serve(listener, router)) })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}
