//! The accept loop. `axum::serve` has no time-out for headers: a client that sends them a byte a minute would keep its
//! connection for ever.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower_service::Service as _;

use super::connections::Connections;

/// How long a client may take to send its headers, and how long a connection may wait for the next request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request, bytes: Grafana sends queries of some kilobytes in the address.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long to wait when the system has no descriptor left.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Answers on all connections until it is dropped, and they with it.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let connections = Connections::default();
    let mut tasks = JoinSet::new();
    for number in 0.. {
        while tasks.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!("api: accept: {error}");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Some(place) = connections.enter(number, peer.ip()) else {
            tracing::debug!("api: too many connections at work; {peer} was closed");
            continue;
        };
        let router = router.clone();
        let task = tasks.spawn(async move {
            let busy = Arc::clone(&place.busy);
            let service = service_fn(move |request| answer(router.clone(), Arc::clone(&busy), request));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::trace!("api: {peer}: {error}");
            }
            drop(place);
        });
        connections.serves(number, task);
    }
}

/// Says that the connection is at work as long as this lives.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

async fn answer(
    mut router: Router,
    busy: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    busy.store(true, Ordering::Relaxed);
    let _busy = Busy(busy);
    router.call(request.map(Body::new)).await
}
