//! The streams of messages that the privileged process hands to the relay.

use serde::{Deserialize, Serialize};

use crate::wire::topic::Channel;

/// A stream. Each counts its messages by itself, from 1 (metrics: from where the spool left off).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Changes of alerts, one topic an alert.
    Alert,
    /// Reports.
    Report,
    /// Events.
    Event,
    /// Windows as line protocol.
    Metrics,
    /// Profiles: blocks of stacks, and the evidence of alerts.
    Profile,
    /// Blocks of log lines.
    Log,
}

/// What becomes of a stream's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Each is kept on disk until the store, or the broker, has it.
    Spooled,
    /// Only the latest of each key matters. It is sent again to a relay that has restarted.
    State,
    /// Sent once; the oldest fall out when there are too many.
    News,
}

impl Stream {
    /// All of them, in the order in which they are sent when several wait.
    pub const ALL: [Self; 6] =
        [Self::Alert, Self::Report, Self::Event, Self::Metrics, Self::Profile, Self::Log];

    /// Those that are kept on disk.
    pub const SPOOLED: [Self; 3] = [Self::Metrics, Self::Profile, Self::Log];

    /// What becomes of its messages.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Metrics | Self::Profile | Self::Log => Kind::Spooled,
            Self::Alert | Self::Report => Kind::State,
            Self::Event => Kind::News,
        }
    }

    /// The channel that it is published on.
    pub const fn channel(self) -> Channel {
        match self {
            Self::Alert => Channel::Alert,
            Self::Report => Channel::Report,
            Self::Event => Channel::Event,
            Self::Metrics => Channel::Metrics,
            Self::Profile => Channel::Profile,
            Self::Log => Channel::Log,
        }
    }

    /// For people and counters.
    pub const fn name(self) -> &'static str {
        self.channel().name()
    }
}
