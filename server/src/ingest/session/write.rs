//! Into the store: one write at a time, on a blocking thread, and what follows from its outcome.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agent_common::wire::stored::Stored;
use agent_common::wire::topic::{self, Channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::acks::Ticket;
use super::super::{HOSTS, Pending, StreamState, now};
use super::Session;
use super::beside::Tried;
use crate::store::logs::LogStore;
use crate::store::profiles::ProfileStore;
use crate::store::{Note, Store, StoreError, Window, Written};

/// Pause after a store error without a retry time: a person must act, so frequent retries are of no use.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// What a write came to.
pub(super) struct Outcome {
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
    /// What became of profiles and log lines.
    profiles: Tried,
    logs: Tried,
}

impl Session<'_> {
    /// Begins the next write if there is something and nothing stands against it.
    pub(super) fn write(&mut self) {
        if self.writing.is_some() || self.work.is_empty() || Instant::now() < self.write_after {
            return;
        }
        let batch = self.work.take_batch(&self.ingest.options);
        let notes = self.work.take_notes();
        let profiles = self.work.profiles.take(&mut self.work.queue_bytes);
        let logs = self.work.logs.take(&mut self.work.queue_bytes);
        let store = Arc::clone(&self.ingest.store);
        let (profile_store, log_store) = (self.ingest.profiles.clone(), self.ingest.logs.clone());
        self.writing = Some(tokio::task::spawn_blocking(move || {
            // First: evidence must not wait for a store that is away.
            let mut tried = Tried::write(profile_store.as_deref(), &profiles.0, profiles.1);
            tried.pin(profile_store.as_deref(), &notes);
            let logs = Tried::write(log_store.as_deref(), &logs.0, logs.1);
            Outcome { profiles: tried, logs, ..write_batch(&*store, batch, notes) }
        }));
    }

    pub(super) async fn finish_write(&mut self) -> Option<Outcome> {
        self.writing.as_ref()?;
        let outcome = written(&mut self.writing).await;
        self.writing = None;
        outcome
    }

    pub(super) fn on_outcome(&mut self, outcome: Outcome) {
        let Outcome { batch, notes, result, hopeless, new_notes, refused_notes, stored, profiles, logs } =
            outcome;
        self.on_tried::<ProfileStore>(profiles, |stats| &mut stats.profiles);
        self.on_tried::<LogStore>(logs, |stats| &mut stats.logs);
        match result {
            Ok(written) => {
                self.count(&batch, &written, &hopeless);
                {
                    let mut stats = self.ingest.shared.stats();
                    stats.notes += new_notes;
                    stats.rejected.store += refused_notes;
                }
                // A repetition after a failure is no news.
                if let Some(feed) = self.ingest.shared.feed().filter(|_| written.duplicates == 0) {
                    for pending in &batch {
                        feed.window(&pending.window);
                    }
                    for (note, _) in &notes {
                        feed.note(note);
                    }
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
        // The store does not say which of a batch were duplicates; a batch with any is a repetition after a failure.
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
        self.work.to_tell.insert((topic::stored(&key.0, &Channel::Metrics), key.1), stored);
    }
}

/// The outcome of the write under way; never ready when there is none. `None`: the write panicked.
pub(super) async fn written(writing: &mut Option<JoinHandle<Outcome>>) -> Option<Outcome> {
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
    let (profiles, logs) = (Tried::default(), Tried::default());
    Outcome { batch, notes, result, hopeless, new_notes, refused_notes, stored, profiles, logs }
}
