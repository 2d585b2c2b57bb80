//! What the relay may ask about this moment, and how often: two questions at a time, and one a second.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_common::pair::{Live, LiveAnswer, LiveFailure, LiveFailureKind, LiveQuestion, LiveResult, ToRelay};
use tokio::sync::Semaphore;

use super::budget::Budget;
use super::{Shared, lock};

/// Questions that are answered at the same time: each copies some MiB of stacks.
const MAX_AT_ONCE: usize = 2;
/// Questions that may come at once …
const MAX_BURST: u32 = 8;
/// … and what they are refilled with, a second.
const PER_S: u32 = 1;
/// Longest time for an answer: what is asked for lasts a minute at most.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Messages that wait for a relay that does not read. Further answers are dropped: it has stopped waiting for them.
const MAX_UNREAD: usize = 32;

type Answering = Pin<Box<dyn Future<Output = LiveResult> + Send>>;

/// Who answers; nobody until the daemon runs.
#[derive(Clone, Default)]
pub(super) struct Answerer(Option<Arc<dyn Fn(Live) -> Answering + Send + Sync>>);

impl fmt::Debug for Answerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answerer").field(&self.0.is_some()).finish()
    }
}

impl Answerer {
    pub(super) fn new<F>(answer: impl Fn(Live) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = LiveResult> + Send + 'static,
    {
        Self(Some(Arc::new(move |live| Box::pin(answer(live)))))
    }
}

/// The questions of one relay.
#[derive(Debug)]
pub(super) struct Questions {
    places: Arc<Semaphore>,
    budget: Budget,
    /// Gone with the connection: the next relay numbers its questions anew.
    connection: Arc<()>,
}

impl Questions {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            budget: Budget::new(MAX_BURST, PER_S, now),
            connection: Arc::default(),
        }
    }

    /// Has a question answered, or says why not. Never waits.
    pub(super) fn ask(&mut self, shared: &Arc<Shared>, question: LiveQuestion) {
        let LiveQuestion { id, live } = question;
        let refuse = |kind, why: &str| put(shared, id, Err(LiveFailure::new(kind, why)));
        if !live.is_bounded() {
            return refuse(LiveFailureKind::Refused, "it asks for more than may be asked for");
        }
        let busy = "the collector answers two questions at a time, and one a second";
        if !self.budget.take(Instant::now()) {
            return refuse(LiveFailureKind::Busy, busy);
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return refuse(LiveFailureKind::Busy, busy);
        };
        let Some(answer) = lock(&shared.answerer).0.clone() else {
            return refuse(LiveFailureKind::NoData, "the daemon is still starting");
        };
        let (shared, connection) = (Arc::clone(shared), Arc::downgrade(&self.connection));
        tokio::spawn(async move {
            let result = tokio::time::timeout(TIMEOUT, answer(live)).await;
            let late = |_| Err(LiveFailure::new(LiveFailureKind::Broken, "the collector took too long"));
            if connection.upgrade().is_some() {
                put(&shared, id, result.unwrap_or_else(late));
            }
            drop(place);
        });
    }
}

fn put(shared: &Shared, id: u64, result: LiveResult) {
    let mut control = lock(&shared.control);
    if control.len() < MAX_UNREAD {
        control.push(ToRelay::Live(LiveAnswer { id, result }).encode());
    }
    drop(control);
    shared.wake.notify_one();
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_common::pair::LiveSpan;

    #[test]
    fn a_relay_that_does_not_read_its_answers_costs_no_memory() {
        let shared = Shared::default();
        for id in 0..1_000 {
            put(&shared, id, Ok(vec![0; 1000]));
        }
        assert_eq!(lock(&shared.control).len(), MAX_UNREAD);
    }

    #[tokio::test]
    async fn eight_questions_come_at_once_and_then_one_a_second() {
        let shared = Arc::new(Shared::default());
        let now = Instant::now();
        let mut questions = Questions::new(now);
        let mut count = |at| (0..20).filter(|_| questions.budget.take(at)).count();
        assert_eq!(count(now), 8);
        assert_eq!(count(now + Duration::from_secs(3)), 3);
        assert_eq!(count(now + Duration::from_hours(1)), 8);
        // Nobody answers yet.
        let live = Live::Stacks { pid: 7, span: LiveSpan::Past(5) };
        Questions::new(now).ask(&shared, LiveQuestion { id: 1, live });
        assert_eq!(lock(&shared.control).len(), 1);
    }
}
