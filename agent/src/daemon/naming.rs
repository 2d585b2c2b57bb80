//! Names of the stacks of alerts that open: in time for their window, or as an update when they are late.
//!
//! The daemon publishes a window within its second. Names come from files that may be slow, or on file systems that never answer.

use std::sync::Arc;
use std::time::Duration;

use agent_common::wire::finding::{Alert, AlertState};
use diagnosis::window::Window;
use tokio::task::JoinHandle;

/// Longest wait of a window's alerts for their names: naming takes a millisecond where the files are read already.
const NAMES_TIMEOUT: Duration = Duration::from_millis(300);

/// Names the stacks of the alerts that are open. May block for long.
pub(super) type Work = dyn Fn(Vec<Alert>, &[Arc<Window>]) -> Vec<Alert> + Send + Sync;

/// Names, one set of alerts at a time.
pub(super) struct Naming {
    work: Arc<Work>,
    late: Option<JoinHandle<Vec<Alert>>>,
}

impl std::fmt::Debug for Naming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Naming").field("late", &self.late.is_some()).finish_non_exhaustive()
    }
}

impl Naming {
    pub(super) fn new(work: Arc<Work>) -> Self {
        Self { work, late: None }
    }

    /// Returns the alerts, with names that arrive in time. Late names follow by [`Self::take_late`]; alerts that open while names are
    /// late stay without.
    pub(super) async fn name(&mut self, alerts: Vec<Alert>, windows: Vec<Arc<Window>>) -> Vec<Alert> {
        let opening = alerts.iter().filter(|alert| alert.state == AlertState::Open).count();
        if opening == 0 {
            return alerts;
        }
        if self.late.is_some() {
            tracing::warn!(
                alerts = opening,
                "alerts stay without stacks: the names of earlier ones are late"
            );
            return alerts;
        }
        let (work, unnamed) = (Arc::clone(&self.work), alerts.clone());
        let mut named = tokio::task::spawn_blocking(move || work(alerts, &windows));
        if let Ok(named) = tokio::time::timeout(NAMES_TIMEOUT, &mut named).await {
            return named.unwrap_or(unnamed);
        }
        self.late = Some(named);
        unnamed
    }

    /// Alerts whose names came late, as updates.
    pub(super) async fn take_late(&mut self) -> Vec<Alert> {
        let Some(named) = self.late.take_if(|named| named.is_finished()) else { return Vec::new() };
        let alerts = named.await.unwrap_or_default().into_iter();
        let opened =
            alerts.filter(|alert| alert.state == AlertState::Open && !alert.finding.stacks.is_empty());
        opened.map(|alert| Alert { state: AlertState::Update, ..alert }).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;
    use agent_common::wire::finding::testing::alert;

    #[tokio::test(flavor = "multi_thread")]
    async fn alerts_do_not_wait_for_names_that_are_late_and_get_them_by_an_update() {
        let (go, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let work = move |mut alerts: Vec<Alert>, _: &[Arc<Window>]| {
            wait.lock().unwrap().recv().unwrap();
            for alert in &mut alerts {
                alert.finding.stacks = vec!["a;b 1".to_owned()];
            }
            alerts
        };
        let mut naming = Naming::new(Arc::new(work));
        let open = || vec![alert("a", AlertState::Open)];
        let first = naming.name(open(), Vec::new()).await;
        assert!(first[0].finding.stacks.is_empty(), "it went out without");
        assert_eq!(naming.name(open(), Vec::new()).await.len(), 1, "and so does the next");
        assert_eq!(naming.take_late().await, []);
        go.send(()).unwrap();
        let late = loop {
            let late = naming.take_late().await;
            if !late.is_empty() {
                break late;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((late[0].state, late[0].finding.stacks.len()), (AlertState::Update, 1));
        go.send(()).unwrap();
        assert_eq!(naming.name(open(), Vec::new()).await[0].finding.stacks.len(), 1, "in time");
    }
}
