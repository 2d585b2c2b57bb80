//! Every setting once: key, kind, default, meaning. The file, the environment, `--set` and `config show` read it.

use super::Config;

/// Default of `server.user`: it may be missing, another one may not.
pub const SERVER_USER: &str = "s7mpa";
/// Likewise of `plugin.user`.
pub const PLUGIN_USER: &str = "s7mpa-plugin";

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Bool,
    /// Free text.
    Text,
    /// A duration (`10s`).
    Duration,
    /// A size (`64MiB`).
    Bytes,
    /// A list of paths; in a text they are separated by `:`.
    Paths,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// `section.name` as in the file; the environment variable follows from it ([`Key::env`]).
    pub name: &'static str,
    /// What the value looks like.
    pub kind: Kind,
    /// Value if the configuration sets none; empty: no default.
    pub default: &'static str,
    /// Never shown.
    pub secret: bool,
    /// What it does, for people.
    pub help: &'static str,
    /// Reads the text into the running configuration; an error says what would be right.
    pub(super) apply: fn(&mut Config, &str) -> Result<(), String>,
}

impl Key {
    /// The key of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// `collector.rate_hz` → `S7MPA_COLLECTOR_RATE_HZ`.
    #[must_use]
    pub fn env(&self) -> String {
        env_name(self.name)
    }

    /// The table whose name is nearest to a mistyped one.
    #[must_use]
    pub fn nearest_table(name: &str) -> Option<&'static str> {
        let tables = KEYS.iter().filter_map(|key| key.name.split_once('.')).map(|(table, _)| table);
        most_like(tables.map(|table| (strsim::jaro_winkler(name, table), table)))
    }

    /// The key whose name is nearest to a mistyped one.
    #[must_use]
    pub fn nearest(name: &str) -> Option<&'static str> {
        most_like(
            KEYS.iter().map(|key| {
                (strsim::jaro_winkler(name, key.name).max(same_last_part(name, key.name)), key.name)
            }),
        )
    }
}

/// `collector.rate_hz` → `S7MPA_COLLECTOR_RATE_HZ`.
pub(super) fn env_name(key: &str) -> String {
    format!("S7MPA_{}", key.replace('.', "_").to_uppercase())
}

/// The most like of names with their likeness, if it is like enough to be meant.
fn most_like(names: impl Iterator<Item = (f64, &'static str)>) -> Option<&'static str> {
    names.filter(|(likeness, _)| *likeness > 0.7).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// Likeness of the part behind the last dot: finds a right name in the wrong section.
fn same_last_part(a: &str, b: &str) -> f64 {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    strsim::jaro_winkler(&last(a), &last(b)) * 0.97
}

/// Makes a `Key` and keeps the table below readable.
macro_rules! key {
    ($name:literal, $kind:expr, $default:literal, $help:literal, $apply:expr) => {
        Key { name: $name, kind: $kind, default: $default, secret: false, help: $help, apply: $apply }
    };
    (secret $name:literal, $help:literal, $apply:expr) => {
        Key { name: $name, kind: Kind::Text, default: "", secret: true, help: $help, apply: $apply }
    };
}

mod table;
mod text;

pub use table::KEYS;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The reference page, `agent/CONFIG.md`.
    fn markdown() -> String {
        let mut page = String::from(
            "# Configuration\n\n\
             Defaults, then `/etc/s7mpa/agent.toml` (or `--config FILE`), then the environment, then flags: the later wins.\n\
             `agent config check` names every mistake with file, line and cure, `agent config show` what is in force and\n\
             where it is from. A key `a.b` stands as `b` in the table `[a]` of the file, as `S7MPA_A_B` in the environment, as\n\
             `--set a.b=…` on the command line. Durations are written `500ms`, `10s`, `5m`, `2h`, `7d`; sizes `64MiB`.\n\n\
             A daemon that gets SIGHUP reads all of it anew; the last column says what it takes for a change to be in force.\n\n\
             | key | default | meaning | after SIGHUP |\n|---|---|---|---|\n",
        );
        for key in KEYS {
            let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
            let words = match key.kind {
                Kind::Choice(words) => format!(" (`{}`)", words.join("`, `")),
                Kind::Bool => " (`true`, `false`)".to_owned(),
                Kind::Paths => " (a list; in the environment separated by `:`)".to_owned(),
                _ if key.secret => " (secret)".to_owned(),
                _ => String::new(),
            };
            let _ = writeln!(
                page,
                "| `{}` | {default} | {}{words} | {} |",
                key.name,
                key.help,
                key.reload().text()
            );
        }
        page
    }

    #[test]
    fn the_nearest_key_is_found_by_spelling_and_in_the_wrong_section() {
        assert_eq!(Key::nearest("collector.rate_hs"), Some("collector.rate_hz"));
        assert_eq!(Key::nearest("rate_hz"), Some("collector.rate_hz"));
        assert_eq!(Key::nearest("mqtt.retention"), Some("server.retention"));
        assert_eq!(Key::nearest("zzz"), None);
        assert_eq!((Key::nearest_table("colector"), Key::nearest_table("zzz")), (Some("collector"), None));
    }

    #[test]
    fn environment_names_follow_from_the_key() {
        assert_eq!(Key::find("mqtt.ca_file").unwrap().env(), "S7MPA_MQTT_CA_FILE");
    }

    #[test]
    fn the_reference_page_is_not_stale() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CONFIG.md");
        if std::env::var_os("S7MPA_UPDATE").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == markdown(), "stale: run S7MPA_UPDATE=1 cargo test -p agent config");
    }

    #[test]
    fn keys_are_unique() {
        assert_eq!(Key::find("server.user").unwrap().default, SERVER_USER);
        for (at, key) in KEYS.iter().enumerate() {
            assert!(KEYS[at + 1..].iter().all(|other| other.name != key.name), "{}", key.name);
        }
    }
}
