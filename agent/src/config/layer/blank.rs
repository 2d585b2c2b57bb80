//! A configuration before any layer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::super::{
    AlertsConfig, CollectorConfig, Config, Delivery, ExportConfig, HistoryConfig, HttpSettings, LogConfig,
    LogsConfig, MqttSettings, PluginConfig, Push, QueryLanguage, RecordingsConfig, RulesConfig,
    ServerSettings, SpoolConfig, StoreKind, SyscallTier,
};

/// Every field is overwritten by its key's `apply`; `host` alone has a default that only the system knows.
pub(super) fn blank() -> Config {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    Config {
        host: host.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned()),
        state_dir: PathBuf::new(),
        run_dir: PathBuf::new(),
        socket: PathBuf::new(),
        collector: CollectorConfig { rate_hz: 0, syscalls: SyscallTier::Off, sched: false, processes: 0 },
        history: HistoryConfig { windows: Duration::ZERO, samples: Duration::ZERO, max_bytes: 0 },
        recordings: RecordingsConfig { max_bytes: 0, max_age: Duration::ZERO },
        mqtt: MqttSettings {
            url: None,
            user: None,
            password: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            delivery: Delivery::Store,
        },
        spool: SpoolConfig { max_bytes: 0, max_age: Duration::ZERO },
        server: ServerSettings {
            user: String::new(),
            mqtt_listen: ([127, 0, 0, 1], 7677).into(),
            store: StoreKind::Embedded,
            ingest_group: None,
            ingest_id: None,
            retention_1s: Duration::ZERO,
            retention_10s: Duration::ZERO,
            retention: Duration::ZERO,
            max_bytes: 0,
            profile_retention: Duration::ZERO,
            profile_max_bytes: 0,
            log_retention: Duration::ZERO,
            log_source_retention: BTreeMap::new(),
            log_max_bytes: 0,
            push: Push::default(),
            influx_url: None,
            influx_org: String::new(),
            influx_bucket: String::new(),
            influx_query: QueryLanguage::Auto,
            influx_user: None,
            influx_token: None,
            influx_token_file: None,
            influx_ca_file: None,
            http: HttpSettings {
                enabled: false,
                listen: ([127, 0, 0, 1], 7676).into(),
                hosts: Vec::new(),
                path_prefix: String::new(),
                trusted_proxies: Vec::new(),
                query_timeout: Duration::ZERO,
                lookback: Duration::ZERO,
                cert_file: None,
                key_file: None,
            },
        },
        alerts: AlertsConfig { exec: None, webhook: None, timeout: Duration::ZERO },
        export: ExportConfig {
            remote_write: None,
            token_file: None,
            pyroscope: None,
            pyroscope_token_file: None,
            otlp_profiles: None,
            otlp_token_file: None,
            loki: None,
            loki_token_file: None,
            otlp_logs: None,
            interval: Duration::ZERO,
            max_bytes: 0,
            timeout: Duration::ZERO,
        },
        rules: RulesConfig { files: Vec::new(), macros: String::new(), interval: Duration::ZERO },
        plugin: PluginConfig { user: String::new(), write_dirs: Vec::new() },
        logs: LogsConfig {
            files: Vec::new(),
            except: Vec::new(),
            journal: false,
            kmsg: false,
            containers: false,
            redact: false,
        },
        log: LogConfig { level: String::new(), json: false },
    }
}
