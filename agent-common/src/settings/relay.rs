//! Settings of the unprivileged process that the daemon starts.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BrokerAccess, Content, server};

/// What the daemon tells the process when it starts, and again when its configuration was read anew. Secrets and
/// certificates are in it as text: the process may not be able to read the operator's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Host name in topics and heads.
    pub host: String,
    /// Its log, which goes where the daemon's goes.
    pub log: Log,
    /// The broker; `None`: the embedded one of `server`.
    pub broker: Option<BrokerAccess>,
    /// Who must have a window before the spool lets go of it.
    pub delivery: Delivery,
    /// The spool.
    pub spool: Spool,
    /// The server part, if it is to run in this process too.
    pub server: Option<server::Config>,
    /// Where alerts are posted.
    pub webhook: Option<Webhook>,
    /// Where metrics go beside MQTT.
    pub remote_write: Option<RemoteWrite>,
    /// Where profiles go beside MQTT, by Pyroscope's push API.
    pub pyroscope: Option<EngineExport>,
    /// Where profiles go beside MQTT, as OTLP profiles.
    pub otlp_profiles: Option<EngineExport>,
    /// Where log lines go beside MQTT, by Loki's push API.
    pub loki: Option<EngineExport>,
    /// Where log lines go beside MQTT, as OTLP logs.
    pub otlp_logs: Option<EngineExport>,
}

/// Form of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter; empty: the daemon's default.
    pub level: String,
    /// JSON lines in place of text.
    pub json: bool,
}

/// Who must have a window before the spool lets go of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The store: an ingester's `stored` message names the window.
    #[default]
    Store,
    /// The broker, for consumers other than our own ingester.
    Broker,
}

/// The spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    /// Its directory.
    pub dir: PathBuf,
    /// Bytes of all its files.
    pub max_bytes: u64,
    /// Age of the oldest window.
    pub max_age: Duration,
}

impl Spool {
    /// Bytes for log lines, beside those of the windows.
    pub const fn max_log_bytes(&self) -> u64 {
        self.max_bytes / 2
    }
}

/// A receiver of alerts in the format of Alertmanager's API v2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// `http(s)://…`; may hold a password.
    pub url: Content,
    /// What one try may take.
    pub timeout: Duration,
}

/// A receiver of Prometheus's remote write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteWrite {
    /// `http(s)://…`; may hold a password.
    pub url: Content,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Content>,
    /// Time between two samples of a series.
    pub interval: Duration,
    /// Bytes that wait while the receiver is away; the oldest fall out.
    pub max_bytes: u64,
    /// What one try may take.
    pub timeout: Duration,
}

/// A receiver of profiles or log lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineExport {
    /// `http(s)://host:port[/prefix]`; may hold a password.
    pub url: Content,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Content>,
    /// Bytes that wait while the receiver is away; the oldest fall out.
    pub max_bytes: u64,
    /// What one try may take.
    pub timeout: Duration,
}
