//! What a session sends, in which order, and when it is done.

use std::time::{Duration, Instant};

use agent_common::wire::head::WindowHead;
use agent_common::wire::line;
use agent_common::wire::topic;
use link::Message;

use super::hand_off::Retained;
use super::session::{DISCONNECT_TIMEOUT, Flight, Sent, Session, What, set_error};
use super::{Delivery, LANES, Lane, Status, lock};
use crate::spool::WindowId;

/// Time with a connection but without any acknowledgement, after which a warning is logged.
const WARN_UNACKNOWLEDGED_AFTER: Duration = Duration::from_mins(1);
/// Most messages (without windows) that the broker has not acknowledged. Further ones wait where the oldest can be dropped.
const MAX_IN_FLIGHT_MESSAGES: usize = 32;
impl Session<'_> {
    /// Gives the link as much as the limits allow.
    pub(super) fn send(&mut self) {
        if !self.connected || self.goodbye_sent {
            return;
        }
        if Instant::now() >= self.next_status {
            self.next_status = Instant::now() + self.shared.config.status_every;
            let status = Status {
                state: "online",
                host: &self.shared.config.host,
                version: Some(env!("CARGO_PKG_VERSION")),
                why: None,
                sink: Some(self.shared.stats()),
            };
            let message = status.message();
            let mut hand_off = lock(&self.shared.hand_off);
            hand_off.unsent.push_back(message.topic.clone());
            hand_off.retained.insert(message.topic, Retained { payload: message.payload, origin: None });
        }
        self.send_messages();
        for lane in 0..LANES {
            if self.flights[lane].ready {
                self.send_windows(lane);
            }
        }
        let windows = &self.flights[0];
        let mut stats = lock(&self.shared.stats);
        stats.on_their_way = windows.sent.len() as u64;
        if windows.ready && !windows.sent.is_empty() && self.last_ack.elapsed() > WARN_UNACKNOWLEDGED_AFTER {
            stats.error_kind = Some("unacknowledged".into());
            stats.error = Some(format!(
                "broker {}: no server acknowledges windows (does `agent serve` run? for other consumers set delivery = \
                 \"broker\")",
                self.shared.config.broker.url
            ));
        } else if stats.error_kind.as_deref() == Some("unacknowledged") {
            set_error(&mut stats, None);
        }
    }

    fn send_messages(&mut self) {
        while self.unnumbered.len() + self.unacked.len() < self.shared.config.window + MAX_IN_FLIGHT_MESSAGES
        {
            let mut hand_off = lock(&self.shared.hand_off);
            let (message, what) = if let Some(topic) = hand_off.unsent.pop_front() {
                let Some(Retained { payload, origin }) = hand_off.retained.get(&topic) else { continue };
                let message = Message { topic: topic.clone(), payload: payload.clone(), retain: true };
                (message, What::Retained(topic, *origin))
            } else if let Some(outgoing) = hand_off.messages.pop_front() {
                (outgoing.message.clone(), What::Message(outgoing))
            } else {
                return;
            };
            if self.link.publish(message).is_err() {
                match what {
                    What::Retained(topic, _) => hand_off.unsent.push_front(topic),
                    What::Message(outgoing) => hand_off.messages.push_front(outgoing),
                    What::Window(..) | What::Goodbye => {}
                }
                return;
            }
            drop(hand_off);
            self.unnumbered.push_back(what);
            lock(&self.shared.stats).messages += 1;
        }
    }

    fn send_windows(&mut self, lane: usize) {
        let now = Instant::now();
        // Windows that the spool has dropped are no longer in flight.
        let gone: Vec<WindowId> = {
            let spool = lock(&self.shared.lanes[lane].spool);
            self.flights[lane].sent.keys().filter(|id| !spool.contains(**id)).copied().collect()
        };
        for id in gone {
            self.flights[lane].land(id);
        }
        let late: Vec<WindowId> = self.flights[lane]
            .sent
            .iter()
            .filter(|(_, sent)| now >= sent.at + self.resend_after(sent.times))
            .map(|(id, _)| *id)
            .collect();
        let of_windows = u64::from(lane == 0);
        for id in late {
            if !self.send_window(lane, id, now) {
                return;
            }
            lock(&self.shared.stats).resent += of_windows;
        }
        let most = self.most_in_flight(lane);
        loop {
            let Flight { sent, bytes, .. } = &self.flights[lane];
            if sent.len() >= most || (*bytes >= self.shared.config.window_bytes && !sent.is_empty()) {
                return;
            }
            let Some(id) = lock(&self.shared.lanes[lane].spool).next_not_in(sent) else { return };
            if !self.send_window(lane, id, now) {
                return;
            }
            let first = self.flights[lane].sent.get(&id).is_some_and(|sent| sent.times == 1);
            lock(&self.shared.stats).published += of_windows * u64::from(first);
        }
    }

    /// Windows that may be on their way. Older servers know of no streams but metrics: as long as none has said what it
    /// has of another one, one block at a time is sent, ever more rarely.
    fn most_in_flight(&self, lane: usize) -> usize {
        if self.is_answered(lane) { self.shared.config.window.max(1) } else { 1 }
    }

    /// Whether somebody says what of a lane has arrived. An older server knows of windows alone.
    fn is_answered(&self, lane: usize) -> bool {
        lane == 0 || self.flights[lane].heard || self.shared.config.delivery == Delivery::Broker
    }

    /// `false` when the link takes no more for now.
    fn send_window(&mut self, lane: usize, id: WindowId, now: Instant) -> bool {
        let Lane { stream, spool } = &self.shared.lanes[lane];
        let Some(stored) = lock(spool).read(id) else { return true };
        let head = WindowHead {
            host: self.shared.config.host.clone(),
            stream: stored.stream,
            seq: stored.seq,
            points: stored.window.points,
            span_ns: stored.window.span.0,
            end: stored.window.end,
        };
        let mut payload = line::encode(&[head.to_point()]).into_bytes();
        payload.extend_from_slice(&stored.window.body);
        let bytes = payload.len();
        let topic = topic::of(&self.shared.config.host, &stream.channel());
        if self.link.publish(Message { topic, payload, retain: false }).is_err() {
            return false;
        }
        self.unnumbered.push_back(What::Window(lane, id));
        let flight = &mut self.flights[lane];
        let sent = flight.sent.entry(id).or_insert(Sent { at: now, times: 0, bytes });
        if sent.times == 0 {
            flight.bytes += bytes;
        }
        sent.at = now;
        sent.times += 1;
        true
    }

    /// True if the session is done. Sends the disconnect first.
    pub(super) fn finished(&mut self) -> bool {
        let (deadline, spooled, quiet) = {
            let hand_off = lock(&self.shared.hand_off);
            let Some(deadline) = hand_off.closing else { return false };
            (deadline, hand_off.spooled, hand_off.messages.is_empty() && hand_off.unsent.is_empty())
        };
        if !self.connected {
            return true;
        }
        let late = Instant::now() >= deadline;
        let all_gone = spooled
            && quiet
            && self.unnumbered.is_empty()
            && self.unacked.is_empty()
            && self
                .shared
                .lanes
                .iter()
                .enumerate()
                .all(|(nth, lane)| !self.is_answered(nth) || lock(&lane.spool).is_empty());
        if !self.goodbye_sent && (all_gone || late) {
            let offline = Status {
                state: "offline",
                host: &self.shared.config.host,
                version: Some(env!("CARGO_PKG_VERSION")),
                why: Some("stopped"),
                sink: None,
            };
            if self.link.publish(offline.message()).is_err() {
                return true;
            }
            self.unnumbered.push_back(What::Goodbye);
            self.goodbye_sent = true;
        }
        self.goodbye_sent && (self.goodbye_acked || Instant::now() >= deadline + DISCONNECT_TIMEOUT)
    }
}
