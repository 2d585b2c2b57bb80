//! From requests to the store: those that wait are written together. Each transaction costs an fsync; a fleet of Telegrafs sends
//! many small requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::limits::MAX_SAMPLES;
use super::report::{Parsed, Report};
use super::stats::{Counts, PushStats};
use crate::store::{Batch, Pushed, Store, StoreError};

/// Requests that may wait. Their memory is bounded by whoever reads their bodies.
const MAX_WAITING: usize = 256;
/// Samples that are written together, and those of one request more.
const MAX_TOGETHER: usize = MAX_SAMPLES as usize;
/// When to try again if too much is waiting.
const BUSY: Duration = Duration::from_secs(5);

/// Why a request is not stored. Sent again, it may be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PushError {
    /// Too much is waiting, or the store has a passing trouble.
    #[error("{what}")]
    Later {
        /// One line for people.
        what: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// This store takes nothing that is pushed.
    #[error("{0}")]
    Unsupported(String),
}

impl From<&StoreError> for PushError {
    fn from(error: &StoreError) -> Self {
        let what = agent_common::text::chain(error);
        match error {
            StoreError::Unsupported { .. } => Self::Unsupported(what),
            other => Self::Later { what, retry_after: other.retry_after().unwrap_or(BUSY) },
        }
    }
}

struct Waiting {
    batch: Batch,
    answer: oneshot::Sender<Result<Pushed, PushError>>,
}

/// Takes requests for a store. Clones are the same; after the last the thread ends.
#[derive(Debug, Clone)]
pub struct Pusher {
    queue: mpsc::Sender<Waiting>,
    counts: Arc<Counts>,
    max_age: Duration,
}

impl Pusher {
    /// Starts the thread. `max_age`: how long the store keeps samples.
    pub fn start(store: Arc<dyn Store>, max_age: Duration) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        std::thread::Builder::new().name("push".to_owned()).spawn(move || run(waiting, &*store, &shared))?;
        Ok(Self { queue, counts, max_age })
    }

    /// How old a sample may be.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Counts so far.
    pub fn stats(&self) -> PushStats {
        self.counts.get()
    }

    /// Stores what is good of a request; when it returns `Ok`, that is durable, and the report says what was refused.
    pub async fn push(&self, parsed: Parsed) -> Result<Report, PushError> {
        let Parsed { batch, mut report } = parsed;
        if !batch.samples().is_empty() {
            let done = self.store(batch).await;
            if done.is_err() {
                self.counts.change(|stats| stats.failures += 1);
            }
            report.add(&done?);
        }
        self.counts.report(&report);
        Ok(report)
    }

    async fn store(&self, batch: Batch) -> Result<Pushed, PushError> {
        let later = |what: &str| PushError::Later { what: what.to_owned(), retry_after: BUSY };
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(Waiting { batch, answer })
            .map_err(|_| later("too many requests wait for the store"))?;
        answered.await.unwrap_or_else(|_| Err(later("the store has just been closed")))
    }
}

fn run(mut waiting: mpsc::Receiver<Waiting>, store: &dyn Store, counts: &Counts) {
    while let Some(first) = waiting.blocking_recv() {
        let mut samples = first.batch.samples().len();
        let (mut batches, mut answers) = (vec![first.batch], vec![first.answer]);
        while samples < MAX_TOGETHER
            && let Ok(next) = waiting.try_recv()
        {
            samples += next.batch.samples().len();
            batches.push(next.batch);
            answers.push(next.answer);
        }
        match store.push(&batches) {
            Ok(all) => {
                let stored: u64 = all.iter().map(|done| done.samples).sum();
                counts.change(|stats| {
                    stats.samples += stored;
                    stats.writes += 1;
                });
                for (answer, done) in answers.into_iter().zip(all) {
                    // Who has gone needs no answer.
                    let _ = answer.send(Ok(done));
                }
            }
            Err(error) => {
                let error = PushError::from(&error);
                tracing::warn!("pushed samples are not stored: {error}");
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}
