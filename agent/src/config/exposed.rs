//! Secrets on the command line, which every local user can read in `/proc/PID/cmdline`.

use super::{Key, env_name};

/// Says that a flag carries a secret and where it belongs, if it does.
///
/// `flag` is what the user wrote (`--mqtt`, `--set`). The value itself is never part of the answer.
#[must_use]
pub(super) fn exposed(key: &Key, value: &str, flag: &str) -> Option<String> {
    let secret = if key.secret { !value.is_empty() } else { has_password(value) };
    secret.then(|| exposed_by(key.name, flag))
}

/// Says that a flag carries the secret of a key, and where it belongs.
#[must_use]
pub fn exposed_by(key: &str, flag: &str) -> String {
    let flag = if flag == "--set" { format!("--set {key}=…") } else { flag.to_owned() };
    let cure = match key {
        "mqtt.url" | "mqtt.password" => "mqtt.password_file or S7MPA_MQTT_PASSWORD".to_owned(),
        key => format!("the configuration file or {}", env_name(key)),
    };
    format!("{flag} carries a secret, which every local user can read in the list of processes; use {cure}")
}

/// `scheme://user:password@host…`
fn has_password(value: &str) -> bool {
    let authority =
        value.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    // A password may contain a slash that the user has not escaped: MQTT URLs are read up to the last `@`.
    let login = value
        .split_once("://")
        .and_then(|(_, rest)| rest.rsplit_once('@'))
        .filter(|_| value.starts_with("mqtt"))
        .map(|(login, _)| login)
        .or_else(|| authority?.rsplit_once('@').map(|(login, _)| login));
    login.and_then(|login| login.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(name: &str, value: &str, flag: &str) -> Option<String> {
        exposed(Key::find(name).unwrap(), value, flag)
    }

    #[test]
    fn a_password_on_the_command_line_is_named_with_its_cure_and_without_itself() {
        let text = warned("mqtt.url", "mqtts://me:hush@broker:8883", "--mqtt").unwrap();
        assert!(text.starts_with("--mqtt ") && text.contains("mqtt.password_file"), "{text}");
        let text = warned("server.influx_token", "hush", "--set").unwrap();
        assert!(text.contains("--set server.influx_token=…"), "{text}");
        assert!(text.contains("S7MPA_SERVER_INFLUX_TOKEN"), "{text}");
        for (name, value) in [
            ("mqtt.url", "mqtt://me:a/hush@broker"),
            ("mqtt.password", "hush"),
            ("server.influx_url", "http://me:hush@localhost:8086/x"),
            ("alerts.webhook", "http://localhost/hush"),
        ] {
            let text = warned(name, value, "--set").unwrap_or_else(|| panic!("{name} {value}"));
            assert!(!text.contains("hush"), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_is_not_warned_about() {
        for (name, value) in [
            ("mqtt.url", "mqtts://me@broker:8883"),
            ("mqtt.url", "mqtt://[::1]:1883"),
            ("mqtt.url", "mqtt://me:@broker"),
            ("mqtt.password", ""),
            ("mqtt.password_file", "/etc/s7mpa/password"),
            ("server.influx_url", "http://localhost:8086/a@b:c"),
            ("host", "a"),
        ] {
            assert_eq!(warned(name, value, "--set"), None, "{name}={value}");
        }
    }
}
