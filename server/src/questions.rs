//! Questions about this moment: the API asks the collector that runs on the same host, by way of the relay. Another host cannot be asked.

use std::sync::Arc;
use std::time::Duration;

use agent_common::pair::{Live, LiveFailure, LiveFailureKind, LiveResult};
use tokio::sync::{mpsc, oneshot};

/// Questions that wait to be sent.
const MAX_WAITING: usize = 4;

/// A question, and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub live: Live,
    /// Closed: nobody waits any more.
    pub answer: oneshot::Sender<LiveResult>,
}

/// Handle to ask the collector; clones ask the same.
#[derive(Debug, Clone)]
pub struct Collector {
    /// The host that it observes.
    pub host: Arc<str>,
    to: mpsc::Sender<Asked>,
}

impl Collector {
    /// A handle, and where what it asks comes out.
    pub fn new(host: &str) -> (Self, mpsc::Receiver<Asked>) {
        let (to, asked) = mpsc::channel(MAX_WAITING);
        (Self { host: host.into(), to }, asked)
    }

    /// Asks, and waits for the answer, so long at most.
    pub async fn ask(&self, live: Live, most: Duration) -> LiveResult {
        let (answer, wait) = oneshot::channel();
        let busy = || LiveFailure::new(LiveFailureKind::Busy, "too many questions wait for the collector");
        self.to.try_send(Asked { live, answer }).map_err(|_| busy())?;
        let gone = |why: &str| Err(LiveFailure::new(LiveFailureKind::Broken, why));
        match tokio::time::timeout(most, wait).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => gone("the collector is gone, or has too much to do"),
            Err(_) => gone("the collector did not answer in time"),
        }
    }
}
