//! Queues between the publishers and the two threads of the sink.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use agent_common::pair::Stream;
use link::Message;

use crate::spool::NewWindow;

/// Most windows between the collector's connection and the spool's thread: a minute of a disk that hangs.
pub(super) const MAX_WINDOWS: usize = 64;
/// Most bytes of these windows: the collector keeps no more than this either.
pub(super) const MAX_BYTES: usize = 8 << 20;
/// Most messages that are not retained and wait for the broker: news, not history.
const MAX_MESSAGES: usize = 256;
/// Largest of them.
const MESSAGE_BYTES: usize = 4 << 20;
/// Most topics with a retained message: status, report, and the open alerts of a host on its worst day. About 8 MiB.
const MAX_RETAINED: usize = 4096;

/// The message of the collector's that something came from: what is acknowledged to it.
pub(super) type Origin = (Stream, u64);

/// A window that is not in the spool yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Which spool it is for.
    pub(super) lane: usize,
    pub(super) stream: String,
    pub(super) seq: u64,
    pub(super) window: NewWindow,
}

/// A message that is not retained.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) message: Message,
    pub(super) origin: Option<Origin>,
}

/// The latest payload of a retained topic; empty: to be cleared at the broker.
#[derive(Debug)]
pub(super) struct Retained {
    pub(super) payload: Vec<u8>,
    pub(super) origin: Option<Origin>,
}

/// Items that wait for the sink's threads.
#[derive(Debug, Default)]
pub(super) struct HandOff {
    pub(super) windows: VecDeque<Waiting>,
    pub(super) bytes: usize,
    pub(super) messages: VecDeque<Outgoing>,
    pub(super) retained: BTreeMap<String, Retained>,
    /// Retained topics whose latest payload was not sent yet.
    pub(super) unsent: VecDeque<String>,
    pub(super) dropped_messages: u64,
    /// No more is taken; send what there is until then.
    pub(super) closing: Option<Instant>,
    /// The spool's thread has put the last window into the spool.
    pub(super) spooled: bool,
}

impl HandOff {
    /// Whether another window may come. One always may.
    pub(super) fn has_room(&self) -> bool {
        self.windows.is_empty() || (self.windows.len() < MAX_WINDOWS && self.bytes < MAX_BYTES)
    }

    /// Takes a message. Returns the origins that need not wait any longer: of what it replaces, of what fell out.
    pub(super) fn put(&mut self, message: Message, origin: Option<Origin>) -> Vec<Origin> {
        let Message { topic, payload, retain } = message;
        // A broker would close the connection at a larger packet, at each attempt again. Windows have the spool's bound.
        let refused = self.closing.is_some()
            || payload.len() > MESSAGE_BYTES
            || (retain && self.retained.len() >= MAX_RETAINED && !self.retained.contains_key(&topic));
        if refused {
            self.dropped_messages += 1;
            return origin.into_iter().collect();
        }
        if retain {
            let old = self.retained.insert(topic.clone(), Retained { payload, origin });
            if !self.unsent.contains(&topic) {
                self.unsent.push_back(topic);
            }
            return old.and_then(|old| old.origin).into_iter().collect();
        }
        self.messages.push_back(Outgoing { message: Message { topic, payload, retain }, origin });
        if self.messages.len() > MAX_MESSAGES {
            self.dropped_messages += 1;
            return self.messages.pop_front().and_then(|old| old.origin).into_iter().collect();
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, retain: bool) -> Message {
        Message { topic: topic.to_owned(), payload: vec![1], retain }
    }

    #[test]
    fn what_is_replaced_or_falls_out_is_let_go_of() {
        let mut hand_off = HandOff::default();
        assert_eq!(hand_off.put(message("a", true), Some((Stream::Report, 1))), []);
        assert_eq!(hand_off.put(message("a", true), Some((Stream::Report, 2))), [(Stream::Report, 1)]);
        for n in 0..MAX_MESSAGES as u64 {
            assert_eq!(hand_off.put(message("e", false), Some((Stream::Event, n + 1))), []);
        }
        assert_eq!(hand_off.put(message("e", false), None), [(Stream::Event, 1)]);
        let large = Message { payload: vec![0; MESSAGE_BYTES + 1], ..message("r", true) };
        assert_eq!(hand_off.put(large, Some((Stream::Report, 3))), [(Stream::Report, 3)]);
        assert_eq!((hand_off.dropped_messages, hand_off.unsent.len()), (2, 1));
    }
}
