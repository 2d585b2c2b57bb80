//! One connection of the ingester.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agent_common::units::UnixNs;
use agent_common::wire::stored::Stored;
use agent_common::wire::topic::{self, Channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::acks::{Acks, Ticket};
use super::{HostStatus, Ingest, Pending, StreamState, Work};
use crate::mqtt::{Event, Failure, FailureKind, Full, Link, Message, Received};
use crate::store::{Backoff, Note, NoteError, Store, StoreError, Window, WindowError, Written};

/// Entries of the per-host and per-stream tables: about 4 MiB with a small status each.
const HOSTS: usize = 10_000;
/// Largest status that is kept.
const STATUS_BYTES: usize = 64 << 10;
/// A store error that names no time to wait: somebody has to act, so asking often is of no use.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// How long the last write and the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// How a session ends when it did not fail.
pub(super) enum End {
    Shutdown,
    /// So that the broker sends again what was left to it.
    Reconnect,
}

/// What a write came to.
struct Outcome {
    batch: Vec<Pending>,
    notes: Vec<(Note, Ticket)>,
    result: Result<Written, StoreError>,
    /// Windows of the batch that the store will never take, by index.
    hopeless: BTreeSet<usize>,
    /// Notes that were new in the store, and those that it will never take.
    new_notes: u64,
    refused_notes: u64,
    /// What the store has of the streams in the batch.
    stored: Vec<(String, Stored)>,
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
                for filter in std::iter::once(&metrics).chain(&others) {
                    let _ = self.link.subscribe(filter);
                    self.subscribing += 1;
                }
                self.connected = true;
                self.ingest.shared.stats().connections += 1;
            }
            Event::Subscribed { refused } => {
                if refused {
                    let text = "the broker does not allow the ingester to subscribe to metrics, status, alerts and reports"
                        .to_owned();
                    return Err(Failure { kind: FailureKind::Credentials, text });
                }
                self.subscribing = self.subscribing.saturating_sub(1);
                if self.subscribing == 0 {
                    backoff.succeeded();
                    let mut stats = self.ingest.shared.stats();
                    stats.connected = true;
                    stats.error = None;
                    tracing::info!(broker = %self.ingest.options.broker.url, "ingester subscribed");
                }
            }
            Event::Received(received) => self.on_message(&received),
            Event::Sent(_) | Event::Acked(_) | Event::Alive => {}
            Event::Closed(failure) => return Err(failure),
        }
        Ok(())
    }

    fn on_message(&mut self, received: &Received) {
        let ticket = self.acks.arrived(received.receipt());
        let Some(topic) = topic::parse(received.topic()) else {
            return self.reject(received, ticket, |r| &mut r.topic, &"topic");
        };
        match topic.channel {
            Channel::Metrics => {
                let host = topic.host.into_owned();
                self.on_metrics(&host, received, ticket);
            }
            Channel::Status => {
                let host = topic.host.into_owned();
                self.on_status(host, received);
                self.acks.done(ticket);
            }
            Channel::Alert | Channel::Report => {
                let host = topic.host.into_owned();
                self.on_note(topic.channel, &host, received, ticket);
            }
            _ => self.acks.done(ticket),
        }
    }

    fn on_metrics(&mut self, host: &str, received: &Received, ticket: Ticket) {
        let bytes = received.payload().len();
        {
            let mut stats = self.ingest.shared.stats();
            stats.received += 1;
            stats.received_bytes += bytes as u64;
        }
        if bytes > self.ingest.options.max_payload {
            return self.reject(received, ticket, |r| &mut r.too_large, &"too large");
        }
        if self.is_full(bytes) {
            return self.shed();
        }
        let window = match Window::from_payload(received.payload()) {
            Ok(window) => window,
            Err(e @ WindowError::Empty) => return self.reject(received, ticket, |r| &mut r.empty, &e),
            Err(e @ WindowError::Head(_)) => return self.reject(received, ticket, |r| &mut r.head, &e),
            Err(e @ WindowError::Line(_)) if std::str::from_utf8(received.payload()).is_err() => {
                return self.reject(received, ticket, |r| &mut r.binary, &e);
            }
            Err(e @ WindowError::Line(_)) => return self.reject(received, ticket, |r| &mut r.malformed, &e),
        };
        if window.head.host != host {
            return self.reject(received, ticket, |r| &mut r.wrong_host, &"head of another host");
        }
        if window.malformed > 0 {
            self.ingest.shared.stats().malformed_lines += window.malformed;
            tracing::warn!(host, seq = window.head.seq, lines = window.malformed, error = ?window.first_error,
                "malformed lines left out of a window");
        }
        if let Some(older) = self.work.push(Pending { window, bytes, ticket }) {
            self.acks.done(older);
        }
    }

    fn on_note(&mut self, channel: Channel, host: &str, received: &Received, ticket: Ticket) {
        let payload = received.payload();
        // So a retained alert is cleared when it is over.
        if payload.is_empty() {
            return self.acks.done(ticket);
        }
        if self.is_full(payload.len()) {
            return self.shed();
        }
        let note = match channel {
            Channel::Alert => Note::alert(host, payload),
            _ => Note::report(host, payload, now()),
        };
        match note {
            Ok(note) => self.work.push_note(note, ticket),
            Err(e @ NoteError::TooLarge) => self.reject(received, ticket, |r| &mut r.too_large, &e),
            Err(e @ NoteError::Binary) => self.reject(received, ticket, |r| &mut r.binary, &e),
            Err(e @ NoteError::Json(_)) => self.reject(received, ticket, |r| &mut r.malformed, &e),
            Err(e @ NoteError::Host) => self.reject(received, ticket, |r| &mut r.wrong_host, &e),
        }
    }

    /// What comes after a message that was left to the broker cannot be acknowledged before it, so it comes again too.
    fn is_full(&self, bytes: usize) -> bool {
        let full = self.work.queue_bytes + bytes > self.ingest.options.backlog_bytes;
        self.work.shed || (full && !self.work.is_empty())
    }

    /// Leaves a message to the broker.
    fn shed(&mut self) {
        self.work.shed = true;
        self.ingest.shared.stats().shed += 1;
    }

    fn on_status(&self, host: String, received: &Received) {
        if host == self.ingest.options.broker.client_id || received.payload().len() > STATUS_BYTES {
            return;
        }
        let Ok(json) = std::str::from_utf8(received.payload()) else { return };
        let mut stats = self.ingest.shared.stats();
        if stats.hosts.len() < HOSTS || stats.hosts.contains_key(&host) {
            stats.hosts.insert(host, HostStatus { at: now(), json: json.to_owned() });
        }
    }

    fn reject(
        &mut self,
        received: &Received,
        ticket: Ticket,
        count: impl FnOnce(&mut super::Rejected) -> &mut u64,
        why: &dyn std::fmt::Display,
    ) {
        let total = {
            let mut stats = self.ingest.shared.stats();
            *count(&mut stats.rejected) += 1;
            stats.rejected.total()
        };
        // The first ones and then each power of two: a broken client must not fill the log.
        if total.is_power_of_two() {
            let bytes = received.payload().len();
            tracing::warn!(topic = received.topic(), bytes, total, "message rejected: {why}");
        }
        self.acks.done(ticket);
    }

    /// Acknowledges to the broker and tells the collectors, as far as the link takes it.
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
            let topic = topic::of(&entry.key().0, &Channel::Stored);
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

    /// Begins the next write if there is something and nothing stands against it.
    fn write(&mut self) {
        if self.writing.is_some() || self.work.is_empty() || Instant::now() < self.write_after {
            return;
        }
        let batch = self.work.take_batch(&self.ingest.options);
        let notes = self.work.take_notes();
        let store = Arc::clone(&self.ingest.store);
        self.writing = Some(tokio::task::spawn_blocking(move || write_batch(&*store, batch, notes)));
    }

    async fn finish_write(&mut self) -> Option<Outcome> {
        self.writing.as_ref()?;
        let outcome = written(&mut self.writing).await;
        self.writing = None;
        outcome
    }

    fn on_outcome(&mut self, outcome: Outcome) {
        let Outcome { batch, notes, result, hopeless, new_notes, refused_notes, stored } = outcome;
        match result {
            Ok(written) => {
                self.count(&batch, &written, &hopeless);
                {
                    let mut stats = self.ingest.shared.stats();
                    stats.notes += new_notes;
                    stats.rejected.store += refused_notes;
                }
                for index in hopeless {
                    let head = &batch[index].window.head;
                    let key = (head.host.clone(), head.stream.clone());
                    self.work.hopeless.entry(key).or_default().insert(head.seq);
                }
                for (host, stored) in stored {
                    self.tell(host, stored);
                }
                for ticket in batch.iter().map(|p| p.ticket).chain(notes.iter().map(|(_, ticket)| *ticket)) {
                    self.acks.done(ticket);
                }
            }
            Err(e) => {
                self.write_after = Instant::now() + e.retry_after().unwrap_or(STORE_RETRY);
                self.work.put_back(batch, notes);
                let mut stats = self.ingest.shared.stats();
                stats.store_failures += 1;
                let text = e.to_string();
                if stats.store_error.as_ref() != Some(&text) {
                    // Its sources say the same again: for who looks closer.
                    tracing::debug!(error = &e as &dyn std::error::Error, "why");
                    tracing::error!(error = %e, "the store does not take windows");
                }
                stats.store_error = Some(text);
            }
        }
        self.answer();
    }

    fn count(&self, batch: &[Pending], written: &Written, hopeless: &BTreeSet<usize>) {
        let mut stats = self.ingest.shared.stats();
        if stats.store_error.take().is_some() {
            tracing::info!("the store takes windows again");
        }
        stats.stored += written.windows;
        stats.duplicates += written.duplicates;
        stats.points += written.points;
        stats.refused_points += written.refused;
        stats.rejected.store += hopeless.len() as u64;
        if let Some(refusal) = &written.refusal {
            tracing::warn!(points = written.refused, "the store refused points: {refusal}");
        }
        // Which of a batch were duplicates is not told; a batch with any is a repetition after a failure.
        if written.duplicates == 0 {
            let now = now();
            for pending in batch {
                stats.latency.add(now.0.saturating_sub(pending.window.head.end.0));
            }
        }
    }

    fn tell(&mut self, host: String, mut stored: Stored) {
        let mut set = stored.to_set();
        let key = (host, stored.stream.clone());
        if let Some(hopeless) = self.work.hopeless.get(&key) {
            set.merge(hopeless);
            stored = Stored::new(stored.stream, &set);
        }
        {
            let mut stats = self.ingest.shared.stats();
            let name = format!("{}/{}", key.0, key.1);
            if stats.streams.len() < HOSTS || stats.streams.contains_key(&name) {
                let standing = StreamState {
                    contiguous: set.contiguous(),
                    highest: set.highest(),
                    missing: set.highest() - set.len(),
                };
                stats.streams.insert(name, standing);
            }
        }
        self.work.to_tell.insert(key, stored);
    }

    fn report(&self) {
        let writing = u64::from(self.writing.is_some());
        self.ingest.shared.stats().waiting = self.work.queue.len() as u64 + writing;
    }

    /// Writes what is there once, tells it, and goes.
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

/// The outcome of the write under way; never ready when there is none. `None`: the write panicked.
async fn written(writing: &mut Option<JoinHandle<Outcome>>) -> Option<Outcome> {
    match writing {
        Some(handle) => match handle.await {
            Ok(outcome) => Some(outcome),
            Err(e) => {
                tracing::error!(error = %e, "a write to the store panicked; the collectors send its windows again");
                None
            }
        },
        None => std::future::pending().await,
    }
}

/// Writes a batch and asks what the store has of its streams. When the store will never take the batch, its windows
/// are tried one by one, so that one bad window costs itself alone.
fn write_batch(store: &dyn Store, batch: Vec<Pending>, mut notes: Vec<(Note, Ticket)>) -> Outcome {
    let (windows, rest): (Vec<Window>, Vec<_>) =
        batch.into_iter().map(|p| (p.window, (p.bytes, p.ticket))).unzip();
    let mut hopeless = BTreeSet::new();
    let mut result = if windows.is_empty() { Ok(Written::default()) } else { store.write(&windows) };
    if let Err(StoreError::Rejected { what }) = &result {
        tracing::warn!("the store rejected a batch, its windows are tried one by one: {what}");
        let mut all = Written::default();
        let mut failed = None;
        for (index, window) in windows.iter().enumerate() {
            match store.write(std::slice::from_ref(window)) {
                Ok(one) => {
                    all.windows += one.windows;
                    all.duplicates += one.duplicates;
                    all.points += one.points;
                    all.samples += one.samples;
                    all.refused += one.refused;
                    all.refusal = all.refusal.or(one.refusal);
                }
                Err(StoreError::Rejected { what }) => {
                    tracing::error!(host = %window.head.host, seq = window.head.seq,
                        "the store will never take this window: {what}");
                    hopeless.insert(index);
                }
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            }
        }
        result = failed.map_or(Ok(all), Err);
    }
    let mut stored = Vec::new();
    if result.is_ok() {
        let streams: BTreeSet<(&str, &str)> =
            windows.iter().map(|w| (w.head.host.as_str(), w.head.stream.as_str())).collect();
        for (host, stream) in streams {
            match store.stored(host, stream) {
                Ok(answer) => stored.push((host.to_owned(), answer)),
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
        }
    }
    let (mut new_notes, mut refused_notes) = (0, 0);
    if result.is_ok() && !notes.is_empty() {
        let (kept, tickets): (Vec<Note>, Vec<Ticket>) = notes.into_iter().unzip();
        match store.keep(&kept) {
            Ok(new) => new_notes = new,
            Err(StoreError::Rejected { what }) => {
                tracing::error!("the store will never take these alerts: {what}");
                refused_notes = kept.len() as u64;
            }
            Err(e) => result = Err(e),
        }
        notes = kept.into_iter().zip(tickets).collect();
    }
    let batch = windows
        .into_iter()
        .zip(rest)
        .map(|(window, (bytes, ticket))| Pending { window, bytes, ticket })
        .collect();
    Outcome { batch, notes, result, hopeless, new_notes, refused_notes, stored }
}

fn now() -> UnixNs {
    UnixNs(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64)
}
