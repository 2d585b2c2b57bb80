//! One connection of the ingester: subscribes, receives, writes, acknowledges, says goodbye.

mod beside;
mod receive;
mod write;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use agent_common::wire::topic::{self, Channel};
use link::{Backoff, Event, Failure, FailureKind, Full, Link, Message};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use self::write::{Outcome, written};
use super::acks::Acks;
use super::{Ingest, Work};

/// How long the last write and the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// How a session ends when it did not fail.
pub(super) enum End {
    Shutdown,
    /// So that the broker sends again what was left to it.
    Reconnect,
}

pub(super) struct Session<'a> {
    ingest: &'a Ingest,
    link: Link,
    work: &'a mut Work,
    connected: bool,
    /// Subscriptions not yet answered.
    subscribing: u32,
    writing: Option<JoinHandle<Outcome>>,
    write_after: Instant,
    acks: Acks,
    next_status: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(ingest: &'a Ingest, link: Link, work: &'a mut Work) -> Self {
        let now = Instant::now();
        let acks = Acks::new(work.link);
        Self {
            ingest,
            link,
            work,
            connected: false,
            subscribing: 0,
            writing: None,
            write_after: now,
            acks,
            next_status: now,
        }
    }

    pub(super) async fn run(
        &mut self,
        backoff: &mut Backoff,
        shutdown: &mut Pin<&mut impl Future<Output = ()>>,
    ) -> Result<End, Failure> {
        let end = self.serve(backoff, shutdown).await;
        // The write that is under way ends before the next connection begins: its outcome is counted, and one write
        // at a time stays true.
        if let Some(outcome) = self.finish_write().await {
            self.on_outcome(outcome);
        }
        if matches!(end, Ok(End::Shutdown)) {
            drop(timeout(GOODBYE, self.say_goodbye()).await);
            self.ingest.shared.stats().connected = false;
        }
        end
    }

    async fn serve(
        &mut self,
        backoff: &mut Backoff,
        shutdown: &mut Pin<&mut impl Future<Output = ()>>,
    ) -> Result<End, Failure> {
        loop {
            let retry_at = if self.writing.is_none() && !self.work.is_empty() {
                self.write_after.min(self.next_status)
            } else {
                self.next_status
            };
            tokio::select! {
                event = self.link.next() => self.on_event(event, backoff)?,
                outcome = written(&mut self.writing) => {
                    self.writing = None;
                    match outcome {
                        Some(outcome) => self.on_outcome(outcome),
                        // Its windows are with the broker, unacknowledged.
                        None => self.work.shed = true,
                    }
                }
                () = sleep_until(retry_at) => {}
                () = shutdown.as_mut() => return Ok(End::Shutdown),
            }
            while let Some(event) = self.link.try_next() {
                self.on_event(event, backoff)?;
            }
            self.answer();
            self.write();
            self.report();
            if self.work.shed && self.work.is_empty() && self.writing.is_none() && self.acks.next().is_none()
            {
                self.work.shed = false;
                return Ok(End::Reconnect);
            }
        }
    }

    fn on_event(&mut self, event: Event, backoff: &mut Backoff) -> Result<(), Failure> {
        match event {
            Event::Connected { .. } => {
                let metrics = match &self.ingest.options.group {
                    Some(group) => topic::shared_filter(group, &Channel::Metrics),
                    None => topic::filter(&Channel::Metrics),
                };
                // At each connection, whether or not the broker remembers: subscribing twice does no harm.
                // Each of a group takes all alerts and reports: the stores know them by their identity.
                let others = [Channel::Status, Channel::Alert, Channel::Report].map(|c| topic::filter(&c));
                let profiles = self.ingest.profiles.as_ref().map(|_| topic::filter(&Channel::Profile));
                let logs = self.ingest.logs.as_ref().map(|_| topic::filter(&Channel::Log));
                for filter in std::iter::once(&metrics).chain(&others).chain(&profiles).chain(&logs) {
                    let _ = self.link.subscribe(filter);
                    self.subscribing += 1;
                }
                self.connected = true;
                self.ingest.shared.stats().connections += 1;
            }
            Event::Subscribed { refused } => {
                if refused {
                    let text = "the broker does not allow the ingester to subscribe to metrics, status, alerts, reports, profiles and log lines"
                        .to_owned();
                    return Err(Failure { kind: FailureKind::Credentials, text });
                }
                self.subscribing = self.subscribing.saturating_sub(1);
                if self.subscribing == 0 {
                    backoff.succeeded();
                    let mut stats = self.ingest.shared.stats();
                    stats.connected = true;
                    stats.error = None;
                    tracing::info!(broker = %self.ingest.options.broker.broker.url, "ingester subscribed");
                }
            }
            Event::Received(received) => self.on_message(&received),
            Event::Sent(_) | Event::Acked(_) | Event::Alive => {}
            Event::Closed(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Acknowledges messages to the broker and reports stored windows to the relays, as far as the link accepts them.
    fn answer(&mut self) {
        while let Some(receipt) = self.acks.next() {
            if self.link.ack(receipt) == Err(Full) {
                break;
            }
            self.acks.sent();
        }
        if !self.connected {
            return;
        }
        while let Some(entry) = self.work.to_tell.first_entry() {
            // SANITY: strings and numbers only.
            let payload = serde_json::to_vec(entry.get()).expect("ranges are JSON");
            let topic = entry.key().0.clone();
            if self.link.publish(Message { topic, payload, retain: true }).is_err() {
                break;
            }
            entry.remove();
        }
        if Instant::now() >= self.next_status {
            self.next_status = Instant::now() + self.ingest.options.status_every;
            let _ = self.link.publish(self.ingest.status("online"));
        }
    }

    fn report(&self) {
        let writing = u64::from(self.writing.is_some());
        self.ingest.shared.stats().waiting = self.work.queue.len() as u64 + writing;
    }

    /// Writes the queued windows once, reports them as stored, and disconnects.
    async fn say_goodbye(&mut self) {
        while !self.work.is_empty() && self.ingest.shared.stats().store_error.is_none() {
            self.write_after = Instant::now();
            self.write();
            match self.finish_write().await {
                Some(outcome) => self.on_outcome(outcome),
                None => break,
            }
        }
        if !self.connected {
            return;
        }
        // `disconnect` overtakes what is queued: wait for the broker's answer to the last message first.
        if self.link.publish(self.ingest.status("offline")).is_ok() {
            let mut sent = 0_u64;
            loop {
                match timeout(Duration::from_millis(300), self.link.next()).await {
                    Ok(Event::Sent(_)) => sent += 1,
                    Ok(Event::Closed(_)) | Err(_) => break,
                    Ok(Event::Acked(_)) if sent <= 1 => break,
                    Ok(Event::Acked(_)) => sent -= 1,
                    Ok(_) => {}
                }
            }
        }
        self.link.disconnect().await;
    }
}
