//! The *mqtt* thread: connects, sends, takes acknowledgements, connects again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use agent_common::wire::head::WindowHead;
use agent_common::wire::line;
use agent_common::wire::stored::Stored;
use agent_common::wire::topic::{self, Channel};
use server::mqtt::{Event, Failure, FailureKind, Link, Message, Received};
use server::store::Backoff;

use super::{Delivery, Shared, Status, lock};
use crate::sink::spool::WindowId;

/// Longest wait before an unacknowledged window is sent again.
const RESEND_MOST: Duration = Duration::from_mins(1);
/// With a connection and without a single acknowledgement for this long, somebody should know.
const SILENCE: Duration = Duration::from_mins(1);
/// Messages that are not windows and that the broker may owe an answer for. The others wait where the oldest can be
/// dropped.
const MESSAGES_ON_THEIR_WAY: usize = 32;
/// How long the goodbye may take beyond the deadline.
const GOODBYE: Duration = Duration::from_millis(500);

/// Runs until the sink is closed.
pub(super) async fn run(shared: &Shared) {
    let config = &shared.config;
    let mut backoff = Backoff::new(config.backoff_first, config.backoff_most);
    loop {
        let failure = match Link::open(&config.link_options()) {
            Ok(link) => match Session::new(shared, link).run(&mut backoff).await {
                Ok(()) => return,
                Err(failure) => failure,
            },
            // Such as a password file that is not there yet.
            Err(failure) => failure,
        };
        {
            let mut stats = lock(&shared.stats);
            stats.connected = false;
            stats.on_their_way = 0;
            if stats.error.as_ref() != Some(&failure.text) {
                tracing::warn!(kind = ?failure.kind, "{failure}");
            }
            set_error(&mut stats, Some(&failure));
        }
        let wait = tokio::time::sleep(backoff.failed());
        tokio::pin!(wait);
        loop {
            if lock(&shared.hand_off).closing.is_some() {
                return;
            }
            tokio::select! {
                () = &mut wait => break,
                () = shared.wake_mqtt.notified() => {}
            }
        }
    }
}

fn set_error(stats: &mut super::SinkStats, failure: Option<&Failure>) {
    stats.error = failure.map(|f| f.text.clone());
    stats.error_kind =
        failure.and_then(|f| serde_json::to_value(f.kind).ok()).and_then(|v| v.as_str().map(str::to_owned));
}

/// What was given to the link.
enum What {
    Window(WindowId),
    Retained(String),
    Message(Message),
    Goodbye,
}

struct Sent {
    at: Instant,
    times: u32,
    bytes: usize,
}

#[expect(clippy::struct_excessive_bools, reason = "steps that are reached independently of each other")]
struct Session<'a> {
    shared: &'a Shared,
    link: Link,
    stored_topic: String,
    connected: bool,
    /// Windows may be sent: the subscription to `stored` stands.
    ready: bool,
    /// Windows that are not acknowledged for good.
    sent: BTreeMap<WindowId, Sent>,
    sent_bytes: usize,
    /// Given to the link, packet id not known yet, in order.
    unnumbered: VecDeque<What>,
    /// Not yet acknowledged by the broker, by packet id.
    unacked: HashMap<u16, What>,
    last_ack: Instant,
    next_status: Instant,
    goodbye_sent: bool,
    goodbye_acked: bool,
}

impl Drop for Session<'_> {
    /// Messages that the broker did not acknowledge are news still. Retained ones are all sent again anyway.
    fn drop(&mut self) {
        let mut hand_off = lock(&self.shared.hand_off);
        let rest = self.unacked.drain().map(|(_, what)| what).chain(self.unnumbered.drain(..));
        for what in rest {
            if let What::Message(message) = what {
                hand_off.messages.push_front(message);
            }
        }
    }
}

impl<'a> Session<'a> {
    fn new(shared: &'a Shared, link: Link) -> Self {
        let now = Instant::now();
        Self {
            shared,
            link,
            stored_topic: topic::of(&shared.config.host, &Channel::Stored),
            connected: false,
            ready: false,
            sent: BTreeMap::new(),
            sent_bytes: 0,
            unnumbered: VecDeque::new(),
            unacked: HashMap::new(),
            last_ack: now,
            next_status: now,
            goodbye_sent: false,
            goodbye_acked: false,
        }
    }

    /// `Ok` when the sink was closed.
    async fn run(mut self, backoff: &mut Backoff) -> Result<(), Failure> {
        loop {
            let wake_at = self.wake_at();
            tokio::select! {
                event = self.link.next() => self.on_event(event, backoff)?,
                () = self.shared.wake_mqtt.notified() => {}
                () = tokio::time::sleep_until(wake_at.into()) => {}
            }
            while let Some(event) = self.link.try_next() {
                self.on_event(event, backoff)?;
            }
            self.send();
            if self.finished() {
                break;
            }
        }
        lock(&self.shared.stats).connected = false;
        // `self` has a `Drop`, so the link cannot be moved out: say goodbye here.
        self.link.disconnect().await;
        Ok(())
    }

    fn wake_at(&self) -> Instant {
        let mut at = Instant::now() + Duration::from_secs(5);
        if self.connected {
            at = at.min(self.next_status);
        }
        for sent in self.sent.values() {
            at = at.min(sent.at + self.resend_after(sent.times));
        }
        if let Some(deadline) = lock(&self.shared.hand_off).closing {
            at = at.min(if self.goodbye_sent { deadline + GOODBYE } else { deadline });
        }
        at
    }

    fn resend_after(&self, times: u32) -> Duration {
        if self.shared.config.delivery == Delivery::Broker {
            // The broker acknowledges or the link breaks.
            return Duration::from_hours(1);
        }
        let first = self.shared.config.resend_after;
        first.saturating_mul(1 << (times.clamp(1, 16) - 1)).min(RESEND_MOST.max(first))
    }

    fn on_event(&mut self, event: Event, backoff: &mut Backoff) -> Result<(), Failure> {
        match event {
            Event::Connected { .. } => {
                self.connected = true;
                self.last_ack = Instant::now();
                match self.shared.config.delivery {
                    // At each connection: the broker does not remember us.
                    Delivery::EndToEnd => drop(self.link.subscribe(&self.stored_topic)),
                    Delivery::Broker => self.on_ready(backoff),
                }
                {
                    let mut hand_off = lock(&self.shared.hand_off);
                    hand_off.unsent = hand_off.retained.keys().cloned().collect();
                }
                let mut stats = lock(&self.shared.stats);
                stats.connected = true;
                stats.connections += 1;
                set_error(&mut stats, None);
            }
            Event::Subscribed { refused: false } => self.on_ready(backoff),
            Event::Subscribed { refused: true } => {
                return Err(Failure {
                    kind: FailureKind::Credentials,
                    text: format!("the broker does not allow to subscribe to {}", self.stored_topic),
                });
            }
            Event::Received(message) => self.on_message(&message),
            Event::Sent(packet) => {
                if let Some(what) = self.unnumbered.pop_front() {
                    self.unacked.insert(packet, what);
                }
            }
            Event::Acked(packet) => self.on_broker_ack(packet),
            Event::Alive => {}
            Event::Closed(failure) => return Err(failure),
        }
        Ok(())
    }

    fn on_ready(&mut self, backoff: &mut Backoff) {
        self.ready = true;
        backoff.succeeded();
        tracing::info!(broker = %self.shared.config.url, "connected");
    }

    fn on_message(&mut self, message: &Received) {
        if message.topic() != self.stored_topic {
            return;
        }
        let Ok(stored) = serde_json::from_slice::<Stored>(message.payload()) else {
            tracing::warn!(topic = message.topic(), "a `stored` message is no JSON of ours");
            return;
        };
        let acked = lock(&self.shared.spool).ack(&stored.stream, stored.to_set().ranges());
        for id in acked {
            self.let_go(id);
        }
    }

    fn on_broker_ack(&mut self, packet: u16) {
        match self.unacked.remove(&packet) {
            Some(What::Window(id)) if self.shared.config.delivery == Delivery::Broker => {
                lock(&self.shared.spool).ack_one(id);
                self.let_go(id);
            }
            Some(What::Retained(topic)) => {
                let mut hand_off = lock(&self.shared.hand_off);
                if hand_off.retained.get(&topic).is_some_and(Vec::is_empty)
                    && !hand_off.unsent.contains(&topic)
                {
                    hand_off.retained.remove(&topic);
                }
            }
            Some(What::Goodbye) => self.goodbye_acked = true,
            Some(What::Window(_) | What::Message(_)) | None => {}
        }
    }

    fn let_go(&mut self, id: WindowId) {
        self.last_ack = Instant::now();
        if let Some(sent) = self.sent.remove(&id) {
            self.sent_bytes -= sent.bytes;
        }
    }

    /// Gives the link as much as it may have.
    fn send(&mut self) {
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
            hand_off.retained.insert(message.topic, message.payload);
        }
        self.send_messages();
        if self.ready {
            self.send_windows();
        }
        let mut stats = lock(&self.shared.stats);
        stats.on_their_way = self.sent.len() as u64;
        if self.ready && !self.sent.is_empty() && self.last_ack.elapsed() > SILENCE {
            stats.error_kind = Some("unacknowledged".into());
            stats.error = Some(format!(
                "broker {}: nobody acknowledges windows (no `agent serve` behind it? other consumers want delivery = \
                 \"broker\")",
                self.shared.config.url
            ));
        } else if stats.error_kind.as_deref() == Some("unacknowledged") {
            set_error(&mut stats, None);
        }
    }

    fn send_messages(&mut self) {
        while self.unnumbered.len() + self.unacked.len() < self.shared.config.window + MESSAGES_ON_THEIR_WAY {
            let mut hand_off = lock(&self.shared.hand_off);
            let (message, what) = if let Some(topic) = hand_off.unsent.pop_front() {
                let Some(payload) = hand_off.retained.get(&topic).cloned() else { continue };
                (Message { topic: topic.clone(), payload, retain: true }, What::Retained(topic))
            } else if let Some(message) = hand_off.messages.pop_front() {
                (message.clone(), What::Message(message))
            } else {
                return;
            };
            if self.link.publish(message).is_err() {
                match what {
                    What::Retained(topic) => hand_off.unsent.push_front(topic),
                    What::Message(message) => hand_off.messages.push_front(message),
                    What::Window(_) | What::Goodbye => {}
                }
                return;
            }
            drop(hand_off);
            self.unnumbered.push_back(what);
            lock(&self.shared.stats).messages += 1;
        }
    }

    fn send_windows(&mut self) {
        let now = Instant::now();
        // What fell out of the spool meanwhile is not on its way any more.
        let gone: Vec<WindowId> = {
            let spool = lock(&self.shared.spool);
            self.sent.keys().filter(|id| !spool.contains(**id)).copied().collect()
        };
        for id in gone {
            if let Some(sent) = self.sent.remove(&id) {
                self.sent_bytes -= sent.bytes;
            }
        }
        let late: Vec<WindowId> = self
            .sent
            .iter()
            .filter(|(_, sent)| now >= sent.at + self.resend_after(sent.times))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if !self.send_window(id, now) {
                return;
            }
            lock(&self.shared.stats).resent += 1;
        }
        while self.sent.len() < self.shared.config.window.max(1)
            && (self.sent_bytes < self.shared.config.window_bytes || self.sent.is_empty())
        {
            let Some(id) = lock(&self.shared.spool).next_not_in(&self.sent) else { return };
            if !self.send_window(id, now) {
                return;
            }
            lock(&self.shared.stats).published += u64::from(self.sent.get(&id).is_some_and(|s| s.times == 1));
        }
    }

    /// `false` when the link takes no more for now.
    fn send_window(&mut self, id: WindowId, now: Instant) -> bool {
        let Some(stored) = lock(&self.shared.spool).read(id) else { return true };
        let head = WindowHead {
            host: self.shared.config.host.clone(),
            stream: stored.stream,
            seq: stored.seq,
            points: stored.window.points,
            span_ns: stored.window.span.0,
            end: stored.window.end,
        };
        let mut payload = line::encode(&[head.to_point()]);
        payload.push_str(&stored.window.lines);
        let bytes = payload.len();
        let topic = topic::of(&self.shared.config.host, &Channel::Metrics);
        if self.link.publish(Message { topic, payload: payload.into_bytes(), retain: false }).is_err() {
            return false;
        }
        self.unnumbered.push_back(What::Window(id));
        let sent = self.sent.entry(id).or_insert(Sent { at: now, times: 0, bytes });
        if sent.times == 0 {
            self.sent_bytes += bytes;
        }
        sent.at = now;
        sent.times += 1;
        true
    }

    /// Whether it is time to go. Sends the goodbye first.
    fn finished(&mut self) -> bool {
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
            && lock(&self.shared.spool).is_empty();
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
        self.goodbye_sent && (self.goodbye_acked || Instant::now() >= deadline + GOODBYE)
    }
}
