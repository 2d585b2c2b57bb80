//! Profiles into their store, and what follows from that.

use std::collections::BTreeSet;

use agent_common::wire::stored::Stored;
use agent_common::wire::topic::{self, Channel};

use super::super::acks::Ticket;
use super::Session;
use crate::store::profiles::{Message, ProfileStore, Written};
use crate::store::{Note, StoreError};

/// What became of the profiles of a write.
#[derive(Debug, Default)]
pub(super) struct Profiles {
    tickets: Vec<Ticket>,
    written: Written,
    failed: u64,
    error: Option<StoreError>,
    /// What their store has, by host.
    stored: Vec<(String, Stored)>,
}

impl Profiles {
    /// Writes them, and pins the time around alerts that open.
    pub(super) fn write(
        store: Option<&ProfileStore>,
        messages: &[Message],
        tickets: Vec<Ticket>,
        notes: &[(Note, Ticket)],
    ) -> Self {
        let mut done = Self { tickets, ..Self::default() };
        let Some(store) = store else { return done };
        for (note, _) in notes {
            if let Note::Alert { alert, .. } = note
                && let Err(error) = store.pin(alert)
            {
                done.error = Some(error);
            }
        }
        if messages.is_empty() {
            return done;
        }
        let streams: BTreeSet<(&str, &str)> =
            messages.iter().map(|one| (one.head.host.as_str(), one.head.stream.as_str())).collect();
        let result = store.write(messages).and_then(|written| {
            let stored = streams
                .into_iter()
                .map(|(host, stream)| store.stored(host, stream).map(|stored| (host.to_owned(), stored)));
            Ok((written, stored.collect::<Result<_, _>>()?))
        });
        match result {
            Ok((written, stored)) => (done.written, done.stored) = (written, stored),
            Err(error) => {
                done.failed = messages.len() as u64;
                done.error = Some(error);
            }
        }
        done
    }
}

impl Session<'_> {
    /// Acknowledges to the broker what was tried, and to the relays what is stored. What failed comes again from them.
    pub(super) fn on_profiles(&mut self, profiles: Profiles) {
        let Profiles { tickets, written, failed, error, stored } = profiles;
        if tickets.is_empty() && error.is_none() {
            return;
        }
        for ticket in tickets {
            self.acks.done(ticket);
        }
        for (host, stored) in stored {
            let topic = topic::stored(&host, &Channel::Profile);
            self.work.to_tell.insert((topic, stored.stream.clone()), stored);
        }
        let mut stats = self.ingest.shared.stats();
        stats.profiles += written.blocks;
        stats.profile_duplicates += written.duplicates;
        stats.profile_failures += failed;
        let text = error.map(|error| agent_common::text::chain(&error));
        if let Some(text) = text.as_ref().filter(|text| stats.profile_error.as_ref() != Some(*text)) {
            tracing::error!(error = text, "the store does not take profiles; they are sent again");
        } else if text.is_none() && stats.profile_error.is_some() {
            tracing::info!("the store takes profiles again");
        }
        stats.profile_error = text;
    }
}
