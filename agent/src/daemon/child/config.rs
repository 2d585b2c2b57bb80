//! The server part's settings, made of the daemon's.

use std::path::Path;

use anyhow::Context as _;
use nix::unistd::{Gid, Uid};
use server::config::{BrokerConfig, ExternalBroker, Influx1, Influx2, Retention, StoreConfig};

use crate::config::{Config, StoreKind};
use crate::daemon::{mqtt_password_file, write_secret};

/// The token or password of the database, in the server's directory of secrets.
pub(super) const TOKEN_FILE: &str = "influx.token";

/// The settings of the server part, secrets written to files in its directories.
pub fn server_config(
    config: &Config,
    run_dir: &Path,
    owner: Option<(Uid, Gid)>,
) -> anyhow::Result<server::Config> {
    let settings = &config.server;
    let token_file = match (&settings.influx_token_file, &settings.influx_token) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(token)) => {
            let path = run_dir.join(TOKEN_FILE);
            write_secret(&path, token, owner).with_context(|| format!("cannot write {}", path.display()))?;
            Some(path)
        }
        (None, None) => None,
    };
    let url = || settings.influx_url.clone().context(crate::config::NEEDS_URL);
    let store = match settings.store {
        StoreKind::Embedded => StoreConfig::Embedded,
        StoreKind::Influx2 => StoreConfig::Influx2(Influx2 {
            url: url()?,
            org: settings.influx_org.clone(),
            bucket: settings.influx_bucket.clone(),
            token_file,
            ca_file: settings.influx_ca_file.clone(),
        }),
        StoreKind::Influx1 => StoreConfig::Influx1(Influx1 {
            url: url()?,
            db: settings.influx_bucket.clone(),
            user: settings.influx_user.clone(),
            password_file: token_file,
            ca_file: settings.influx_ca_file.clone(),
        }),
    };
    let broker = match &config.mqtt.url {
        None => BrokerConfig::Embedded,
        Some(url) => BrokerConfig::External(ExternalBroker {
            url: url.without_login(),
            user: url.user.clone().or_else(|| config.mqtt.user.clone()),
            password_file: mqtt_password_file(config, run_dir)?,
            ca_file: config.mqtt.ca_file.clone(),
            cert_file: config.mqtt.cert_file.clone(),
            key_file: config.mqtt.key_file.clone(),
        }),
    };
    Ok(server::Config {
        listen: settings.mqtt_listen,
        state_dir: config.server_dir(),
        runtime_dir: run_dir.to_owned(),
        broker,
        store,
        retention: Retention {
            days: u32::try_from(settings.retention.as_secs().div_ceil(24 * 3600)).unwrap_or(u32::MAX),
            max_bytes: settings.max_bytes,
        },
        ..server::Config::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_reach_the_server_as_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = crate::config::Settings::defaults();
        settings.add_flag("server.store", "influx2", "--set");
        settings.add_flag("server.influx_url", "http://localhost:8086", "--set");
        settings.add_flag("server.influx_token", "hush", "--set");
        settings.add_flag("server.influx_ca_file", "/etc/ca.pem", "--set");
        let config = server_config(&settings.config().unwrap(), dir.path(), None).unwrap();
        assert!(!serde_json::to_string(&config).unwrap().contains("hush"));
        let StoreConfig::Influx2(influx) = config.store else { panic!("{:?}", config.store) };
        assert_eq!(influx.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(std::fs::read_to_string(influx.token_file.unwrap()).unwrap(), "hush");
    }

    #[test]
    fn a_store_elsewhere_needs_its_url() {
        let mut settings = crate::config::Settings::defaults();
        settings.add_flag("server.store", "influx1", "--set");
        let error = server_config(&settings.config().unwrap(), Path::new("/nowhere"), None).unwrap_err();
        assert!(error.to_string().contains("server.influx_url"));
    }
}
