//! Settings of the server part.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{BrokerAccess, Content};

/// Port of the embedded broker.
pub const PORT: u16 = 7677;

/// The server part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the embedded broker listens. Port 0: a free one.
    pub listen: SocketAddr,
    /// What must survive a restart.
    pub state_dir: PathBuf,
    /// Sockets and passwords.
    pub runtime_dir: PathBuf,
    /// The broker.
    pub broker: BrokerConfig,
    /// The store.
    pub store: StoreConfig,
    /// How long the embedded store keeps metrics.
    pub retention: Retention,
    /// The ingester.
    pub ingest: IngestConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            state_dir: "/var/lib/s7mpa".into(),
            runtime_dir: "/run/s7mpa".into(),
            broker: BrokerConfig::default(),
            store: StoreConfig::default(),
            retention: Retention::default(),
            ingest: IngestConfig::default(),
        }
    }
}

/// Which broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BrokerConfig {
    /// Our own, on loopback.
    #[default]
    Embedded,
    /// Mosquitto, EMQX, HiveMQ …
    External(BrokerAccess),
}

/// Which store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StoreConfig {
    /// SQLite in the state directory.
    #[default]
    Embedded,
    /// The write API of InfluxDB 2 (and 3, and VictoriaMetrics).
    Influx2(Influx2),
    /// The write API of InfluxDB 1.
    Influx1(Influx1),
}

/// InfluxDB 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Influx2 {
    /// `http(s)://host:port`.
    pub url: String,
    /// Organization.
    pub org: String,
    /// Bucket.
    pub bucket: String,
    /// Token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Content>,
    /// PEM file of the authorities to trust beside the well-known ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// InfluxDB 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Influx1 {
    /// `http(s)://host:port`.
    pub url: String,
    /// Database, made on first use.
    pub db: String,
    /// User.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Content>,
    /// PEM file of the authorities to trust beside the well-known ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// How long the embedded store keeps metrics, whichever bound comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days.
    pub days: u32,
    /// Bytes of the database file. A host with 300 processes needs about 0.1 GB a day.
    pub max_bytes: u64,
    /// Days of profiles.
    pub profile_days: u32,
    /// Bytes of the profiles' database file.
    pub profile_max_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: 14, max_bytes: 2 << 30, profile_days: 7, profile_max_bytes: 1 << 30 }
    }
}

/// The ingester.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// Group of a shared subscription: the ingesters in it share the work. Not with the embedded store, which has one
    /// writer.
    pub group: Option<String>,
    /// Client id and name of the ingester; in a group each needs its own.
    pub client_id: Option<String>,
}
