//! `agent config check` and `agent config show`.

use std::process::ExitCode;

use clap::Subcommand;

use super::term::{Paint, Side, Table};
use super::{Failed, Global, Outcome, settings, term, usage};
use crate::config::{Config, DEFAULT_FILE, NEEDS_BOTH, NEEDS_URL, PLUGIN_USER, SERVER_USER, StoreKind};
use crate::daemon::NO_USER;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Name every mistake: file, line, value and cure
    #[command(after_help = "Exit code 0 when the configuration is right, 2 when it is not.\n
Example:\n  agent config check --config /etc/s7mpa/agent.toml")]
    Check,
    /// Print what is in force and where it comes from; secrets are hidden
    #[command(
        after_help = "Every key can be set in the file, in the environment (S7MPA_COLLECTOR_RATE_HZ=49)\n\
or by flag (--set collector.rate_hz=49); the later wins."
    )]
    Show {
        /// Explain each key as well
        #[arg(long)]
        explain: bool,
    },
}

/// Files and users that are named and not there, and what a setting needs beside it.
fn absent(config: &Config) -> Vec<String> {
    let (mqtt, server) = (&config.mqtt, &config.server);
    let files = [
        ("mqtt.password_file", &mqtt.password_file),
        ("mqtt.ca_file", &mqtt.ca_file),
        ("mqtt.cert_file", &mqtt.cert_file),
        ("mqtt.key_file", &mqtt.key_file),
        ("server.influx_token_file", &server.influx_token_file),
        ("server.influx_ca_file", &server.influx_ca_file),
        ("server.http.cert_file", &server.http.cert_file),
        ("server.http.key_file", &server.http.key_file),
        ("alerts.exec", &config.alerts.exec),
        ("export.token_file", &config.export.token_file),
        ("export.pyroscope_token_file", &config.export.pyroscope_token_file),
        ("export.otlp_token_file", &config.export.otlp_token_file),
        ("export.loki_token_file", &config.export.loki_token_file),
    ];
    let named = files.into_iter().filter_map(|(key, file)| Some((key, file.as_ref()?)));
    named
        .filter(|(_, file)| !file.is_file())
        .map(|(key, file)| format!("{key}: {} is not there, or no file", file.display()))
        .chain(
            (server.store != StoreKind::Embedded && server.influx_url.is_none())
                .then(|| NEEDS_URL.to_owned()),
        )
        .chain(
            (server.http.cert_file.is_some() != server.http.key_file.is_some())
                .then(|| NEEDS_BOTH.to_owned()),
        )
        .chain(no_user("server.user", &server.user, SERVER_USER))
        .chain(no_user("plugin.user", &config.plugin.user, PLUGIN_USER))
        .collect()
}

fn no_user(key: &str, name: &str, default: &str) -> Option<String> {
    let there = name == default || !matches!(nix::unistd::User::from_name(name), Ok(None));
    (!there).then(|| format!("{key}: {name} {NO_USER} {name}"))
}

pub(super) fn run(global: &Global, command: &ConfigCommand) -> Outcome {
    let settings = settings(global, &[]);
    match command {
        ConfigCommand::Check => {
            let missing = absent(&settings.config().map_err(usage)?);
            if !missing.is_empty() {
                return Err(Failed::Usage(missing));
            }
            let file = settings.file.map_or_else(
                || format!("no file ({DEFAULT_FILE} is not there): defaults and environment"),
                |file| file.display().to_string(),
            );
            term::print(&format!("{file}: right\n"))?;
        }
        ConfigCommand::Show { explain } => {
            let wrong = settings.config().err();
            let shown = |key: &crate::config::Key, value: &str| match value {
                "" => String::new(),
                _ if key.secret => "(hidden)".to_owned(),
                _ if key.name == "mqtt.url" => value
                    .parse::<crate::config::MqttUrl>()
                    .map_or_else(|_| "(hidden: not an MQTT URL)".to_owned(), |url| url.to_string()),
                _ => value.to_owned(),
            };
            if global.json {
                let all: serde_json::Map<String, serde_json::Value> = settings
                    .iter()
                    .map(|(key, setting)| {
                        let value = serde_json::json!({
                            "value": shown(key, &setting.value),
                            "origin": setting.origin.to_string(),
                            "env": key.env(),
                            "help": key.help,
                        });
                        (key.name.to_owned(), value)
                    })
                    .collect();
                term::print_json(&all)?;
            } else {
                let paint = Paint::stdout(global.color);
                let mut columns = vec![("KEY", Side::Left), ("VALUE", Side::Left), ("FROM", Side::Left)];
                if *explain {
                    columns.push(("MEANING", Side::Left));
                }
                let mut table = Table::new(&columns);
                for (key, setting) in settings.iter() {
                    let mut row =
                        vec![key.name.to_owned(), shown(key, &setting.value), setting.origin.to_string()];
                    if *explain {
                        row.push(key.help.to_owned());
                    }
                    table.row(&row);
                }
                term::print(&table.render(paint))?;
            }
            if let Some(errors) = wrong {
                return Err(usage(errors));
            }
        }
    }
    Ok::<_, Failed>(ExitCode::SUCCESS)
}
