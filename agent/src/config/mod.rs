//! Configuration: defaults < file < environment < flags, every setting with the place it came from.
//!
//! The file is not the running type: [`keys::KEYS`] names each setting once (key, kind, default, meaning), the
//! layers are texts with an origin ([`layer`]), and [`Config`] is made of them when all are known.

mod exposed;
mod keys;
mod layer;
mod mqtt_url;
mod reload;
mod rule_files;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use agent_common::settings::Subnet;
use agent_common::settings::server::Push;
pub use exposed::exposed_by;
use keys::env_name;
pub use keys::{KEYS, Key, Kind, PLUGIN_USER, SERVER_USER};
pub use layer::{ConfigError, Origin, Setting, Settings};
pub use mqtt_url::MqttUrl;
pub use reload::Reload;
pub use rule_files::rule_files;
pub use values::{parse_bytes, parse_duration};

pub use agent_common::settings::relay::Delivery;
pub use agent_common::settings::server::QueryLanguage;

/// Where the configuration file is looked for. Missing there is fine; missing where `--config` points is not.
pub const DEFAULT_FILE: &str = "/etc/s7mpa/agent.toml";

/// What is in force. Built by [`Settings::config`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of this host in topics and tags.
    pub host: String,
    /// Spool and store.
    pub state_dir: PathBuf,
    /// Socket and secrets.
    pub run_dir: PathBuf,
    /// Control socket.
    pub socket: PathBuf,
    /// Probes.
    pub collector: CollectorConfig,
    /// What the daemon keeps in memory.
    pub history: HistoryConfig,
    /// Windows that the daemon keeps on disk.
    pub recordings: RecordingsConfig,
    /// Where windows go.
    pub mqtt: MqttSettings,
    /// What waits on disk for the broker.
    pub spool: SpoolConfig,
    /// The server part.
    pub server: ServerSettings,
    /// Notifiers of alerts.
    pub alerts: AlertsConfig,
    /// Other stores that get the metrics.
    pub export: ExportConfig,
    /// Rules in Prometheus's language.
    pub rules: RulesConfig,
    /// Foreign programs.
    pub plugin: PluginConfig,
    /// Log lines that are collected.
    pub logs: LogsConfig,
    /// The daemon's own log.
    pub log: LogConfig,
}

/// How syscalls are accounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyscallTier {
    /// `Times` until the host's rate of calls makes that too expensive, then `Counts`.
    Auto,
    /// Exit only: counts and errors.
    Counts,
    /// Entry and exit: counts, errors, times, histogram.
    Times,
    /// Not at all.
    Off,
}

/// Foreign programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginConfig {
    /// Whom they run as.
    pub user: String,
    /// Directories that they may write to.
    pub write_dirs: Vec<PathBuf>,
}

/// Probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorConfig {
    /// On-CPU samples a second and CPU.
    pub rate_hz: u32,
    /// Syscall accounting.
    pub syscalls: SyscallTier,
    /// Thread states, waits, wakers.
    pub sched: bool,
    /// Processes published one by one; the rest is summed as `other`.
    pub processes: usize,
}

/// What the daemon keeps in memory for `--last`, `top` and the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryConfig {
    /// Age of the oldest window.
    pub windows: Duration,
    /// Age of the oldest samples.
    pub samples: Duration,
    /// Memory of both together.
    pub max_bytes: u64,
}

/// Windows that the daemon keeps on disk, for `report --at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingsConfig {
    /// Bytes on disk; 0: none are kept.
    pub max_bytes: u64,
    /// Age of the oldest.
    pub max_age: Duration,
}

/// Where windows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttSettings {
    /// External broker; `None`: the embedded one.
    pub url: Option<MqttUrl>,
    /// User, unless the URL names one.
    pub user: Option<String>,
    /// Password, unless the URL or `password_file` has it.
    pub password: Option<String>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// Certificates to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificates.
    pub cert_file: Option<PathBuf>,
    /// The key to them.
    pub key_file: Option<PathBuf>,
    /// What counts as delivered.
    pub delivery: Delivery,
}

/// What waits on disk for the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Bytes on disk; the oldest windows fall out.
    pub max_bytes: u64,
    /// Age of the oldest window.
    pub max_age: Duration,
}

/// The server part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// User that the server part runs as.
    pub user: String,
    /// Where the embedded broker listens.
    pub mqtt_listen: SocketAddr,
    /// Which store.
    pub store: StoreKind,
    /// Group of ingesters that share a broker's messages.
    pub ingest_group: Option<String>,
    /// Name of this ingester; in a group each has its own.
    pub ingest_id: Option<String>,
    /// How long the embedded store keeps points as they came.
    pub retention_1s: Duration,
    /// How long it keeps one in ten seconds.
    pub retention_10s: Duration,
    /// How long the embedded store keeps points.
    pub retention: Duration,
    /// Size of the embedded store.
    pub max_bytes: u64,
    /// How long profiles are kept.
    pub profile_retention: Duration,
    /// Size of their store.
    pub profile_max_bytes: u64,
    /// How long log lines are kept.
    pub log_retention: Duration,
    /// How long those of some sources are, where it is shorter.
    pub log_source_retention: BTreeMap<String, Duration>,
    /// Size of their store.
    pub log_max_bytes: u64,
    /// What the embedded store takes of programs that push.
    pub push: Push,
    /// InfluxDB: URL.
    pub influx_url: Option<String>,
    /// InfluxDB 2: organisation.
    pub influx_org: String,
    /// InfluxDB 2: bucket; InfluxDB 1: database.
    pub influx_bucket: String,
    /// InfluxDB: language in which it is asked.
    pub influx_query: QueryLanguage,
    /// InfluxDB 1: user.
    pub influx_user: Option<String>,
    /// InfluxDB 2: token; InfluxDB 1: password.
    pub influx_token: Option<String>,
    /// File with it.
    pub influx_token_file: Option<PathBuf>,
    /// PEM file of the authorities to trust beside the well-known ones.
    pub influx_ca_file: Option<PathBuf>,
    /// The HTTP API.
    pub http: HttpSettings,
}

/// The HTTP API of the server part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// It runs.
    pub enabled: bool,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names that requests may have in `Host`.
    pub hosts: Vec<String>,
    /// What a reverse proxy puts before all paths: empty, or `/a/b`.
    pub path_prefix: String,
    /// Whose `X-Forwarded-…` headers are believed.
    pub trusted_proxies: Vec<Subnet>,
    /// How long a query may take.
    pub query_timeout: Duration,
    /// How old the newest sample of a series may be in an instant vector.
    pub lookback: Duration,
    /// PEM certificates, our own first.
    pub cert_file: Option<PathBuf>,
    /// The key to it.
    pub key_file: Option<PathBuf>,
}

/// Said where one of both is missing.
pub const NEEDS_BOTH: &str = "server.http.cert_file and server.http.key_file need each other";

/// Where alerts are sent besides the broker and the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertsConfig {
    /// A program that is run for each change of an alert.
    pub exec: Option<PathBuf>,
    /// Where alerts are posted in Alertmanager's format. May hold a password.
    pub webhook: Option<String>,
    /// What one try of either may take.
    pub timeout: Duration,
}

/// Where metrics, profiles and log lines go besides the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportConfig {
    /// A receiver of Prometheus's remote write. May hold a password.
    pub remote_write: Option<String>,
    /// File with its bearer token.
    pub token_file: Option<PathBuf>,
    /// A Pyroscope. May hold a password.
    pub pyroscope: Option<String>,
    /// File with its bearer token.
    pub pyroscope_token_file: Option<PathBuf>,
    /// A receiver of OTLP profiles. May hold a password.
    pub otlp_profiles: Option<String>,
    /// A receiver of OTLP logs. May hold a password.
    pub otlp_logs: Option<String>,
    /// File with the bearer token of both.
    pub otlp_token_file: Option<PathBuf>,
    /// A Loki. May hold a password.
    pub loki: Option<String>,
    /// File with its bearer token.
    pub loki_token_file: Option<PathBuf>,
    /// Time between two samples of a series.
    pub interval: Duration,
    /// Memory for what waits while the receiver is away.
    pub max_bytes: u64,
    /// What one try may take.
    pub timeout: Duration,
}

/// Rules in Prometheus's language, which the server part evaluates over its embedded store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesConfig {
    /// Paths of rule files, with wildcards.
    pub files: Vec<PathBuf>,
    /// Functions that queries may call.
    pub macros: String,
    /// How often groups are evaluated that do not say it.
    pub interval: Duration,
}

/// Said where [`ServerSettings::influx_url`] is missing.
pub const NEEDS_URL: &str = "server.store needs server.influx_url";

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// SQLite in the state directory.
    Embedded,
    /// `InfluxDB` 2 write API.
    Influx2,
    /// `InfluxDB` 1 write API.
    Influx1,
}

/// Log lines that are collected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the configuration")]
pub struct LogsConfig {
    /// Files: paths with `*`, `?` and `**`.
    pub files: Vec<PathBuf>,
    /// Files of those that are left out.
    pub except: Vec<PathBuf>,
    /// systemd's journal.
    pub journal: bool,
    /// The kernel's messages.
    pub kmsg: bool,
    /// The output of containers.
    pub containers: bool,
    /// Secrets in lines are replaced before they leave the process that reads them.
    pub redact: bool,
}

/// The daemon's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a `tracing` filter (`info,agent::control=debug`).
    pub level: String,
    /// JSON lines in place of text.
    pub json: bool,
}

impl Config {
    /// Directory of the recordings: ours alone.
    #[must_use]
    pub fn recordings_dir(&self) -> PathBuf {
        self.state_dir.join("recordings")
    }

    /// Directory of the spool: the relay's user's alone.
    #[must_use]
    pub fn spool_dir(&self) -> PathBuf {
        self.server_dir().join("spool")
    }

    /// Directory of the store: the relay's user's alone.
    #[must_use]
    pub fn server_dir(&self) -> PathBuf {
        beside(&self.state_dir, "server")
    }

    /// Directory of the broker's password: the relay's user's alone.
    #[must_use]
    pub fn server_run_dir(&self) -> PathBuf {
        beside(&self.run_dir, "server")
    }

    /// Directory of foreign programs: their user's alone.
    #[must_use]
    pub fn plugin_dir(&self) -> PathBuf {
        beside(&self.state_dir, "plugin")
    }
}

/// The directories of other users stand beside ours (`/var/lib/s7mpa-server`), not in it: so all are 0700, and no user
/// has to be let through another's.
fn beside(dir: &std::path::Path, part: &str) -> PathBuf {
    let name = dir.file_name().unwrap_or("s7mpa".as_ref());
    let mut name = name.to_owned();
    name.push("-");
    name.push(part);
    if dir.file_name().is_some() { dir.with_file_name(name) } else { dir.join(name) }
}
