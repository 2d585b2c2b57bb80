//! The embedded broker: rumqttd on loopback, with a user and a password made at start.
//!
//! What it does not do, and how that is borne:
//! * it keeps messages in memory only and silently evicts the oldest when a subscriber is slow → windows are
//!   acknowledged end to end, the collector sends them again;
//! * its log is 100 MB × 10 a filter by default → [`SEGMENT_BYTES`] × [`SEGMENTS`];
//! * it cannot be stopped → it lives as long as the process;
//! * it answers a wrong password by closing the connection → [`link::Failure`] says so;
//! * a port in use is only logged by its thread → the port is tried before, and afterwards the listener must be a
//!   socket of this process: another user's program on the port gets no password ([`sockets::claim`]);
//! * it drops a link whose acknowledgements are not in order → the ingester's are (`ingest/acks.rs`);
//! * it closes connections that bring too large packets, and counts them nowhere → [`refusals`];
//! * one group of a shared subscription has one cursor whatever the filter → one filter a group.

mod refused;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use agent_common::settings::BrokerAccess;
use agent_common::wire::topic::{self, Channel};
pub use refused::{layer as refusals, refused};
use rumqttd::{ConnectionSettings, RouterConfig, SegmentConfig, ServerSettings};
use sockets::Listener;

use crate::secret;

/// Segment of the broker's log.
pub const SEGMENT_BYTES: usize = 1 << 20;
/// Segments of metrics: 8 MiB hold 150 windows of a host with 300 processes. There is a log for each filter in use, which fills up
/// whatever its subscribers have read: metrics, status, alerts, reports and profiles of all hosts, and `stored` of each host, whose messages
/// are tiny. Of metrics and profiles the collector sends again what is evicted.
pub const SEGMENTS: usize = 8;
/// Segments of the others.
const OTHER_SEGMENTS: [(Channel, usize); 3] =
    [(Channel::Profile, 3), (Channel::Alert, 4), (Channel::Report, 3)];
/// Largest packet: the collector's largest window (32 MiB) with its head and topic.
pub const MAX_PACKET: usize = (32 << 20) + (64 << 10);
/// The user that collectors of this host and the ingester share.
pub const USER: &str = "s7mpa";
/// The password's file in the runtime directory.
pub const PASSWORD_FILE: &str = "broker.password";
/// How long the listener may take to appear.
const START: Duration = Duration::from_secs(10);

/// Why the broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Another program listens there.
    #[error(
        "broker: {listen} is in use by {}: end it, or choose another port with `server.mqtt_listen`",
        holder.as_ref().map_or_else(|| "another program".to_owned(), ToString::to_string)
    )]
    PortInUse {
        /// The address.
        listen: SocketAddr,
        /// The process that listens there, if this user can find it.
        holder: Option<Listener>,
    },
    /// The address is not ours, or the port needs a permission.
    #[error(
        "broker: cannot listen on {listen} (it has no privileges: a port below 1024 needs `net.ipv4.ip_unprivileged_port_start`)"
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The password file.
    #[error("broker: cannot write the password file {path}")]
    Password {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// rumqttd ended or never listened.
    #[error("broker: did not come up on {listen}: {why}")]
    Start {
        /// The address.
        listen: SocketAddr,
        /// What is known.
        why: String,
    },
}

/// A running broker. It runs until the process ends.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Where it listens.
    pub address: SocketAddr,
    /// The file with the password of [`USER`].
    pub password_file: PathBuf,
}

impl Broker {
    /// Starts it. With port 0 a free port is chosen.
    pub fn start(listen: SocketAddr, runtime_dir: &Path) -> Result<Self, BrokerError> {
        /// Between trying the port and rumqttd's own bind, another broker of this process could take it.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // rumqttd binds in a thread of its own, which can only log a failure: try first whether it will succeed.
        let probe = TcpListener::bind(listen).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => in_use(listen),
            _ => BrokerError::Listen { listen, source },
        })?;
        let address = probe.local_addr().map_err(|source| BrokerError::Listen { listen, source })?;
        drop(probe);

        let password_file = runtime_dir.join(PASSWORD_FILE);
        let password = secret::make(runtime_dir, &password_file)
            .map_err(|source| BrokerError::Password { path: password_file.clone(), source })?;

        let mut broker = rumqttd::Broker::new(config(address, password));
        let ended = thread::Builder::new()
            .name("broker".into())
            .spawn(move || broker.start().map_err(|e| e.to_string()))
            .map_err(|source| BrokerError::Listen { listen, source })?;
        let begun = Instant::now();
        let listener = loop {
            if let Some(listener) =
                sockets::claim(address).map_err(|source| BrokerError::Listen { listen, source })?
            {
                break listener;
            }
            if ended.is_finished() {
                let why = match ended.join() {
                    Ok(Err(why)) => why,
                    _ => "its thread ended".into(),
                };
                // Between the trial and rumqttd's own bind another program was faster.
                return Err(match sockets::listener_on(address) {
                    Ok(Some(_)) => in_use(address),
                    _ => BrokerError::Start { listen: address, why },
                });
            }
            if begun.elapsed() > START {
                return Err(BrokerError::Start {
                    listen: address,
                    why: format!("nothing listens after {START:?}"),
                });
            }
            thread::sleep(Duration::from_millis(5));
        };
        // Open for good: should rumqttd's thread die, its port stays this process', and whoever connects there waits for
        // an answer in place of giving the password to another program.
        let _ = listener.into_raw_fd();
        tracing::info!(%address, "broker listens");
        Ok(Self { address, password_file })
    }

    /// What clients on this host need.
    pub fn access(&self) -> BrokerAccess {
        BrokerAccess {
            user: Some(USER.to_owned()),
            password: Some(self.password_file.clone().into()),
            ..BrokerAccess::new(self.url())
        }
    }

    /// URL for clients on this host.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }
}

fn in_use(listen: SocketAddr) -> BrokerError {
    BrokerError::PortInUse { listen, holder: sockets::listener_on(listen).ok().flatten() }
}

fn config(listen: SocketAddr, password: String) -> rumqttd::Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: MAX_PACKET,
        // Messages a subscriber may leave unacknowledged: one batch of the ingester.
        max_inflight_count: 100,
        auth: Some(HashMap::from([(USER.to_owned(), password)])),
        external_auth: None,
        dynamic_filters: false,
    };
    let server =
        ServerSettings { name: "v4".into(), listen, tls: None, next_connection_delay_ms: 1, connections };
    rumqttd::Config {
        id: 0,
        router: RouterConfig {
            max_connections: 10_000,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            custom_segment: Some(HashMap::from(OTHER_SEGMENTS.map(|(channel, max_segment_count)| {
                let segments = SegmentConfig { max_segment_size: SEGMENT_BYTES, max_segment_count };
                (topic::filter(&channel), segments)
            }))),
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("v4".to_owned(), server)])),
        ..rumqttd::Config::default()
    }
}
