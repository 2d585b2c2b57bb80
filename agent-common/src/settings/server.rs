//! Settings of the server part.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BrokerAccess, Content, Subnet};

/// Port of the embedded broker.
pub const PORT: u16 = 7677;
/// Port of the HTTP API.
pub const HTTP_PORT: u16 = 7676;

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
    /// What the embedded store takes of programs that push.
    pub push: Push,
    /// The ingester.
    pub ingest: IngestConfig,
    /// The HTTP API.
    pub http: Http,
    /// Recording and alerting rules over the embedded store.
    pub rules: Rules,
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
            push: Push::default(),
            ingest: IngestConfig::default(),
            http: Http::default(),
            rules: Rules::default(),
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

/// In which language a store elsewhere is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryLanguage {
    /// What it seems to speak.
    #[default]
    Auto,
    /// InfluxDB 1 and 3; 2 where its bucket has a database mapped to it.
    Influxql,
    /// InfluxDB 2.
    Flux,
    /// VictoriaMetrics.
    Promql,
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
    /// For reading.
    #[serde(default)]
    pub query: QueryLanguage,
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
    /// For reading.
    #[serde(default)]
    pub query: QueryLanguage,
    /// PEM file of the authorities to trust beside the well-known ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// How long the embedded store keeps metrics, whichever bound comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Points stay as they were written for so many seconds.
    pub written_s: u64,
    /// Then one in ten seconds until they are so many seconds old, and after that one in a minute.
    pub ten_seconds_s: u64,
    /// Days.
    pub days: u32,
    /// Bytes of the database file. A host with 300 processes needs about 0.1 GB for the first day, 1 GB for 90 days.
    pub max_bytes: u64,
    /// Days of profiles.
    pub profile_days: u32,
    /// Bytes of the profiles' database file.
    pub profile_max_bytes: u64,
    /// Days of log lines.
    pub log_days: u32,
    /// Bytes of their database files.
    pub log_max_bytes: u64,
    /// Seconds of the lines of some sources (`journal`, `kmsg`, `file`, `container`, `stdio`), where they are fewer.
    pub log_source_s: BTreeMap<String, u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            written_s: 24 * 3600,
            ten_seconds_s: 7 * 24 * 3600,
            days: 90,
            max_bytes: 5 << 30,
            profile_days: 7,
            profile_max_bytes: 1 << 30,
            log_days: 14,
            log_max_bytes: 2 << 30,
            log_source_s: BTreeMap::new(),
        }
    }
}

/// What the embedded store takes of programs that push metrics of their own (Telegraf, Prometheus).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Push {
    /// Series in the store; those that have ended count until retention deletes them.
    pub max_series: u64,
    /// Series that are new, in a minute.
    pub new_series_per_minute: u32,
}

impl Default for Push {
    fn default() -> Self {
        Self { max_series: 100_000, new_series_per_minute: 20_000 }
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

/// The HTTP API. It answers from the store, whichever it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// It runs.
    pub enabled: bool,
    /// Where it listens. Port 0: a free one. On another address than a loopback one it speaks TLS, and needs an account or a
    /// token.
    pub listen: SocketAddr,
    /// Names that requests may have in `Host`, beside `localhost` and the address that they come to.
    pub hosts: Vec<String>,
    /// What a reverse proxy puts before all paths: empty, or `/a/b`.
    pub path_prefix: String,
    /// Whose `X-Forwarded-…` headers are believed.
    pub trusted_proxies: Vec<Subnet>,
    /// How long a query may take.
    pub query_timeout: Duration,
    /// How old the newest sample of a series may be in an instant vector.
    pub lookback: Duration,
    /// Certificate and key of the operator; `None`: one that we sign ourselves, where TLS is needed.
    pub certificate: Option<Certificate>,
}

impl Default for Http {
    /// On loopback, with Prometheus's five minutes of lookback, ten seconds a query.
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT)),
            hosts: Vec::new(),
            path_prefix: String::new(),
            trusted_proxies: Vec::new(),
            query_timeout: Duration::from_secs(10),
            lookback: Duration::from_mins(5),
            certificate: None,
        }
    }
}

/// Rules in Prometheus's language. The operator's files may be readable for root alone: their texts are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Host that alerts are of whose series name none.
    pub host: String,
    /// Functions of the user's own, one definition after the other.
    pub macros: String,
    /// How often groups are evaluated that do not say it.
    pub interval: Duration,
    /// Rule files.
    pub files: Vec<RuleFile>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            macros: String::new(),
            interval: Duration::from_secs(15),
            files: Vec::new(),
        }
    }
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// PEM certificates, our own first.
    pub chain: Content,
    /// PEM key to it.
    pub key: Content,
}

/// A rule file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// Where it was.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}
