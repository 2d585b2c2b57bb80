//! Acknowledgements to the broker, in the order in which the messages arrived.
//!
//! MQTT demands that order ([MQTT-4.6.0-2]). Mosquitto does not mind another one; rumqttd drops the link at the first
//! acknowledgement that is not of its oldest open message (`router/iobufs.rs`, `register_ack`). Messages are done in
//! another order: a rejected one at once, a window when the store has it.

use std::collections::VecDeque;

use link::Receipt;

/// Stands for a message until it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    link: u64,
    number: u64,
}

/// The unacknowledged messages of one link, oldest first. The broker bounds their count.
#[derive(Debug)]
pub(super) struct Acks {
    link: u64,
    /// Number of the oldest.
    first: u64,
    open: VecDeque<(Receipt, bool)>,
}

impl Acks {
    /// For a link; packet ids mean nothing on another one.
    pub(super) const fn new(link: u64) -> Self {
        Self { link, first: 0, open: VecDeque::new() }
    }

    /// A message arrived. One whose ticket is never given to [`Acks::done`] keeps all later ones with the broker.
    pub(super) fn arrived(&mut self, receipt: Receipt) -> Ticket {
        self.open.push_back((receipt, false));
        Ticket { link: self.link, number: self.first + self.open.len() as u64 - 1 }
    }

    /// The message needs nothing more. Those of former links are the new link's concern: the broker sends them again.
    pub(super) fn done(&mut self, ticket: Ticket) {
        if ticket.link == self.link
            && let Some(at) = ticket.number.checked_sub(self.first)
            && let Some((_, done)) = self.open.get_mut(at as usize)
        {
            *done = true;
        }
    }

    /// The receipt that may be sent now.
    pub(super) fn next(&self) -> Option<&Receipt> {
        self.open.front().filter(|(_, done)| *done).map(|(receipt, _)| receipt)
    }

    /// It was sent.
    pub(super) fn sent(&mut self) {
        if self.open.pop_front().is_some() {
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_acknowledged_in_their_order_whatever_is_done_first() {
        let mut acks = Acks::new(2);
        let mut last_of_former = Acks::new(1);
        let tickets: Vec<Ticket> = (1..=4).map(|id| acks.arrived(Receipt::of(id))).collect();
        let former = last_of_former.arrived(Receipt::of(1));
        let ready = |acks: &mut Acks| {
            let mut ids: Vec<u16> = Vec::new();
            while let Some(receipt) = acks.next() {
                ids.push(receipt.packet_id());
                acks.sent();
            }
            ids
        };
        acks.done(former);
        acks.done(tickets[1]);
        assert!(ready(&mut acks).is_empty(), "the first is open");
        acks.done(tickets[0]);
        assert_eq!(ready(&mut acks), [1, 2]);
        acks.done(tickets[0]);
        acks.done(tickets[3]);
        assert!(ready(&mut acks).is_empty());
        acks.done(tickets[2]);
        assert_eq!(ready(&mut acks), [3, 4]);
    }
}
