//! Queries on threads of their own, few at a time, each with an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use agent_common::settings::server::Http;
use axum::http::StatusCode;
use promql::{ParseError, Query, Reader};
use tokio::sync::Semaphore;

use super::metrics::Health;
use super::prometheus::Failure;
use super::source::Source;
use crate::questions::Collector;
use crate::rules::GroupStatus;
use crate::store::{StoreError, embedded, logs, profiles};

/// Queries at the same time: each may take 64 MiB.
const MAX_QUERIES: usize = 4;
/// Graphs that are made at the same time: a day of a busy host takes some 100 MiB while it is merged.
const MAX_GRAPHS: usize = 1;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(super) struct Work {
    source: Arc<dyn Source>,
    health: Health,
    places: Arc<Semaphore>,
    graphs: Arc<Semaphore>,
    timeout: Duration,
    lookback: Duration,
}

/// A query's end: its time is over, or nobody waits for the answer.
pub(super) struct End {
    at: Instant,
    left: Arc<AtomicBool>,
}

impl End {
    pub(super) fn is_over(&self) -> bool {
        self.left.load(Ordering::Relaxed) || Instant::now() >= self.at
    }
}

/// Sets its flag when it is dropped.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Work {
    pub(super) fn new(http: &Http, source: Arc<dyn Source>, health: Health) -> Self {
        Self {
            source,
            health,
            places: Arc::new(Semaphore::new(MAX_QUERIES)),
            graphs: Arc::new(Semaphore::new(MAX_GRAPHS)),
            timeout: http.query_timeout,
            lookback: http.lookback,
        }
    }

    /// Who can be asked about this moment.
    pub(super) fn collector(&self) -> Option<Collector> {
        self.health.collector()
    }

    /// All groups of rules.
    pub(super) fn rules(&self) -> Vec<GroupStatus> {
        self.health.rules().map(|board| board.groups()).unwrap_or_default()
    }

    /// Understands a query, which may call functions of the user's own.
    pub(super) fn parse(&self, text: &str) -> Result<Query, ParseError> {
        match self.health.rules() {
            Some(board) => Query::parse_with(text, board.macros()),
            None => Query::parse(text),
        }
    }

    /// Whether the store keeps running sums.
    pub(super) fn keeps_sums(&self) -> bool {
        self.source.keeps_sums()
    }

    /// The lookback of queries, ms.
    pub(super) fn lookback_ms(&self) -> i64 {
        i64::try_from(self.lookback.as_millis()).unwrap_or(i64::MAX)
    }

    /// Does something with the store's series; it is to look at its end often. A request's own time-out can only be shorter.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        timeout: Option<Duration>,
        with: impl FnOnce(&dyn Reader, &End) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.on_thread(timeout, move |source, end| {
            let (mut with, mut answer) = (Some(with), None);
            source
                .read(&|| end.is_over(), &mut |reader| answer = with.take().map(|with| with(reader, end)))?;
            answer.unwrap_or_else(|| Err(Failure::internal("the store was not read")))
        })
        .await
    }

    /// Does something with what only the embedded store has.
    pub(super) async fn stored<T: Send + 'static>(
        &self,
        with: impl FnOnce(&embedded::Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        self.on_thread(None, move |source, _| {
            let (mut with, mut answer) = (Some(with), None);
            source.stored(&mut |reader| {
                answer = with.take().map(|with| with(reader)).transpose()?;
                Ok(())
            })?;
            answer.ok_or_else(|| Failure::internal("the store was not read"))
        })
        .await
    }

    /// Does something with the profiles; `None`: none are kept here. It is to look at its end often.
    pub(super) async fn profiles<T: Send + 'static>(
        &self,
        with: impl FnOnce(&profiles::Reader, &End) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, Failure> {
        self.on_thread_of(&self.graphs, None, move |source, end| {
            let (mut with, mut answer) = (Some(with), None);
            source.profiles(&mut |reader| {
                answer = with.take().map(|with| with(reader, end)).transpose()?;
                Ok(())
            })?;
            Ok(answer)
        })
        .await
    }

    /// Does something with the log lines; `None`: none are kept here. It is to look at its end often.
    pub(super) async fn logs<T: Send + 'static>(
        &self,
        with: impl FnOnce(&logs::Reader, &End) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, Failure> {
        self.on_thread(None, move |source, end| {
            let (mut with, mut answer) = (Some(with), None);
            source.logs(&mut |reader| {
                answer = with.take().map(|with| with(reader, end)).transpose()?;
                Ok(())
            })?;
            Ok(answer)
        })
        .await
    }

    /// Works on a thread that may wait.
    async fn on_thread<T: Send + 'static>(
        &self,
        timeout: Option<Duration>,
        work: impl FnOnce(&dyn Source, &End) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.on_thread_of(&self.places, timeout, work).await
    }

    /// Waits for one of these places, and works on a thread that may wait.
    async fn on_thread_of<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        timeout: Option<Duration>,
        work: impl FnOnce(&dyn Source, &End) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let at = Instant::now() + timeout.map_or(self.timeout, |own| own.min(self.timeout));
        let waited = tokio::time::timeout_at(at.into(), Arc::clone(places).acquire_owned()).await;
        let Ok(Ok(place)) = waited else {
            return Err(Failure::timeout("too many queries at the same time"));
        };
        let left = Arc::new(AtomicBool::new(false));
        let _leaving = Leaving(Arc::clone(&left));
        let source = Arc::clone(&self.source);
        let answer = tokio::task::spawn_blocking(move || {
            let _place = place;
            let end = End { at, left };
            match work(&*source, &end) {
                // A reader that gives up says so as an error of its own.
                Err(failure) if end.is_over() && failure.status == StatusCode::INTERNAL_SERVER_ERROR => {
                    Err(Failure::timeout("it took too long: ask for a shorter time"))
                }
                answer => answer,
            }
        });
        answer.await.unwrap_or_else(|_| Err(Failure::internal("the query panicked")))
    }
}
