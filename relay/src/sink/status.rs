//! The status message of a host's collector.

use agent_common::pair::SinkFigures;
use agent_common::wire::topic::{self, Channel};
use link::Message;
use serde::Serialize;

/// Payload of `s7mpa/v1/<host>/status`, retained.
#[derive(Debug, Default, Serialize)]
pub(super) struct Status<'a> {
    /// `online` or `offline`.
    pub(super) state: &'a str,
    pub(super) host: &'a str,
    pub(super) version: Option<&'a str>,
    /// Why it is offline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sink: Option<SinkFigures>,
}

impl Status<'_> {
    pub(super) fn message(&self) -> Message {
        Message {
            topic: topic::of(self.host, &Channel::Status),
            // SANITY: strings and numbers only.
            payload: serde_json::to_vec(self).expect("a status is JSON"),
            retain: true,
        }
    }
}
