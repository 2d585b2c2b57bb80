//! Where and how to connect.

use std::sync::Arc;
use std::time::Duration;

use agent_common::settings::BrokerAccess;
use rumqttc::{LastWill, MqttOptions, QoS, TlsConfiguration, Transport};

use crate::address::Address;
use crate::failure::Failure;
use crate::tls::tls;

/// Largest packet that MQTT can carry. A receiver that allows less breaks the connection at such a packet, gets it
/// again after the reconnect, and never gets past it: take it in whole, then refuse it.
pub const MAX_PACKET: usize = 268_435_455;

/// Where and how to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// The broker.
    pub broker: BrokerAccess,
    /// Client identifier.
    pub client_id: String,
    /// Interval of pings. A link without any sign of life for twice as long is closed.
    pub keep_alive: Duration,
    /// Limit for connecting, and for the network to take a packet.
    pub timeout: Duration,
    /// Largest packet, both ways.
    pub max_packet: usize,
    /// QoS 1 messages that may be unacknowledged by the broker.
    pub inflight: u16,
    /// `false`: the broker keeps subscriptions and messages while the client is away.
    pub clean_session: bool,
    /// Received messages are acknowledged by [`Link::ack`] only.
    pub manual_acks: bool,
    /// Message that the broker publishes when this client disappears without a disconnect.
    pub last_will: Option<Message>,
}

impl Options {
    /// Defaults for a broker and a client identifier.
    pub fn new(broker: impl Into<BrokerAccess>, client_id: impl Into<String>) -> Self {
        Self {
            broker: broker.into(),
            client_id: client_id.into(),
            keep_alive: Duration::from_secs(15),
            timeout: Duration::from_secs(20),
            max_packet: MAX_PACKET,
            inflight: 100,
            clean_session: true,
            manual_acks: false,
            last_will: None,
        }
    }
}

/// Something to publish, always with QoS 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// The broker keeps it for later subscribers.
    pub retain: bool,
}

/// Checks everything that can be checked without the network.
pub fn check(options: &Options) -> Result<(), Failure> {
    mqtt_options(options).map(drop)
}

pub(crate) fn mqtt_options(options: &Options) -> Result<(Address, MqttOptions), Failure> {
    let address = Address::parse(&options.broker.url)?;
    // A name resolver wants the brackets of an IPv6 address, a certificate check wants them gone.
    let host = if address.host.contains(':') && !address.tls {
        format!("[{}]", address.host)
    } else {
        address.host.clone()
    };
    let mut mqtt = MqttOptions::new(&options.client_id, host, address.port);
    mqtt.set_keep_alive(options.keep_alive.max(Duration::from_secs(1)))
        .set_max_packet_size(options.max_packet, options.max_packet)
        .set_inflight(options.inflight)
        .set_clean_session(options.clean_session)
        .set_manual_acks(options.manual_acks);
    if let Some(user) = &options.broker.user {
        let password = match &options.broker.password {
            Some(password) => {
                password.read_secret().map_err(|e| Failure::unreadable("password file", password, &e))?
            }
            None => String::new(),
        };
        mqtt.set_credentials(user, password);
    }
    if let Some(will) = &options.last_will {
        mqtt.set_last_will(LastWill::new(&will.topic, will.payload.clone(), QoS::AtLeastOnce, will.retain));
    }
    if address.tls {
        mqtt.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls(
            &options.broker
        )?))));
    }
    Ok((address, mqtt))
}
