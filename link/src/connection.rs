//! One connection and its events.

use std::time::Duration;

use rumqttc::{AsyncClient, ClientError, Outgoing, Packet, QoS};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::explain::Target;
use crate::failure::{Failure, FailureKind};
use crate::options::{Message, Options, mqtt_options};

/// Most requests that wait for the connection's task. One is a few words plus its payload; senders bound their payloads themselves.
const MAX_REQUESTS: usize = 4096;

/// A message that arrived.
#[derive(Debug)]
pub struct Received(rumqttc::Publish);

impl Received {
    /// Its topic.
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// Its payload.
    pub fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    /// What is needed to acknowledge it, without its payload.
    pub fn receipt(&self) -> Receipt {
        Receipt { qos: self.0.qos, ..Receipt::of(self.0.pkid) }
    }
}

/// Stands for a received message when it is acknowledged, on the link that it came from only.
#[derive(Debug)]
pub struct Receipt {
    packet_id: u16,
    qos: QoS,
}

impl Receipt {
    /// For the message that has this packet id.
    pub const fn of(packet_id: u16) -> Self {
        Self { packet_id, qos: QoS::AtLeastOnce }
    }

    /// The packet id.
    pub const fn packet_id(&self) -> u16 {
        self.packet_id
    }
}

/// An event of a link.
#[derive(Debug)]
pub enum Event {
    /// The broker accepted the connection.
    Connected {
        /// It still has the subscriptions of the session.
        session_present: bool,
    },
    /// Answer to a subscription.
    Subscribed {
        /// The broker refused a filter.
        refused: bool,
    },
    /// A message.
    Received(Received),
    /// The next message given to [`Link::publish`], in order, got this packet id.
    Sent(u16),
    /// The broker has the message with this packet id.
    Acked(u16),
    /// A sign of life without further meaning.
    Alive,
    /// The end of this link.
    Closed(Failure),
}

/// The queue to the connection is full: try again after the next event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue to the broker is full")]
pub struct Full;

/// One connection to a broker.
#[derive(Debug)]
pub struct Link {
    client: AsyncClient,
    events: mpsc::UnboundedReceiver<Event>,
    task: JoinHandle<()>,
    quiet_limit: Duration,
    last_event: Instant,
    address: String,
}

impl Link {
    /// Begins to connect; [`Event::Connected`] or [`Event::Closed`] follows. Must be called in a tokio runtime.
    pub fn open(options: &Options) -> Result<Self, Failure> {
        let (address, mqtt) = mqtt_options(options)?;
        let (client, mut eventloop) = AsyncClient::new(mqtt, MAX_REQUESTS);
        let mut network = rumqttc::NetworkOptions::new();
        network.set_connection_timeout(options.timeout.as_secs().max(1));
        // Without it a small acknowledgement waits 40 ms for the peer's delayed ACK.
        network.set_tcp_nodelay(true);
        eventloop.set_network_options(network);
        let (tx, events) = mpsc::unbounded_channel();
        let target = Target { address: address.clone(), credentials: options.broker.user.is_some() };
        let task = tokio::spawn(async move {
            let mut connected = false;
            loop {
                let event = match eventloop.poll().await {
                    Ok(event) => event,
                    Err(e) => {
                        drop(tx.send(Event::Closed(target.failure(&e, connected))));
                        return;
                    }
                };
                let event = match event {
                    rumqttc::Event::Incoming(Packet::ConnAck(ack)) => {
                        connected = true;
                        Event::Connected { session_present: ack.session_present }
                    }
                    rumqttc::Event::Incoming(Packet::SubAck(ack)) => Event::Subscribed {
                        refused: ack.return_codes.contains(&rumqttc::SubscribeReasonCode::Failure),
                    },
                    rumqttc::Event::Incoming(Packet::Publish(publish)) => Event::Received(Received(publish)),
                    rumqttc::Event::Incoming(Packet::PubAck(ack)) => Event::Acked(ack.pkid),
                    rumqttc::Event::Outgoing(Outgoing::Publish(pkid)) => Event::Sent(pkid),
                    _ => Event::Alive,
                };
                if tx.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            client,
            events,
            task,
            quiet_limit: options.keep_alive * 2 + options.timeout,
            last_event: Instant::now(),
            address: address.to_string(),
        })
    }

    /// The next event. Cancel-safe. After [`Event::Closed`] it must not be called again.
    ///
    /// A link that stays quiet for two pings and a time-out is closed here: rumqttc does not ping while a write to a
    /// stalled peer is in its way.
    pub async fn next(&mut self) -> Event {
        let event =
            match tokio::time::timeout_at(self.last_event + self.quiet_limit, self.events.recv()).await {
                Ok(Some(event)) => event,
                Ok(None) => Event::Closed(Failure::new(
                    FailureKind::Protocol,
                    format!("broker {}: the connection's task ended", self.address),
                )),
                Err(_) => Event::Closed(Failure::new(
                    FailureKind::Timeout,
                    format!("broker {}: no sign of life", self.address),
                )),
            };
        self.last_event = Instant::now();
        event
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        let event = self.events.try_recv().ok()?;
        self.last_event = Instant::now();
        Some(event)
    }

    /// Publishes with QoS 1. Answered by [`Event::Sent`], then [`Event::Acked`].
    pub fn publish(&self, message: Message) -> Result<(), Full> {
        full(self.client.try_publish(message.topic, QoS::AtLeastOnce, message.retain, message.payload))
    }

    /// Subscribes with QoS 1. Answered by [`Event::Subscribed`].
    pub fn subscribe(&self, filter: &str) -> Result<(), Full> {
        full(self.client.try_subscribe(filter, QoS::AtLeastOnce))
    }

    /// Acknowledges a message to the broker.
    pub fn ack(&self, receipt: &Receipt) -> Result<(), Full> {
        let mut publish = rumqttc::Publish::new(String::new(), receipt.qos, Vec::new());
        publish.pkid = receipt.packet_id;
        full(self.client.try_ack(&publish))
    }

    /// Disconnects (no last will) and waits a moment until the packet is sent. Unacknowledged messages are lost.
    pub async fn disconnect(&mut self) {
        if self.client.try_disconnect().is_ok() {
            let goodbye = async {
                while let Some(event) = self.events.recv().await {
                    if matches!(event, Event::Closed(_)) {
                        break;
                    }
                }
            };
            drop(tokio::time::timeout(Duration::from_secs(1), goodbye).await);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn full(result: Result<(), ClientError>) -> Result<(), Full> {
    result.map_err(|_| Full)
}
