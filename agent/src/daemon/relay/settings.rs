//! Settings of the relay and the server part, from the daemon's configuration.

use std::path::{Path, PathBuf};

use agent_common::settings::relay::{EngineExport, Log, RemoteWrite, Settings, Spool, Webhook};
use agent_common::settings::server::{
    self, BrokerConfig, Certificate, Http, Influx1, Influx2, IngestConfig, Retention, StoreConfig,
};
use agent_common::settings::{BrokerAccess, Content};
use anyhow::Context as _;

use crate::config::{Config, ExportConfig, StoreKind};

/// The relay's settings. They contain the text of files that only root may read.
pub(super) fn relay_settings(config: &Config) -> anyhow::Result<Settings> {
    let broker = broker_access(config).map(|access| access.embed()).transpose().context("broker")?;
    let server = match broker {
        Some(_) => None,
        None => Some(server_config(config, &config.server_run_dir())?),
    };
    let export = &config.export;
    Ok(Settings {
        host: config.host.clone(),
        log: Log { level: config.log.level.clone(), json: config.log.json },
        broker,
        delivery: config.mqtt.delivery,
        spool: Spool {
            dir: config.spool_dir(),
            max_bytes: config.spool.max_bytes,
            max_age: config.spool.max_age,
        },
        server,
        webhook: config
            .alerts
            .webhook
            .clone()
            .map(|url| Webhook { url: Content::Text(url), timeout: config.alerts.timeout }),
        remote_write: remote_write(config)?,
        pyroscope: engine_export(
            export,
            export.pyroscope.as_ref(),
            ("export.pyroscope_token_file", export.pyroscope_token_file.as_ref()),
        )?,
        otlp_profiles: engine_export(
            export,
            export.otlp_profiles.as_ref(),
            ("export.otlp_token_file", export.otlp_token_file.as_ref()),
        )?,
        loki: engine_export(
            export,
            export.loki.as_ref(),
            ("export.loki_token_file", export.loki_token_file.as_ref()),
        )?,
        otlp_logs: engine_export(
            export,
            export.otlp_logs.as_ref(),
            ("export.otlp_token_file", export.otlp_token_file.as_ref()),
        )?,
    })
}

fn engine_export(
    export: &ExportConfig,
    url: Option<&String>,
    (key, token_file): (&'static str, Option<&PathBuf>),
) -> anyhow::Result<Option<EngineExport>> {
    let Some(url) = url.cloned() else { return Ok(None) };
    let file = token_file.cloned().map(Content::File);
    let token = file.map(|file| file.embed(key)).transpose()?;
    Ok(Some(EngineExport {
        url: Content::Text(url),
        token,
        max_bytes: export.max_bytes,
        timeout: export.timeout,
    }))
}

fn remote_write(config: &Config) -> anyhow::Result<Option<RemoteWrite>> {
    let export = &config.export;
    let Some(url) = export.remote_write.clone() else { return Ok(None) };
    let file = export.token_file.clone().map(Content::File);
    let token = file.map(|file| file.embed("export.token_file")).transpose()?;
    Ok(Some(RemoteWrite {
        url: Content::Text(url),
        token,
        interval: export.interval,
        max_bytes: export.max_bytes,
        timeout: export.timeout,
    }))
}

/// The operator's broker; `None`: the embedded one.
#[must_use]
pub fn broker_access(config: &Config) -> Option<BrokerAccess> {
    let mqtt = &config.mqtt;
    let url = mqtt.url.as_ref()?;
    let text = |text: &String| Content::Text(text.clone());
    let file = |file: &PathBuf| Content::File(file.clone());
    // A password in the URL has precedence.
    let password = url.password.as_ref().map(text);
    let password = password.or_else(|| mqtt.password_file.as_ref().map(file));
    Some(BrokerAccess {
        url: url.without_login(),
        user: url.user.clone().or_else(|| mqtt.user.clone()),
        password: password.or_else(|| mqtt.password.as_ref().map(text)),
        ca: mqtt.ca_file.as_ref().map(file),
        cert: mqtt.cert_file.as_ref().map(file),
        key: mqtt.key_file.as_ref().map(file),
    })
}

/// Where points are kept. The token or password is in it as text.
pub fn store_config(config: &Config) -> anyhow::Result<StoreConfig> {
    let settings = &config.server;
    let token = match (&settings.influx_token_file, &settings.influx_token) {
        (Some(file), _) => Some(Content::File(file.clone()).embed("server.influx_token_file")?),
        (None, token) => token.clone().map(Content::Text),
    };
    let url = || settings.influx_url.clone().context(crate::config::NEEDS_URL);
    Ok(match settings.store {
        StoreKind::Embedded => StoreConfig::Embedded,
        StoreKind::Influx2 => StoreConfig::Influx2(Influx2 {
            url: url()?,
            org: settings.influx_org.clone(),
            bucket: settings.influx_bucket.clone(),
            token,
            query: settings.influx_query,
            ca_file: settings.influx_ca_file.clone(),
        }),
        StoreKind::Influx1 => StoreConfig::Influx1(Influx1 {
            url: url()?,
            db: settings.influx_bucket.clone(),
            user: settings.influx_user.clone(),
            password: token,
            query: settings.influx_query,
            ca_file: settings.influx_ca_file.clone(),
        }),
    })
}

/// The settings of the server part.
pub fn server_config(config: &Config, run_dir: &Path) -> anyhow::Result<server::Config> {
    let settings = &config.server;
    let store = store_config(config)?;
    let broker = match broker_access(config) {
        None => BrokerConfig::Embedded,
        Some(access) => BrokerConfig::External(access.embed().context("broker")?),
    };
    Ok(server::Config {
        listen: settings.mqtt_listen,
        state_dir: config.server_dir(),
        runtime_dir: run_dir.to_owned(),
        broker,
        store,
        retention: Retention {
            written_s: settings.retention_1s.as_secs(),
            ten_seconds_s: settings.retention_10s.as_secs(),
            days: days(settings.retention),
            max_bytes: settings.max_bytes,
            profile_days: days(settings.profile_retention),
            profile_max_bytes: settings.profile_max_bytes,
            log_days: days(settings.log_retention),
            log_max_bytes: settings.log_max_bytes,
            log_source_s: settings
                .log_source_retention
                .iter()
                .map(|(source, age)| (source.clone(), age.as_secs()))
                .collect(),
        },
        push: settings.push.clone(),
        ingest: IngestConfig { group: settings.ingest_group.clone(), client_id: settings.ingest_id.clone() },
        http: http(config)?,
        rules: server::Rules {
            host: config.host.clone(),
            macros: config.rules.macros.clone(),
            interval: config.rules.interval,
            files: crate::config::rule_files(&config.rules.files).context("rules.files")?,
        },
    })
}

/// The settings of the HTTP API, with certificate and key as text: they may be root's alone.
fn http(config: &Config) -> anyhow::Result<Http> {
    let http = &config.server.http;
    let file = |path: &PathBuf, key| Content::File(path.clone()).embed(key);
    let certificate = match (&http.cert_file, &http.key_file) {
        (Some(cert), Some(key)) => Some(Certificate {
            chain: file(cert, "server.http.cert_file")?,
            key: file(key, "server.http.key_file")?,
        }),
        (None, None) => None,
        _ => anyhow::bail!(crate::config::NEEDS_BOTH),
    };
    Ok(Http {
        enabled: http.enabled,
        listen: http.listen,
        hosts: http.hosts.clone(),
        path_prefix: http.path_prefix.clone(),
        trusted_proxies: http.trusted_proxies.clone(),
        query_timeout: http.query_timeout,
        lookback: http.lookback,
        certificate,
    })
}

/// Whole days, a part of one as one.
fn days(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_secs().div_ceil(24 * 3600)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[(&str, &str)]) -> Config {
        let mut settings = crate::config::Settings::defaults();
        for (key, value) in flags {
            settings.add_flag(key, value, "--set");
        }
        settings.config().unwrap()
    }

    #[test]
    fn secrets_of_files_that_only_root_may_read_reach_the_relay_as_text() {
        let dir = tempfile::tempdir().unwrap();
        let password = dir.path().join("password");
        std::fs::write(&password, "hush\n").unwrap();
        let config =
            config(&[("mqtt.url", "mqtts://me@broker"), ("mqtt.password_file", password.to_str().unwrap())]);
        let settings = relay_settings(&config).unwrap();
        assert!(settings.server.is_none(), "a bare collector");
        let access = settings.broker.unwrap();
        assert_eq!(access.password.unwrap().read_secret().unwrap(), "hush");
        assert_eq!(access.user.as_deref(), Some("me"));
        std::fs::remove_file(password).unwrap();
        let error = format!("{:#}", relay_settings(&config).unwrap_err());
        assert!(error.contains("password file /"), "{error}");
    }

    #[test]
    fn the_password_of_the_url_beats_the_configured_ones() {
        let secret = |flags: &[(&str, &str)]| {
            broker_access(&config(flags)).unwrap().password.unwrap().read_secret().unwrap()
        };
        let configured = ("mqtt.password", "configured");
        assert_eq!(secret(&[configured, ("mqtt.url", "mqtt://me@broker")]), "configured");
        assert_eq!(secret(&[configured, ("mqtt.url", "mqtt://me:url@broker")]), "url");
    }

    #[test]
    fn no_log_shows_a_token_or_a_webhook() {
        let config = config(&[
            ("server.store", "influx2"),
            ("server.influx_url", "http://localhost:8086"),
            ("server.influx_token", "hush"),
            ("alerts.webhook", "http://me:hush@host"),
            ("export.remote_write", "http://me:hush@host"),
            ("export.pyroscope", "http://me:hush@host"),
            ("export.otlp_profiles", "http://me:hush@host"),
            ("export.loki", "http://me:hush@host"),
            ("export.otlp_logs", "http://me:hush@host"),
            ("server.influx_ca_file", "/etc/ca.pem"),
        ]);
        let settings = relay_settings(&config).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
        let Some(StoreConfig::Influx2(influx)) = settings.server.map(|server| server.store) else { panic!() };
        assert_eq!(influx.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(influx.token.unwrap().read_secret().unwrap(), "hush");
    }

    #[test]
    fn a_store_elsewhere_needs_its_url() {
        let error =
            server_config(&config(&[("server.store", "influx1")]), Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("server.influx_url"));
    }
}
