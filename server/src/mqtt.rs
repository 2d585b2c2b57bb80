//! The one module that names rumqttc: one connection to a broker, its events, and why it failed.
//!
//! A [`Link`] is one connection and is never revived: after [`Event::Closed`] the owner opens a new one. What is to
//! be sent again is the owner's knowledge, not the library's. This avoids what was seen with rumqttc 0.25.1:
//! * `publish().await` blocks while the broker is away → only `try_*` is used here, a full queue is an answer;
//! * a poll task that waits for its consumer deadlocks with a consumer that waits to acknowledge → the poll task
//!   only ever hands over to an unbounded queue; its owner bounds what is in it by acknowledging by hand;
//! * after a reconnect the client is not subscribed → the owner subscribes at each [`Event::Connected`];
//! * a packet id that collided stays so over reconnects → each connection has its own state;
//! * packets over 10 kB are refused → [`Options::max_packet`] goes to the library;
//! * `disconnect` overtakes what is queued → [`Link::disconnect`] is called by owners that have seen their last ack;
//! * dropping the `poll` future in the middle of a write loses the packet → it runs in a task of its own.

use std::fmt;
use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pki_types::pem::PemObject as _;
use rumqttc::tokio_rustls::rustls::{self, ClientConfig, RootCertStore, pki_types};
use rumqttc::{
    AsyncClient, ClientError, ConnectReturnCode, ConnectionError, LastWill, MqttOptions, Outgoing, Packet,
    QoS, StateError, TlsConfiguration, TlsError, Transport,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Requests that may wait for the connection's task. One is a few words plus its payload; owners keep their own,
/// smaller, windows of payloads.
const REQUESTS: usize = 4096;

/// Largest packet that MQTT can carry. A receiver that allows less breaks the connection at such a packet, gets it
/// again after the reconnect, and never gets past it: take it in whole, then refuse it.
pub const MAX_PACKET: usize = 268_435_455;

/// Where and how to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// `mqtt://host:port` or `mqtts://host:port`; ports default to 1883 and 8883.
    pub url: String,
    /// Client identifier.
    pub client_id: String,
    /// User name.
    pub user: Option<String>,
    /// File with the password; one line end at its end is not part of it.
    pub password_file: Option<PathBuf>,
    /// PEM certificates that the broker's must lead to, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM certificate chain of this client.
    pub cert_file: Option<PathBuf>,
    /// PEM key to it.
    pub key_file: Option<PathBuf>,
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
    /// What the broker publishes when this client goes without a word.
    pub last_will: Option<Message>,
}

impl Options {
    /// Defaults for a URL and a client identifier.
    pub fn new(url: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            client_id: client_id.into(),
            user: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
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
        let mut publish = rumqttc::Publish::new(String::new(), self.0.qos, Vec::new());
        publish.pkid = self.0.pkid;
        Receipt(publish)
    }
}

/// Stands for a received message when it is acknowledged, on the link that it came from only.
#[derive(Debug)]
pub struct Receipt(rumqttc::Publish);

#[cfg(test)]
impl Receipt {
    pub(crate) fn of(packet_id: u16) -> Self {
        let mut publish = rumqttc::Publish::new(String::new(), QoS::AtLeastOnce, Vec::new());
        publish.pkid = packet_id;
        Self(publish)
    }

    pub(crate) const fn packet_id(&self) -> u16 {
        self.0.pkid
    }
}

/// What happens on a link.
#[derive(Debug)]
pub enum Event {
    /// The broker took us in.
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

/// Why there is no connection, as a word for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// URL or a named file.
    Config,
    /// The name does not resolve.
    Dns,
    /// Nobody listens there, or no way there.
    Refused,
    /// No answer in time.
    Timeout,
    /// The certificate is for another name.
    TlsName,
    /// The certificate's issuer is not trusted.
    TlsAuthority,
    /// Anything else in TLS.
    Tls,
    /// User, password or client id refused.
    Credentials,
    /// The broker closed the connection.
    Closed,
    /// The peer does not speak MQTT as it should.
    Protocol,
}

/// Why there is no connection, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// For people.
    pub text: String,
}

impl Failure {
    fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// Host and port of a broker URL.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    tls: bool,
    host: String,
    port: u16,
}

impl Address {
    fn parse(url: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::new(FailureKind::Config, format!("broker URL `{}`: {why}", without_password(url)))
        };
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| wrong("want mqtt://host[:port] or mqtts://host[:port]"))?;
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" | "tls" => true,
            _ => return Err(wrong("the scheme is neither mqtt nor mqtts")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(wrong("user and password go into their own settings"));
        }
        if rest.contains(['/', '?', '#']) {
            return Err(wrong("nothing may follow host and port"));
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']').ok_or_else(|| wrong("`]` is missing"))?;
                let _: Ipv6Addr = host.parse().map_err(|_| wrong("this is no IPv6 address"))?;
                (host, port.strip_prefix(':'))
            }
            None => rest.split_once(':').map_or((rest, None), |(h, p)| (h, Some(p))),
        };
        if host.is_empty() {
            return Err(wrong("the host is missing"));
        }
        let port = match port {
            None => {
                if tls {
                    8883
                } else {
                    1883
                }
            }
            Some(p) => p.parse().map_err(|_| wrong("the port is no number below 65536"))?,
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

/// Checks everything that can be checked without the network.
pub fn check(options: &Options) -> Result<(), Failure> {
    mqtt_options(options).map(drop)
}

/// One connection. See the module.
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
        let (client, mut eventloop) = AsyncClient::new(mqtt, REQUESTS);
        let mut network = rumqttc::NetworkOptions::new();
        network.set_connection_timeout(options.timeout.as_secs().max(1));
        // Without it a small acknowledgement waits 40 ms for the peer's delayed ACK.
        network.set_tcp_nodelay(true);
        eventloop.set_network_options(network);
        let (tx, events) = mpsc::unbounded_channel();
        let target = Target { address: address.clone(), credentials: options.user.is_some() };
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
        full(self.client.try_ack(&receipt.0))
    }

    /// Says goodbye (no last will) and waits a moment for it to leave. Unacknowledged messages are lost.
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

fn mqtt_options(options: &Options) -> Result<(Address, MqttOptions), Failure> {
    let address = Address::parse(&options.url)?;
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
    if let Some(user) = &options.user {
        let password = match &options.password_file {
            Some(path) => read_password(path)?,
            None => String::new(),
        };
        mqtt.set_credentials(user, password);
    }
    if let Some(will) = &options.last_will {
        mqtt.set_last_will(LastWill::new(&will.topic, will.payload.clone(), QoS::AtLeastOnce, will.retain));
    }
    if address.tls {
        mqtt.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls(options)?))));
    }
    Ok((address, mqtt))
}

fn unreadable(what: &str, path: &Path) -> impl Fn(&dyn fmt::Display) -> Failure {
    let text = format!("{what} {}", path.display());
    move |e| Failure::new(FailureKind::Config, format!("{text}: {e}"))
}

fn read_password(path: &Path) -> Result<String, Failure> {
    let mut password = fs::read_to_string(path).map_err(|e| unreadable("password file", path)(&e))?;
    if password.ends_with('\n') {
        password.pop();
        if password.ends_with('\r') {
            password.pop();
        }
    }
    Ok(password)
}

/// rustls with the *ring* provider, named here: a process-wide default is nobody's to set in a library.
fn tls(options: &Options) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca_file {
        let wrong = unreadable("CA file", path);
        let certs = pki_types::CertificateDer::pem_file_iter(path).map_err(|e| wrong(&e))?;
        for cert in certs {
            roots.add(cert.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
        }
        if roots.is_empty() {
            return Err(wrong(&"no certificate in it"));
        }
    } else {
        // Systems carry the odd certificate that cannot be parsed; the others still count.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Failure::new(
                FailureKind::Config,
                "TLS: this system has no CA certificates (install ca-certificates, or name a CA file)",
            ));
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::new(FailureKind::Config, format!("TLS: {e}")))?
        .with_root_certificates(roots);
    match (&options.cert_file, &options.key_file) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(cert), Some(key)) => {
            let wrong_cert = unreadable("client certificate", cert);
            let chain = pki_types::CertificateDer::pem_file_iter(cert)
                .map_err(|e| wrong_cert(&e))?
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| wrong_cert(&e))?;
            let wrong_key = unreadable("client key", key);
            let key = pki_types::PrivateKeyDer::from_pem_file(key).map_err(|e| wrong_key(&e))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| wrong_key(&e))
        }
        _ => Err(Failure::new(
            FailureKind::Config,
            "TLS: a client certificate needs its key, and the other way round",
        )),
    }
}

/// What failures are explained with.
struct Target {
    address: Address,
    credentials: bool,
}

impl Target {
    fn failure(&self, e: &ConnectionError, connected: bool) -> Failure {
        let at = &self.address;
        let fail = |kind, text: String| Failure::new(kind, format!("broker {at}: {text}"));
        match e {
            ConnectionError::ConnectionRefused(code) => match code {
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                    fail(FailureKind::Credentials, "user or password refused".into())
                }
                ConnectReturnCode::BadClientId => fail(FailureKind::Credentials, "client id refused".into()),
                other => fail(FailureKind::Protocol, format!("connection refused: {other:?}")),
            },
            ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
                fail(FailureKind::Timeout, "no answer in time".into())
            }
            ConnectionError::Io(e) => self.io_failure(e, false),
            ConnectionError::Tls(e) => self.tls_failure(e),
            ConnectionError::MqttState(StateError::ConnectionAborted) if !connected => self.no_greeting(),
            ConnectionError::MqttState(StateError::ConnectionAborted) => {
                fail(FailureKind::Closed, "connection closed by the broker".into())
            }
            ConnectionError::MqttState(
                StateError::Io(e) | StateError::Deserialization(rumqttc::Error::Io(e)),
            ) => match e.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe if !connected => {
                    self.no_greeting()
                }
                // The codec's word for an answer that is not a whole packet.
                io::ErrorKind::Other if !connected => {
                    fail(FailureKind::Protocol, "its answer is not MQTT".into())
                }
                _ => self.io_failure(e, false),
            },
            ConnectionError::RequestsDone => fail(FailureKind::Closed, "closed by us".into()),
            other => fail(FailureKind::Protocol, format!("not MQTT as expected: {other}")),
        }
    }

    /// The connection ended before the broker's CONNACK: rumqttd's only answer to a wrong password.
    fn no_greeting(&self) -> Failure {
        let why = if self.credentials {
            "user or password refused, or not an MQTT broker"
        } else {
            "it wants a user and a password, or TLS, or is not an MQTT broker"
        };
        Failure::new(
            FailureKind::Credentials,
            format!("broker {}: closed at the greeting: {why}", self.address),
        )
    }

    fn io_failure(&self, e: &io::Error, handshake: bool) -> Failure {
        let at = &self.address;
        if let Some(tls) = e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            return self.rustls_failure(tls);
        }
        // The standard library has no kind of its own for a name that does not resolve.
        if e.to_string().contains("failed to lookup address") {
            return Failure::new(
                FailureKind::Dns,
                format!("broker {at}: the name `{}` does not resolve", at.host),
            );
        }
        match e.kind() {
            io::ErrorKind::ConnectionRefused => Failure::new(
                FailureKind::Refused,
                format!("broker {at}: connection refused, nobody listens there"),
            ),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Failure::new(FailureKind::Refused, format!("broker {at}: no way there ({e})"))
            }
            io::ErrorKind::TimedOut => {
                Failure::new(FailureKind::Timeout, format!("broker {at}: no answer in time"))
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset if handshake => Failure::new(
                FailureKind::Tls,
                format!(
                    "broker {at}: closed in the TLS handshake (no TLS at this port, or it wants a client certificate)"
                ),
            ),
            _ => Failure::new(FailureKind::Closed, format!("broker {at}: {e}")),
        }
    }

    fn tls_failure(&self, e: &TlsError) -> Failure {
        match e {
            TlsError::Io(e) => self.io_failure(e, true),
            TlsError::TLS(e) => self.rustls_failure(e),
            other => Failure::new(FailureKind::Tls, format!("broker {}: TLS: {other}", self.address)),
        }
    }

    fn rustls_failure(&self, e: &rustls::Error) -> Failure {
        use rustls::{AlertDescription, CertificateError, Error};
        let at = &self.address;
        match e {
            Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Failure::new(
                FailureKind::TlsName,
                format!("broker {at}: TLS: its certificate is not for the name `{}`", at.host),
            ),
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => Failure::new(
                FailureKind::TlsAuthority,
                format!(
                    "broker {at}: TLS: its certificate is by an authority that is not trusted (name it as CA file)"
                ),
            ),
            Error::AlertReceived(AlertDescription::CertificateRequired) => Failure::new(
                FailureKind::Credentials,
                format!("broker {at}: TLS: it wants a client certificate"),
            ),
            Error::InvalidMessage(_) => Failure::new(
                FailureKind::Tls,
                format!("broker {at}: TLS: what answers there does not speak TLS"),
            ),
            other => Failure::new(FailureKind::Tls, format!("broker {at}: TLS: {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_or_refused_with_the_reason() {
        let ok = |url: &str| Address::parse(url).map(|a| (a.tls, a.to_string())).expect(url);
        assert_eq!(ok("mqtt://broker"), (false, "broker:1883".into()));
        assert_eq!(ok("mqtts://broker.example/"), (true, "broker.example:8883".into()));
        assert_eq!(ok("mqtt://[::1]:7677"), (false, "[::1]:7677".into()));
        assert_eq!(ok("tcp://10.0.0.1:1"), (false, "10.0.0.1:1".into()));
        for (url, why) in [
            ("broker:1883", "want mqtt://"),
            ("http://broker", "neither mqtt nor mqtts"),
            ("mqtt://user:secret@broker", "their own settings"),
            ("mqtt://", "host is missing"),
            ("mqtt://h:99999", "no number below 65536"),
            ("mqtt://h/path", "nothing may follow"),
            ("mqtt://[::1", "`]` is missing"),
        ] {
            let failure = Address::parse(url).expect_err(url);
            assert_eq!(failure.kind, FailureKind::Config);
            assert!(failure.text.contains(why), "{url}: {failure}");
            assert!(!failure.text.contains("secret"), "{failure}");
        }
    }
}
