//! HTTP: Prometheus's API, so that Grafana and `promtool` work as they are; ours; and a page to sign in.
//!
//! Nobody is trusted for the address that they come from: any web page can send requests to loopback by way of a browser, and
//! any user of the host can connect. So each request must name a host that is ours, come from no foreign page, and carry a
//! token or the cookie of a session (`guard`). Each route says beside its path which role it takes (`routes`).

mod client;
mod connections;
mod guard;
mod identity;
mod kept;
mod metrics;
mod packed;
mod page;
mod problem;
mod prometheus;
mod push;
mod routes;
mod serve;
mod service;
mod source;
mod timed;
mod tls;
mod v1;
mod work;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use agent_common::pair::ApiState;
use agent_common::settings::server::Http;
use agent_common::wire::silence::Silence;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use self::metrics::Health;
pub use self::prometheus::{selector, value};
pub use self::routes::{Need, Route};
pub use self::service::{ADDRESS_FILE, Service};
pub use self::source::{Embedded, Source};
pub use self::tls::TlsError;
use crate::access::{Access, AccessError, now};
use crate::secret;
use crate::store::StoreError;

/// The token's file in the runtime directory.
pub const TOKEN_FILE: &str = "api.token";

/// What may be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Of the operator.
    pub http: Http,
    /// Where accounts are, and the certificate.
    pub state_dir: PathBuf,
    /// Where the token's file is made.
    pub runtime_dir: PathBuf,
}

/// Why the API does not run.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Other machines could reach it, and nobody could log in.
    #[error(
        "api: {0} can be reached from other machines, and there is neither an account nor a token: make one with `agent user \
         add NAME --role admin` or `agent token create --name NAME --role viewer`, or listen on 127.0.0.1"
    )]
    NoAccounts(SocketAddr),
    /// Another program has the port.
    #[error("api: {listen} is in use{}; set server.http.listen to another port, or end that program", by(holder.as_ref()))]
    InUse {
        /// The address.
        listen: SocketAddr,
        /// The program, as far as it can be known.
        holder: Option<sockets::Listener>,
    },
    /// The port may not be used.
    #[error("api: cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file that it writes.
    #[error("api: cannot write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Accounts.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The settings of a store elsewhere.
    #[error("api: {0}")]
    Store(#[from] StoreError),
    /// A task of ours panicked.
    #[error("api: starting it panicked")]
    Panic,
}

/// The API as it runs; dropped, it ends with all its connections.
#[derive(Debug)]
pub struct Api {
    /// Where it listens.
    pub address: SocketAddr,
    /// The file with the token of the server's owner, mode 0600.
    pub token_file: PathBuf,
    /// SHA-256 of the certificate, if it speaks TLS.
    pub fingerprint: Option<String>,
    /// Accounts, sessions, tokens.
    pub access: Arc<Access>,
    /// Where people find it.
    pub url: String,
    routes: Vec<Route>,
    task: JoinHandle<()>,
}

/// What is made before it listens: it blocks.
struct Made {
    access: Access,
    silences: Vec<Silence>,
    token: String,
    tls: Option<tls::Tls>,
}

impl Api {
    /// Makes the token, listens, and answers from `source`.
    pub async fn start(options: Options, source: Arc<dyn Source>, health: Health) -> Result<Self, ApiError> {
        let listen = options.http.listen;
        let token_file = options.runtime_dir.join(TOKEN_FILE);
        // First: another server's token and certificate stay as they are.
        let listener = TcpListener::bind(listen).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => in_use(listen),
            _ => ApiError::Listen { listen, source },
        })?;
        let address = listener.local_addr().map_err(|source| ApiError::Listen { listen, source })?;
        let (asked, path) = (options.clone(), token_file.clone());
        let made = tokio::task::spawn_blocking(move || Made::new(&asked, path));
        let Made { access, silences, token, tls } = made.await.map_err(|_| ApiError::Panic)??;
        let access = Arc::new(access);
        health.silences().set(silences);
        let guard = Arc::new(guard::Guard::new(&token, Arc::clone(&access), &options.http, address));
        let work = work::Work::new(&options.http, source, health.clone());
        let (router, routes) = routes::all(&guard, &work, &health);
        let url = url(&options.http, address, tls.is_some());
        let fingerprint = tls.as_ref().map(|tls| tls.fingerprint.clone());
        let server = serve::Server {
            router,
            tls: tls.map(|tls| tls.acceptor),
            prefix: options.http.path_prefix.as_str().into(),
            counts: health.counts(),
        };
        let task = tokio::spawn(server.serve(listener));
        Ok(Self { address, token_file, fingerprint, access, url, routes, task })
    }

    /// All routes, with the role that each takes.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Where it is, for people and commands.
    pub fn state(&self) -> ApiState {
        ApiState { url: Some(self.url.clone()), fingerprint: self.fingerprint.clone(), problem: None }
    }
}

impl Made {
    fn new(options: &Options, token_file: PathBuf) -> Result<Self, ApiError> {
        let listen = options.http.listen;
        let access = Access::open(&options.state_dir)?;
        if !listen.ip().is_loopback() && access.accounts()?.is_empty() && access.tokens()?.is_empty() {
            return Err(ApiError::NoAccounts(listen));
        }
        let tls = match &options.http.certificate {
            Some(certificate) => Some(tls::Tls::of_operator(certificate)?),
            None if listen.ip().is_loopback() => None,
            None => Some(tls::Tls::self_signed(&options.state_dir, &options.http)?),
        };
        let token = secret::make(&options.runtime_dir, &token_file)
            .map_err(|source| ApiError::File { path: token_file, source })?;
        let silences = access.silences(now())?;
        Ok(Self { access, silences, token, tls })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn in_use(listen: SocketAddr) -> ApiError {
    ApiError::InUse { listen, holder: sockets::listener_on(listen).ok().flatten() }
}

/// `http://127.0.0.1:7676/`; where it listens on all addresses, with the host's name.
fn url(http: &Http, address: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let place = if address.ip().is_unspecified() {
        let name =
            http.hosts.first().cloned().or_else(tls::host_name).unwrap_or_else(|| "localhost".to_owned());
        format!("{name}:{}", address.port())
    } else {
        address.to_string()
    };
    format!("{scheme}://{place}{}/", http.path_prefix)
}

fn by(holder: Option<&sockets::Listener>) -> String {
    holder.map(|holder| format!(" by {holder}")).unwrap_or_default()
}
