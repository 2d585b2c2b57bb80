//! Profiles and log lines into their stores, beside the metrics', and what follows from that.

use std::collections::BTreeSet;

use agent_common::wire::head::WindowHead;
use agent_common::wire::stored::Stored;
use agent_common::wire::topic::{self, Channel};

use super::super::acks::Ticket;
use super::super::stats::BesideStats;
use super::Session;
use crate::store::logs::{self, LogStore};
use crate::store::profiles::{self, ProfileStore};
use crate::store::{MessageError, Note, StoreError};

/// A store beside the metrics'.
pub(in super::super) trait Beside {
    /// What it takes.
    type Message;
    /// Whose messages, for people.
    const WHAT: &'static str;
    /// Where they come from.
    const CHANNEL: Channel;

    fn read(payload: &[u8]) -> Result<Self::Message, MessageError>;
    fn head(message: &Self::Message) -> &WindowHead;
    /// In place of a message of which only the head can be read: the store remembers its number, or it would be sent again for ever.
    fn unreadable(head: WindowHead) -> Self::Message;
    /// Writes all or none. Returns how many were new, and how many were there already.
    fn write(&self, messages: &[Self::Message]) -> Result<(u64, u64), StoreError>;
    fn stored(&self, host: &str, stream: &str) -> Result<Stored, StoreError>;
}

impl Beside for ProfileStore {
    type Message = profiles::Message;
    const WHAT: &'static str = "profiles";
    const CHANNEL: Channel = Channel::Profile;

    fn read(payload: &[u8]) -> Result<Self::Message, MessageError> {
        profiles::Message::from_payload(payload)
    }

    fn head(message: &Self::Message) -> &WindowHead {
        &message.head
    }

    fn unreadable(head: WindowHead) -> Self::Message {
        profiles::Message::unreadable(head)
    }

    fn write(&self, messages: &[Self::Message]) -> Result<(u64, u64), StoreError> {
        self.write(messages).map(|written| (written.blocks, written.duplicates))
    }

    fn stored(&self, host: &str, stream: &str) -> Result<Stored, StoreError> {
        self.stored(host, stream)
    }
}

impl Beside for LogStore {
    type Message = logs::Message;
    const WHAT: &'static str = "log lines";
    const CHANNEL: Channel = Channel::Log;

    fn read(payload: &[u8]) -> Result<Self::Message, MessageError> {
        logs::Message::from_payload(payload)
    }

    fn head(message: &Self::Message) -> &WindowHead {
        &message.head
    }

    fn unreadable(head: WindowHead) -> Self::Message {
        logs::Message::unreadable(head)
    }

    fn write(&self, messages: &[Self::Message]) -> Result<(u64, u64), StoreError> {
        self.write(messages).map(|written| (written.messages, written.duplicates))
    }

    fn stored(&self, host: &str, stream: &str) -> Result<Stored, StoreError> {
        self.stored(host, stream)
    }
}

/// What became of the messages of a write.
#[derive(Debug, Default)]
pub(super) struct Tried {
    tickets: Vec<Ticket>,
    new: u64,
    duplicates: u64,
    failed: u64,
    error: Option<StoreError>,
    /// What their store has, by host.
    stored: Vec<(String, Stored)>,
}

impl Tried {
    /// Writes them.
    pub(super) fn write<S: Beside>(store: Option<&S>, messages: &[S::Message], tickets: Vec<Ticket>) -> Self {
        let mut done = Self { tickets, ..Self::default() };
        let Some(store) = store.filter(|_| !messages.is_empty()) else { return done };
        let heads = messages.iter().map(S::head);
        let streams: BTreeSet<(&str, &str)> =
            heads.map(|head| (head.host.as_str(), head.stream.as_str())).collect();
        let result = store.write(messages).and_then(|written| {
            let stored = streams
                .into_iter()
                .map(|(host, stream)| store.stored(host, stream).map(|stored| (host.to_owned(), stored)));
            Ok((written, stored.collect::<Result<_, _>>()?))
        });
        match result {
            Ok(((new, duplicates), stored)) => {
                (done.new, done.duplicates, done.stored) = (new, duplicates, stored);
            }
            Err(error) => {
                done.failed = messages.len() as u64;
                done.error = Some(error);
            }
        }
        done
    }

    /// Pins the time of profiles around alerts that open.
    pub(super) fn pin(&mut self, store: Option<&ProfileStore>, notes: &[(Note, Ticket)]) {
        let Some(store) = store else { return };
        for (note, _) in notes {
            if let Note::Alert { alert, .. } = note
                && let Err(error) = store.pin(alert)
            {
                self.error = Some(error);
            }
        }
    }
}

impl Session<'_> {
    /// Acknowledges to the broker what was tried, and to the relays what is stored. What failed comes again from them.
    pub(super) fn on_tried<S: Beside>(
        &mut self,
        tried: Tried,
        stats_of: impl FnOnce(&mut super::super::IngestStats) -> &mut BesideStats,
    ) {
        let Tried { tickets, new, duplicates, failed, error, stored } = tried;
        if tickets.is_empty() && error.is_none() {
            return;
        }
        for ticket in tickets {
            self.acks.done(ticket);
        }
        for (host, stored) in stored {
            if let Some(feed) = self.ingest.shared.feed().filter(|_| S::CHANNEL == Channel::Log && new > 0) {
                feed.lines(&host);
            }
            let topic = topic::stored(&host, &S::CHANNEL);
            self.work.to_tell.insert((topic, stored.stream.clone()), stored);
        }
        let mut all = self.ingest.shared.stats();
        let stats = stats_of(&mut all);
        stats.new += new;
        stats.duplicates += duplicates;
        stats.failures += failed;
        let text = error.map(|error| agent_common::text::chain(&error));
        if let Some(text) = text.as_ref().filter(|text| stats.error.as_ref() != Some(*text)) {
            tracing::error!(error = text, "the store does not take {}; they are sent again", S::WHAT);
        } else if text.is_none() && stats.error.is_some() {
            tracing::info!("the store takes {} again", S::WHAT);
        }
        stats.error = text;
    }
}
