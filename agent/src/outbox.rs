//! The outbox: items that the relay has not acknowledged, in memory, sent again to the next relay when one dies.
//!
//! Pure: no I/O, no clock. [`crate::daemon`] moves items between this and the socket.
//!
//! A window stays until the relay has it on disk, a message until the broker has it. Of states (alerts, reports) only the
//! latest of each key stays. An open alert stays after its acknowledgement, because a relay that restarts must learn of it. All
//! together is bounded ([`MAX_BYTES`]): the oldest windows are dropped first, and counted.

mod queue;

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_common::pair::{Ack, Item, ItemHead, Kind, MAX_TO_RELAY, NewWindow, Stream};

use self::queue::{Entry, Queue};

/// Memory of everything that waits: about two minutes of a host with 300 processes.
pub const MAX_BYTES: usize = 8 << 20;
/// What an item costs beside its payload: head, map entries.
const ITEM_BYTES: usize = 256;
/// Largest payload: the frame has a head as well.
const MAX_PAYLOAD: usize = MAX_TO_RELAY - (32 << 10);
/// Keys of a stream of states: the open alerts of a host on its worst day.
const MAX_KEYS: usize = 4096;
/// Order in which streams lose items when there is no room.
const EVICTED_FIRST: [Stream; 6] =
    [Stream::Metrics, Stream::Profile, Stream::Log, Stream::Event, Stream::Report, Stream::Alert];

/// The relay acknowledges what it was never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it acknowledges {} {seq}, which was never sent to it", stream.name())]
pub struct NeverSent {
    stream: Stream,
    seq: u64,
}

/// Counts of a stream since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items that entered the outbox.
    pub handed: u64,
    /// Acknowledged.
    pub acked: u64,
    /// Replaced by a later state of the same key before it was acknowledged.
    pub replaced: u64,
    /// Dropped before the relay had it, as far as is known.
    pub lost: u64,
    /// Kept and not acknowledged.
    pub waiting: u64,
}

/// The outbox of one daemon.
#[derive(Debug)]
pub struct Outbox {
    /// The streams of windows, and of profiles, that these count in.
    names: BTreeMap<Stream, String>,
    queues: BTreeMap<Stream, Queue>,
    bytes: usize,
    max_bytes: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new(MAX_BYTES)
    }
}

impl Outbox {
    /// An empty outbox with this bound, bytes. Windows and profiles can enter after [`Outbox::go_on`].
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        let queues = Stream::ALL.into_iter().map(|stream| (stream, Queue::default())).collect();
        Self { names: BTreeMap::new(), queues, bytes: 0, max_bytes }
    }

    /// Sets stream and number of the next window, or profile, as the first relay says. Later relays continue these numbers.
    pub fn go_on(&mut self, stream: Stream, name: String, next_seq: u64) {
        self.names.insert(stream, name);
        self.queue(stream).next_seq = next_seq.max(1);
    }

    /// True after [`Outbox::go_on`].
    #[cfg(test)]
    pub(crate) fn goes_on(&self) -> bool {
        !self.names.is_empty()
    }

    /// Takes a window, or a block of a profile.
    pub fn window(&mut self, stream: Stream, window: NewWindow) {
        self.numbered(stream, window);
    }

    /// Takes a message of log lines. Returns its number.
    pub fn lines(&mut self, message: NewWindow) -> u64 {
        self.numbered(Stream::Log, message)
    }

    fn numbered(&mut self, stream: Stream, window: NewWindow) -> u64 {
        let NewWindow { end, span, points, body } = window;
        let windows = self.names.get(&stream).cloned().unwrap_or_default();
        self.push(ItemHead { windows, end, span, points, ..ItemHead::new(stream, 0) }, body)
    }

    /// Takes a state: the latest of `key`, and the last one if it is `over`.
    pub fn state(&mut self, stream: Stream, key: &str, over: bool, payload: Vec<u8>) {
        self.push(ItemHead { key: key.to_owned(), over, ..ItemHead::new(stream, 0) }, payload);
    }

    /// Takes news.
    pub fn news(&mut self, stream: Stream, payload: Vec<u8>) {
        self.push(ItemHead::new(stream, 0), payload);
    }

    fn push(&mut self, mut head: ItemHead, payload: Vec<u8>) -> u64 {
        let (stream, cost) = (head.stream, payload.len() + head.key.len() + ITEM_BYTES);
        let queue = self.queue(stream);
        queue.counts.handed += 1;
        head.seq = queue.next_seq;
        queue.next_seq += 1;
        let mut freed = 0;
        if stream.kind() == Kind::State {
            freed = queue.replace(&head.key, head.seq);
        }
        let seq = head.seq;
        let refused = payload.len() > MAX_PAYLOAD || queue.by_key.len() > MAX_KEYS;
        if refused {
            queue.by_key.remove(&head.key);
            queue.counts.lost += 1;
        } else {
            queue.unsent.insert(head.seq);
            queue
                .items
                .insert(head.seq, Entry { item: Arc::new(Item { head, payload }), cost, acked: false });
        }
        self.bytes = self.bytes - freed + if refused { 0 } else { cost };
        self.make_room();
        seq
    }

    /// The least number of a stream of which nothing is known yet: all before it the relay has on its disk, or they are lost and
    /// counted.
    #[must_use]
    pub fn settled(&self, stream: Stream) -> u64 {
        self.queues.get(&stream).map_or(1, Queue::settled)
    }

    /// Bytes of a stream that wait.
    #[must_use]
    pub fn waiting_bytes(&self, stream: Stream) -> usize {
        self.queues.get(&stream).map_or(0, |queue| queue.items.values().map(|entry| entry.cost).sum())
    }

    /// Lets the oldest fall out until the bound is kept. One item may always be there.
    fn make_room(&mut self) {
        while self.bytes > self.max_bytes {
            let many = self.queues.values().map(|queue| queue.items.len()).sum::<usize>() > 1;
            let oldest = EVICTED_FIRST.into_iter().find(|stream| !self.queue(*stream).items.is_empty());
            let (true, Some(stream)) = (many, oldest) else { return };
            let freed = self.queue(stream).evict_oldest();
            self.bytes -= freed;
        }
    }

    /// A relay has begun: it is to get everything that is kept.
    pub fn connected(&mut self) {
        for queue in self.queues.values_mut() {
            queue.connected();
        }
    }

    /// The relay is gone: what fell out while it had it, and was not acknowledged, counts as lost.
    pub fn disconnected(&mut self) {
        for queue in self.queues.values_mut() {
            queue.disconnected();
        }
    }

    /// The next item for the relay; it counts as sent.
    pub fn next_to_send(&mut self) -> Option<Arc<Item>> {
        Stream::ALL.into_iter().find_map(|stream| self.queue(stream).next_to_send())
    }

    /// Whether nothing waits to be sent.
    #[must_use]
    pub fn all_sent(&self) -> bool {
        self.queues.values().all(|queue| queue.unsent.is_empty())
    }

    /// Lets go of what the relay has. What it says is checked: it may be hostile.
    pub fn ack(&mut self, ack: &Ack) -> Result<(), NeverSent> {
        let queue = self.queue(ack.stream);
        if let Some((_, seq)) = ack.ranges.iter().find(|(from, to)| *to > queue.sent_max || *from == 0) {
            return Err(NeverSent { stream: ack.stream, seq: *seq });
        }
        let forward = ack.ranges.iter().filter(|(from, to)| from <= to);
        let freed: usize = forward.map(|(from, to)| queue.ack(*from, *to)).sum();
        self.bytes -= freed;
        Ok(())
    }

    /// How a stream fared.
    #[must_use]
    pub fn counts(&self, stream: Stream) -> Counts {
        self.queues.get(&stream).map(Queue::counts).unwrap_or_default()
    }

    /// Bytes that are kept.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn queue(&mut self, stream: Stream) -> &mut Queue {
        self.queues.entry(stream).or_default()
    }
}

#[cfg(test)]
mod tests;
