//! Settings of the server part, as they stand in the configuration file. What runs is made from them in [`crate::run`].

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::mqtt;

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
    External(ExternalBroker),
}

/// A broker elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalBroker {
    /// `mqtt://host:port` or `mqtts://host:port`.
    pub url: String,
    /// User.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// File with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM file with our certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// PEM file with the key to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
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
    /// File with the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
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
    /// File with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
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
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: 14, max_bytes: 2 << 30 }
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

impl ExternalBroker {
    pub(crate) fn link_options(&self, client_id: String) -> mqtt::Options {
        mqtt::Options {
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            ..mqtt::Options::new(&self.url, client_id)
        }
    }
}
