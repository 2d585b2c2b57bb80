//! Alerts for other programs.
//!
//! Each notifier has a bounded queue and one task. A failed delivery is tried again with growing pauses, then dropped and counted.
//! The daemon never waits for a notifier.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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
    let mut open: BTreeMap<String, Open> = BTreeMap::new();
    let mut repeat = tokio::time::interval_at(tokio::time::Instant::now() + again, again);
    loop {
        let batch = tokio::select! {
            alert = alerts.recv() => match alert {
                Some(alert) => {
                    let mut batch = vec![alert];
                    // What came together goes together.
                    while let Ok(more) = alerts.try_recv() {
                        batch.push(more);
                    }
                    changed(&mut open, batch, &silences)
                }
                None => return,
            },
            _ = repeat.tick() => due(&mut open, &silences, deliver.repeats()),
        };
        if batch.is_empty() {
            continue;
        }
        let count = batch.len() as u64;
        if try_hard(&mut deliver, &batch, &stats, pause).await {
            stats.sent.fetch_add(count, Ordering::Relaxed);
        } else {
            stats.lost.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// An alert that is open.
struct Open {
    alert: Alert,
    /// The receiver knows of it.
    told: bool,
}

/// Which of these the receiver is told of: what no silence covers, and the end of what it knows.
fn changed(open: &mut BTreeMap<String, Open>, batch: Vec<Alert>, silences: &Silences) -> Vec<Alert> {
    let now = unix_now_s();
    let mut tell = Vec::new();
    for alert in batch {
        let silenced = silences.of(&alert, now).is_some();
        if alert.state == AlertState::Resolved {
            // One that is not known here is of before this process began.
            if open.remove(&alert.id).map_or(!silenced, |open| open.told) {
                tell.push(alert);
            }
            continue;
        }
        let told = open.get(&alert.id).is_some_and(|open| open.told);
        open.insert(alert.id.clone(), Open { alert: alert.clone(), told: told || !silenced });
        if !silenced {
            tell.push(alert);
        }
    }
    tell
}

/// Open alerts that are to be sent now: again, if the receiver wants that, and those whose silence is over.
fn due(open: &mut BTreeMap<String, Open>, silences: &Silences, repeats: bool) -> Vec<Alert> {
    let (now, now_s) = (unix_now(), unix_now_s());
    let mut tell = Vec::new();
    for Open { alert, told } in open.values_mut() {
        if silences.of(alert, now_s).is_none() && (repeats || !*told) {
            *told = true;
            tell.push(Alert { at_unix_ns: now, ..alert.clone() });
        }
    }
    tell
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

fn unix_now_s() -> i64 {
    i64::try_from(unix_now() / 1_000_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use agent_common::wire::finding::testing::alert;
    use agent_common::wire::silence::{Match, Silence};

    use super::*;

    fn all() -> Vec<Silence> {
        let which = Match { host: Some("here".to_owned()), ..Match::default() };
        vec![Silence { id: 1, which, from: 0, until: i64::MAX, by: String::new(), note: String::new() }]
    }

    fn ids(alerts: &[Alert]) -> Vec<&str> {
        alerts.iter().map(|alert| alert.id.as_str()).collect()
    }

    #[test]
    fn what_opens_under_a_silence_is_told_when_that_is_over() {
        let (mut open, silences) = (BTreeMap::new(), Silences::default());
        silences.set(all());
        assert!(changed(&mut open, vec![alert("a", AlertState::Open)], &silences).is_empty());
        assert!(due(&mut open, &silences, true).is_empty());
        silences.set(Vec::new());
        assert_eq!(ids(&due(&mut open, &silences, false)), ["a"], "also to who wants nothing twice");
        assert!(due(&mut open, &silences, false).is_empty());
        assert_eq!(ids(&due(&mut open, &silences, true)), ["a"]);
        assert_eq!(ids(&changed(&mut open, vec![alert("a", AlertState::Resolved)], &silences)), ["a"]);
    }

    #[test]
    fn the_end_is_told_to_who_knew_of_it_and_to_nobody_else() {
        let (mut open, silences) = (BTreeMap::new(), Silences::default());
        assert_eq!(ids(&changed(&mut open, vec![alert("a", AlertState::Open)], &silences)), ["a"]);
        silences.set(all());
        let batch = vec![alert("a", AlertState::Update), alert("b", AlertState::Open)];
        assert!(changed(&mut open, batch, &silences).is_empty());
        let batch = vec![alert("a", AlertState::Resolved), alert("b", AlertState::Resolved)];
        assert_eq!(ids(&changed(&mut open, batch, &silences)), ["a"]);
        silences.set(Vec::new());
        assert!(open.is_empty() && due(&mut open, &silences, true).is_empty());
    }
}
