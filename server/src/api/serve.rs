//! The accept loop. `axum::serve` has no time-out for headers: a client that sends them a byte a minute would keep its
//! connection for ever.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::client::Peer;
use super::connections::Connections;
use super::metrics::Counts;
use super::timed::{Timed, WRITE_TIMEOUT};

/// How long a client may take to send its headers, and how long a connection may wait for the next request; also for the
/// handshake of TLS.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request, bytes: Grafana sends queries of some kilobytes in the address.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long to wait when the system has no descriptor left.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// What every answer says to browsers, unless its handler says more: take the content for what we say it is, show it in no
/// frame, load nothing, tell nobody where the user came from.
const HEADERS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// What answers on a listener.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) router: Router,
    /// `None`: plain HTTP.
    pub(super) tls: Option<TlsAcceptor>,
    /// What stands before all paths.
    pub(super) prefix: Arc<str>,
    pub(super) counts: Arc<Counts>,
}

impl Server {
    /// Answers on all connections until it is dropped, and they with it.
    pub(super) async fn serve(self, listener: TcpListener) {
        let connections = Connections::default();
        let mut tasks = JoinSet::new();
        for number in 0.. {
            while tasks.try_join_next().is_some() {}
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!("api: accept: {error}");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            self.counts.connections.fetch_add(1, Ordering::Relaxed);
            let Some(place) = connections.enter(number, address.ip()) else {
                self.counts.refused_connections.fetch_add(1, Ordering::Relaxed);
                tracing::debug!("api: too many connections at work; {address} was closed");
                continue;
            };
            let server = self.clone();
            let task = tasks.spawn(async move {
                let busy = Arc::clone(&place.busy);
                if let Err(error) = server.connection(stream, address, busy).await {
                    tracing::trace!("api: {address}: {error}");
                }
                drop(place);
            });
            connections.serves(number, task);
        }
    }

    async fn connection(
        self,
        stream: TcpStream,
        address: SocketAddr,
        busy: Arc<AtomicBool>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let peer = Peer { address, local: stream.local_addr()?, tls: self.tls.is_some() };
        // Answers are written whole: a last small packet shall not wait for an acknowledgement.
        stream.set_nodelay(true)?;
        let stream = Timed::new(stream, WRITE_TIMEOUT);
        match &self.tls {
            None => self.http(stream, peer, busy).await,
            Some(acceptor) => {
                let stream = tokio::time::timeout(HEADER_TIMEOUT, acceptor.accept(stream)).await??;
                self.http(stream, peer, busy).await
            }
        }
    }

    async fn http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: Peer,
        busy: Arc<AtomicBool>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let service = service_fn(move |request| self.clone().answer(peer, Arc::clone(&busy), request));
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
        Ok(server.serve_connection(TokioIo::new(stream), service).await?)
    }

    async fn answer(
        mut self,
        peer: Peer,
        busy: Arc<AtomicBool>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        busy.store(true, Ordering::Relaxed);
        let _busy = Busy(busy);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        if let Some(uri) = without_prefix(request.uri(), &self.prefix) {
            *request.uri_mut() = uri;
        }
        let mut response = self.router.call(request).await?;
        self.counts.count(response.status());
        for (name, value) in HEADERS {
            response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
        }
        Ok(response)
    }
}

/// The address without the prefix, if it has it. Some proxies leave it out by themselves.
fn without_prefix(uri: &Uri, prefix: &str) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(prefix).filter(|_| !prefix.is_empty())?;
    let rest = match rest.chars().next() {
        Some('/') => rest.to_owned(),
        None | Some('?') => format!("/{rest}"),
        Some(_) => return None,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Says that the connection is at work as long as this lives.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_goes_where_it_is_one() {
        let cut =
            |uri: &str, prefix| without_prefix(&uri.parse().unwrap(), prefix).map(|uri| uri.to_string());
        assert_eq!(cut("/a/b/x?y=1", "/a/b").as_deref(), Some("/x?y=1"));
        assert_eq!(cut("/a?y", "/a").as_deref(), Some("/?y"));
        assert_eq!(cut("/a", "/a").as_deref(), Some("/"));
        for (uri, prefix) in [("/ab/x", "/a"), ("/x", "/a"), ("/x", "")] {
            assert_eq!(cut(uri, prefix), None, "{uri}");
        }
    }
}
