//! Alerts for other programs.
//!
//! Each notifier has a bounded queue and one task. A failed delivery is tried again with growing pauses, then dropped and counted.
//! The daemon never waits for a notifier.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_common::units::UnixNs;
use agent_common::wire::finding::{Alert, AlertState};
use agent_common::wire::silence::Silences;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Most alerts that wait for a notifier: an hour of the most that may open.
pub const MAX_QUEUED: usize = 512;
/// Most tries of a delivery.
pub const MAX_TRIES: u32 = 6;
/// Pause before the second try, doubled each time: 31 s in all.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Interval at which an open alert is sent again: a receiver that restarted learns of it, and Alertmanager does not take it for
/// over.
pub const REPEAT_OPEN_EVERY: Duration = Duration::from_mins(1);

/// Counts of a notifier.
#[derive(Debug, Default)]
pub struct NotifyStats {
    /// Delivered.
    pub sent: AtomicU64,
    /// Tries that failed.
    pub failed: AtomicU64,
    /// Alerts given up, and those that found the queue full.
    pub lost: AtomicU64,
}

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// It may work later.
    #[error("{0}")]
    Again(String),
    /// It will never work.
    #[error("{0}")]
    Never(String),
}

/// A receiver of alerts.
pub trait Deliver: Send + 'static {
    /// For the log.
    fn name(&self) -> &str;

    /// Hands over alerts that have changed, or that are sent again.
    fn deliver(&mut self, alerts: &[Alert]) -> impl Future<Output = Result<(), NotifyError>> + Send;

    /// Open alerts are sent again now and then.
    fn repeats(&self) -> bool;
}

/// All notifiers of a daemon.
#[derive(Debug, Default)]
pub struct Notifiers {
    notifiers: Vec<Notifier>,
    silences: Silences,
}

#[derive(Debug)]
struct Notifier {
    name: String,
    queue: mpsc::Sender<Alert>,
    stats: Arc<NotifyStats>,
    task: JoinHandle<()>,
}

impl Notifiers {
    /// None yet. Those that are added are not told of what a silence covers, but of the end of what they were told before.
    #[must_use]
    pub fn new(silences: Silences) -> Self {
        Self { notifiers: Vec::new(), silences }
    }

    /// Starts one on the current runtime.
    pub fn add(&mut self, deliver: impl Deliver, again: Duration, pause: Duration) -> Arc<NotifyStats> {
        let (queue, alerts) = mpsc::channel(MAX_QUEUED);
        let stats = Arc::new(NotifyStats::default());
        let name = deliver.name().to_owned();
        let task =
            tokio::spawn(run(deliver, alerts, Arc::clone(&stats), self.silences.clone(), again, pause));
        self.notifiers.push(Notifier { name, queue, stats: Arc::clone(&stats), task });
        stats
    }

    /// Hands an alert to all of them. Never waits.
    pub fn send(&self, alert: &Alert) {
        for notifier in &self.notifiers {
            if notifier.queue.try_send(alert.clone()).is_err() {
                let lost = notifier.stats.lost.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::warn!(notifier = %notifier.name, lost, "its queue is full: an alert is lost");
            }
        }
    }

    /// Lets them finish what is queued, as long as `most`.
    pub async fn close(self, most: Duration) {
        let end = tokio::time::Instant::now() + most;
        for Notifier { name, queue, stats, task } in self.notifiers {
            drop(queue);
            let abort = task.abort_handle();
            if tokio::time::timeout_at(end, task).await.is_err() {
                abort.abort();
                tracing::warn!(notifier = %name, sent = stats.sent.load(Ordering::Relaxed), "did not finish in time");
            }
        }
    }
}

async fn run(
    mut deliver: impl Deliver,
    mut alerts: mpsc::Receiver<Alert>,
    stats: Arc<NotifyStats>,
    silences: Silences,
    again: Duration,
    pause: Duration,
) {
    let mut open: BTreeMap<String, Alert> = BTreeMap::new();
    let mut repeat = tokio::time::interval_at(tokio::time::Instant::now() + again, again);
    loop {
        let mut batch = tokio::select! {
            alert = alerts.recv() => match alert {
                Some(alert) => {
                    let mut batch = vec![alert];
                    // What came together goes together.
                    while let Ok(more) = alerts.try_recv() {
                        batch.push(more);
                    }
                    batch
                }
                None => return,
            },
            _ = repeat.tick() => {
                let now = UnixNs(unix_now());
                open.values().filter(|_| deliver.repeats()).map(|alert| Alert { at_unix_ns: now.0, ..alert.clone() }).collect()
            }
        };
        let now = i64::try_from(unix_now() / 1_000_000_000).unwrap_or(i64::MAX);
        batch.retain(|alert| {
            let ends = alert.state == AlertState::Resolved && open.contains_key(&alert.id);
            ends || silences.of(alert, now).is_none()
        });
        if batch.is_empty() {
            continue;
        }
        for alert in &batch {
            if alert.state == AlertState::Resolved {
                open.remove(&alert.id);
            } else {
                open.insert(alert.id.clone(), alert.clone());
            }
        }
        let count = batch.len() as u64;
        if try_hard(&mut deliver, &batch, &stats, pause).await {
            stats.sent.fetch_add(count, Ordering::Relaxed);
        } else {
            stats.lost.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Until it works, or there is no hope.
async fn try_hard(deliver: &mut impl Deliver, batch: &[Alert], stats: &NotifyStats, pause: Duration) -> bool {
    let mut pause = pause;
    for left in (0..MAX_TRIES).rev() {
        let error = match deliver.deliver(batch).await {
            Ok(()) => return true,
            Err(error) => error,
        };
        stats.failed.fetch_add(1, Ordering::Relaxed);
        let hopeless = matches!(error, NotifyError::Never(_)) || left == 0;
        tracing::warn!(notifier = %deliver.name(), %error, alerts = batch.len(), given_up = hopeless, "not delivered");
        if hopeless {
            return false;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    false
}

fn unix_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // Before 1970 is no time at all.
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}
