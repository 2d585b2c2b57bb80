//! The *mqtt* thread: connects, sends, takes acknowledgements, connects again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use agent_common::pair::SinkFigures;
use agent_common::wire::stored::Stored;
use agent_common::wire::topic;
use link::{Backoff, Event, Failure, FailureKind, Link, Received};

use super::hand_off::{Origin, Outgoing};
use super::{Delivery, LANES, Shared, lock};
use crate::spool::WindowId;

/// Longest wait before an unacknowledged window is sent again.
const RESEND_MAX: Duration = Duration::from_mins(1);
/// Longest time to disconnect, beyond the deadline.
pub(super) const DISCONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs until the sink is closed.
pub(super) async fn run(shared: &Shared) {
    let config = &shared.config;
    let mut backoff = Backoff::new(config.backoff_first, config.backoff_most);
    loop {
        let broker = lock(&shared.broker).clone();
        let failure = match Link::open(&config.link_options(broker)) {
            Ok(link) => match Session::new(shared, link).run(&mut backoff).await {
                Ok(()) => return,
                Err(failure) => failure,
            },
            // Such as a password file that is not there yet.
            Err(failure) => failure,
        };
        if matches!(
            failure.kind,
            FailureKind::Config | FailureKind::Credentials | FailureKind::Tls | FailureKind::TlsAuthority
        ) {
            shared.wake_broker.notify_one();
        }
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

pub(super) fn set_error(stats: &mut SinkFigures, failure: Option<&Failure>) {
    stats.error = failure.map(|f| f.text.clone());
    stats.error_kind =
        failure.and_then(|f| serde_json::to_value(f.kind).ok()).and_then(|v| v.as_str().map(str::to_owned));
}

/// What was given to the link.
pub(super) enum What {
    Window(usize, WindowId),
    Retained(String, Option<Origin>),
    Message(Outgoing),
    Goodbye,
}

/// A window that was sent and is not acknowledged for good.
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) times: u32,
    pub(super) bytes: usize,
}

/// The windows of one stream that are on their way.
pub(super) struct Flight {
    /// Where the server says what it has stored.
    pub(super) stored_topic: String,
    /// Windows may be sent: the subscription to that topic stands.
    pub(super) ready: bool,
    /// A server has said something there.
    pub(super) heard: bool,
    /// Windows that are not acknowledged for good.
    pub(super) sent: BTreeMap<WindowId, Sent>,
    /// Bytes of these.
    pub(super) bytes: usize,
}

impl Flight {
    /// The window is on its way no longer.
    pub(super) fn land(&mut self, id: WindowId) {
        if let Some(sent) = self.sent.remove(&id) {
            self.bytes -= sent.bytes;
        }
    }
}

pub(super) struct Session<'a> {
    pub(super) shared: &'a Shared,
    pub(super) link: Link,
    pub(super) connected: bool,
    /// One a stream that has a spool.
    pub(super) flights: [Flight; LANES],
    /// Subscriptions of these that are not answered, in order.
    subscribing: VecDeque<usize>,
    /// Given to the link, packet id not known yet, in order.
    pub(super) unnumbered: VecDeque<What>,
    /// Not yet acknowledged by the broker, by packet id.
    pub(super) unacked: HashMap<u16, What>,
    pub(super) last_ack: Instant,
    pub(super) next_status: Instant,
    pub(super) goodbye_sent: bool,
    pub(super) goodbye_acked: bool,
}

impl Drop for Session<'_> {
    /// Messages that the broker did not acknowledge are news still. Retained ones are all sent again anyway.
    fn drop(&mut self) {
        let mut hand_off = lock(&self.shared.hand_off);
        let rest = self.unacked.drain().map(|(_, what)| what).chain(self.unnumbered.drain(..));
        for what in rest {
            if let What::Message(outgoing) = what {
                hand_off.messages.push_front(outgoing);
            }
        }
    }
}

impl<'a> Session<'a> {
    fn new(shared: &'a Shared, link: Link) -> Self {
        let now = Instant::now();
        let flights = shared.lanes.each_ref().map(|lane| Flight {
            stored_topic: topic::stored(&shared.config.host, &lane.stream.channel()),
            ready: false,
            heard: false,
            sent: BTreeMap::new(),
            bytes: 0,
        });
        Self {
            shared,
            link,
            connected: false,
            flights,
            subscribing: VecDeque::new(),
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
        for sent in self.flights.iter().flat_map(|flight| flight.sent.values()) {
            at = at.min(sent.at + self.resend_after(sent.times));
        }
        if let Some(deadline) = lock(&self.shared.hand_off).closing {
            at = at.min(if self.goodbye_sent { deadline + DISCONNECT_TIMEOUT } else { deadline });
        }
        at
    }

    pub(super) fn resend_after(&self, times: u32) -> Duration {
        if self.shared.config.delivery == Delivery::Broker {
            // The broker acknowledges or the link breaks.
            return Duration::from_hours(1);
        }
        let first = self.shared.config.resend_after;
        first.saturating_mul(1 << (times.clamp(1, 16) - 1)).min(RESEND_MAX.max(first))
    }

    fn on_event(&mut self, event: Event, backoff: &mut Backoff) -> Result<(), Failure> {
        match event {
            Event::Connected { .. } => {
                self.connected = true;
                self.last_ack = Instant::now();
                match self.shared.config.delivery {
                    // At each connection: the broker does not keep the session.
                    Delivery::Store => {
                        for (lane, flight) in self.flights.iter().enumerate() {
                            let _ = self.link.subscribe(&flight.stored_topic);
                            self.subscribing.push_back(lane);
                        }
                    }
                    Delivery::Broker => (0..LANES).for_each(|lane| self.on_ready(lane, backoff)),
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
            Event::Subscribed { refused } => {
                let lane = self.subscribing.pop_front().unwrap_or_default();
                let topic = &self.flights[lane].stored_topic;
                match (refused, lane) {
                    (false, _) => self.on_ready(lane, backoff),
                    (true, 0) => {
                        return Err(Failure {
                            kind: FailureKind::Credentials,
                            text: format!("the broker does not allow to subscribe to {topic}"),
                        });
                    }
                    // Access lists of former versions do not name it.
                    (true, _) => tracing::warn!(
                        "the broker does not allow to subscribe to {topic}: what it is about waits in the spool; see deploy/mosquitto/acl"
                    ),
                }
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

    fn on_ready(&mut self, lane: usize, backoff: &mut Backoff) {
        self.flights[lane].ready = true;
        if lane > 0 {
            return;
        }
        backoff.succeeded();
        tracing::info!(broker = %lock(&self.shared.broker).url, "connected");
    }

    fn on_message(&mut self, message: &Received) {
        let lane = self.flights.iter().position(|flight| flight.stored_topic == message.topic());
        let Some(lane) = lane else { return };
        let Ok(stored) = serde_json::from_slice::<Stored>(message.payload()) else {
            tracing::warn!(topic = message.topic(), "a `stored` message is not valid JSON");
            return;
        };
        self.flights[lane].heard = true;
        let acked = lock(&self.shared.lanes[lane].spool).ack(&stored.stream, stored.to_set().ranges());
        for id in acked {
            self.let_go(lane, id);
        }
        self.shared.acknowledge_released();
    }

    fn on_broker_ack(&mut self, packet: u16) {
        match self.unacked.remove(&packet) {
            Some(What::Window(lane, id)) if self.shared.config.delivery == Delivery::Broker => {
                lock(&self.shared.lanes[lane].spool).ack_one(id);
                self.let_go(lane, id);
                self.shared.acknowledge_released();
            }
            Some(What::Retained(topic, origin)) => {
                let mut hand_off = lock(&self.shared.hand_off);
                if hand_off.retained.get(&topic).is_some_and(|latest| latest.payload.is_empty())
                    && !hand_off.unsent.contains(&topic)
                {
                    hand_off.retained.remove(&topic);
                }
                drop(hand_off);
                self.shared.acknowledge(origin);
            }
            Some(What::Message(outgoing)) => self.shared.acknowledge(outgoing.origin),
            Some(What::Goodbye) => self.goodbye_acked = true,
            Some(What::Window(..)) | None => {}
        }
    }

    fn let_go(&mut self, lane: usize, id: WindowId) {
        if lane == 0 {
            self.last_ack = Instant::now();
        }
        self.flights[lane].land(id);
    }
}
