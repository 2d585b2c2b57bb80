//! What arrives: checked, then queued for the store, or counted and acknowledged.

use agent_common::units::UnixNs;
use agent_common::wire::topic::{self, Channel};
use link::Received;
use serde::Deserialize;

use super::super::acks::Ticket;
use super::super::{HOSTS, HostStatus, Pending, Rejected, now};
use super::Session;
use super::beside::Beside;
use crate::store::{BodyError, MessageError, Note, NoteError, SKEW_TOLERANCE, Window, WindowError};

/// Largest status that is kept.
const STATUS_BYTES: usize = 64 << 10;

/// What a status says of whom it is about.
#[derive(Deserialize)]
struct Named {
    host: Option<String>,
}

impl Session<'_> {
    pub(super) fn on_message(&mut self, received: &Received) {
        let ticket = self.acks.arrived(received.receipt());
        let Some(topic) = topic::parse(received.topic()) else {
            return self.reject(received, ticket, |r| &mut r.topic, &"topic");
        };
        let (ingest, bytes) = (self.ingest, received.payload().len());
        match topic.channel {
            Channel::Metrics => self.on_metrics(&topic.host, received, ticket),
            Channel::Status => self.on_status(topic.host.into_owned(), received, ticket),
            Channel::Profile => {
                let read = self.read_beside(ingest.profiles.as_deref(), &topic.host, received, ticket);
                if let Some(profile) = read {
                    self.work.profiles.push(profile, bytes, ticket, &mut self.work.queue_bytes);
                }
            }
            Channel::Log => {
                let read = self.read_beside(ingest.logs.as_deref(), &topic.host, received, ticket);
                if let Some(lines) = read {
                    self.work.logs.push(lines, bytes, ticket, &mut self.work.queue_bytes);
                }
            }
            Channel::Alert | Channel::Report => self.on_note(topic.channel, &topic.host, received, ticket),
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
            // In the name of another: a host, or the rules.
            Err(e @ (WindowError::Host(_) | WindowError::Reserved(_))) => {
                return self.reject(received, ticket, |r| &mut r.wrong_host, &e);
            }
        };
        if window.head.host != host {
            return self.reject(received, ticket, |r| &mut r.wrong_host, &"head of another host");
        }
        if window.malformed > 0 {
            self.ingest.shared.stats().malformed_lines += window.malformed;
            tracing::warn!(host, seq = window.head.seq, lines = window.malformed, error = ?window.first_error,
                "malformed lines left out of a window");
        }
        self.compare_clocks(host, window.head.end);
        if let Some(older) = self.work.push(Pending { window, bytes, ticket }) {
            self.acks.done(older);
        }
    }

    /// Reads a message for a store beside the metrics'; `None` when there is none to store.
    fn read_beside<S: Beside>(
        &mut self,
        store: Option<&S>,
        host: &str,
        received: &Received,
        ticket: Ticket,
    ) -> Option<S::Message> {
        let payload = received.payload();
        if store.is_none() || payload.is_empty() {
            self.acks.done(ticket);
            return None;
        }
        if self.is_full(payload.len()) {
            self.shed();
            return None;
        }
        let message = match S::read(payload) {
            Ok(message) => message,
            Err(e @ MessageError::Head(_)) => {
                self.reject(received, ticket, |r| &mut r.head, &e);
                return None;
            }
            Err(MessageError::Body(head, why)) if head.host == host => {
                let count: fn(&mut Rejected) -> &mut u64 = match why {
                    BodyError::TooLarge => |r| &mut r.too_large,
                    BodyError::Damaged(_) => |r| &mut r.malformed,
                };
                self.count_rejected(received, count, &why);
                S::unreadable(*head)
            }
            Err(MessageError::Body(head, _)) => S::unreadable(*head),
        };
        if S::head(&message).host != host {
            self.reject(received, ticket, |r| &mut r.wrong_host, &"head of another host");
            return None;
        }
        Some(message)
    }

    /// A window ends before it is sent: one that ends later than now is of a host whose clock is ahead.
    fn compare_clocks(&mut self, host: &str, end: UnixNs) {
        let ahead = end.0.saturating_sub(now().0);
        let mut stats = self.ingest.shared.stats();
        if ahead <= SKEW_TOLERANCE.as_nanos() as u64 {
            stats.clocks_ahead_ns.remove(host);
        } else if stats.clocks_ahead_ns.len() < HOSTS || stats.clocks_ahead_ns.contains_key(host) {
            stats.clocks_ahead_ns.insert(host.to_owned(), ahead);
            // Once: a clock that goes to and fro must not fill the log.
            let warned = &mut self.work.warned_of_clock;
            if warned.len() < HOSTS && warned.insert(host.to_owned()) {
                tracing::warn!(
                    host,
                    ahead_s = ahead / 1_000_000_000,
                    "the clock of this host is ahead of ours: its points are stored with its times; set its clock"
                );
            }
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

    fn on_status(&mut self, host: String, received: &Received, ticket: Ticket) {
        let payload = received.payload();
        // Our own comes back; an empty one clears what the broker retains.
        if host == self.ingest.options.broker.client_id || payload.is_empty() {
            return self.acks.done(ticket);
        }
        if payload.len() > STATUS_BYTES {
            return self.reject(received, ticket, |r| &mut r.too_large, &"status too large");
        }
        let Ok(json) = std::str::from_utf8(payload) else {
            return self.reject(received, ticket, |r| &mut r.binary, &"status is not text");
        };
        match serde_json::from_str::<Named>(json) {
            Err(e) => return self.reject(received, ticket, |r| &mut r.malformed, &e),
            Ok(Named { host: Some(named) }) if named != host => {
                return self.reject(received, ticket, |r| &mut r.wrong_host, &"status of another host");
            }
            Ok(_) => {}
        }
        {
            let mut stats = self.ingest.shared.stats();
            if stats.hosts.len() < HOSTS || stats.hosts.contains_key(&host) {
                stats.hosts.insert(host, HostStatus { at: now(), json: json.to_owned() });
            }
        }
        self.acks.done(ticket);
    }

    fn reject(
        &mut self,
        received: &Received,
        ticket: Ticket,
        count: impl FnOnce(&mut Rejected) -> &mut u64,
        why: &dyn std::fmt::Display,
    ) {
        self.count_rejected(received, count, why);
        self.acks.done(ticket);
    }

    fn count_rejected(
        &self,
        received: &Received,
        count: impl FnOnce(&mut Rejected) -> &mut u64,
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
    }
}
