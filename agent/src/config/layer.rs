//! The layers: defaults < file < environment < flags.

mod blank;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::blank::blank;
use super::{Config, DEFAULT_FILE, KEYS, Key, Kind};

/// Variables of ours that set no key: the file's name, and what the development tools use among themselves.
const NOT_SETTINGS: [&str; 7] = [
    "S7MPA_CONFIG",
    "S7MPA_TOOLS",
    "S7MPA_PROMETHEUS",
    "S7MPA_PROMETHEUS_TESTS",
    "S7MPA_OTLP",
    "S7MPA_UPDATE",
    "S7MPA_OUTAGE_S",
];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of the file (1-based).
    File(PathBuf, usize),
    /// An environment variable.
    Env(String),
    /// A flag, as the user wrote it.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value, still text, with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The text.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Something wrong in a layer. One line, names the place and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's word.
        why: String,
    },
    /// The file is not TOML.
    #[error("{}:{line}: {why}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// The parser's word.
        why: String,
    },
    /// A key, or a table `[…]`, that does not exist.
    #[error("{origin}: unknown key `{key}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// What stands there.
        key: String,
        /// The valid key nearest to it.
        nearest: Option<String>,
    },
    /// A value that cannot be.
    #[error("{origin}: {key}: {why}")]
    WrongValue {
        /// Where.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The value and what would be right.
        why: String,
    },
}

/// All layers on top of each other.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    values: BTreeMap<&'static str, Setting>,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
    errors: Vec<ConfigError>,
    /// Flags that carry a secret, and what to use in their place.
    exposed: Vec<String>,
}

impl Settings {
    /// The built-in values.
    #[must_use]
    pub fn defaults() -> Self {
        let values = KEYS
            .iter()
            .map(|key| (key.name, Setting { value: key.default.to_owned(), origin: Origin::Default }))
            .collect();
        Self { values, ..Self::default() }
    }

    /// Defaults, the file (`DEFAULT_FILE` may be missing, a named one may not) and the environment. Mistakes are kept for
    /// [`Self::config`], so that all are reported at once.
    #[must_use]
    pub fn load(file: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Self {
        let mut settings = Self::defaults();
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(path) {
            Ok(text) => {
                settings.add_file(path, &text);
                settings.file = Some(path.to_owned());
            }
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                settings
                    .errors
                    .push(ConfigError::Unreadable { path: path.to_owned(), why: error.to_string() });
            }
        }
        settings.add_env(env);
        settings
    }

    /// Lays a file's text on top.
    pub fn add_file(&mut self, path: &Path, text: &str) {
        let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
        match DeTable::parse(text) {
            Err(error) => self.errors.push(ConfigError::Syntax {
                path: path.to_owned(),
                line: error.span().map_or(1, |span| line_of(span.start)),
                why: error.message().trim().replace('\n', ", "),
            }),
            Ok(table) => self.add_table(path, "", table.get_ref(), &line_of),
        }
    }

    fn add_table(
        &mut self,
        path: &Path,
        prefix: &str,
        table: &DeTable<'_>,
        line_of: &dyn Fn(usize) -> usize,
    ) {
        // The map is ordered by key: mistakes are to come in the order of the lines.
        let mut entries: Vec<(&Spanned<_>, &Spanned<DeValue<'_>>)> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            let origin = Origin::File(path.to_owned(), line_of(key.span().start));
            match (Key::find(&name), value.get_ref()) {
                (None, DeValue::Table(inner))
                    if KEYS.iter().any(|k| k.name.starts_with(&format!("{name}."))) =>
                {
                    self.add_table(path, &name, inner, line_of);
                }
                (Some(key), value) => match text_of(key, value) {
                    Ok(text) => self.set(key, text, origin),
                    Err(why) => self.errors.push(ConfigError::WrongValue { origin, key: key.name, why }),
                },
                (None, DeValue::Table(_)) => {
                    let nearest = Key::nearest_table(&name).map(|table| format!("[{table}]"));
                    self.errors.push(ConfigError::UnknownKey { origin, key: format!("[{name}]"), nearest });
                }
                (None, _) => self.unknown(name, origin),
            }
        }
    }

    /// Lays `S7MPA_…` variables on top. `S7MPA_CONFIG` is the file's name, not a setting.
    pub fn add_env(&mut self, env: impl Iterator<Item = (String, String)>) {
        for (name, value) in env {
            if !name.starts_with("S7MPA_") || NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            if let Some(key) = KEYS.iter().find(|key| key.env() == name) {
                self.set(key, value, Origin::Env(name));
                continue;
            }
            let nearest = KEYS
                .iter()
                .map(|key| (strsim::jaro_winkler(&key.env(), &name), key.env()))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, name)| name);
            self.errors.push(ConfigError::UnknownKey {
                origin: Origin::Env(name.clone()),
                key: name,
                nearest,
            });
        }
    }

    /// Lays one flag on top: `--rate 199` is `("collector.rate_hz", "199", "--rate")`.
    pub fn add_flag(&mut self, key: &str, value: &str, flag: &str) {
        let origin = Origin::Flag(flag.to_owned());
        match Key::find(key) {
            Some(key) => {
                self.exposed.extend(super::exposed::exposed(key, value, flag));
                self.set(key, value.to_owned(), origin);
            }
            None => self.unknown(key.to_owned(), origin),
        }
    }

    /// Flags that carry a secret, which every local user can read: one sentence each.
    #[must_use]
    pub fn exposed(&self) -> &[String] {
        &self.exposed
    }

    fn unknown(&mut self, key: String, origin: Origin) {
        let nearest = Key::nearest(&key).map(str::to_owned);
        self.errors.push(ConfigError::UnknownKey { origin, key, nearest });
    }

    fn set(&mut self, key: &'static Key, value: String, origin: Origin) {
        self.values.insert(key.name, Setting { value, origin });
    }

    /// The value in force of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.values.get(key)
    }

    /// Settings in the order of [`KEYS`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static Key, &Setting)> {
        KEYS.iter().filter_map(|key| Some((key, self.values.get(key.name)?)))
    }

    /// The running configuration, or everything that is wrong.
    pub fn config(&self) -> Result<Config, Vec<ConfigError>> {
        let mut errors = self.errors.clone();
        let mut config = blank();
        for (key, setting) in self.iter() {
            let wrong =
                check_kind(key, &setting.value).and_then(|()| (key.apply)(&mut config, &setting.value));
            if let Err(why) = wrong {
                // The default of a key that is set wrongly cannot be wrong itself: a test holds that.
                errors.push(ConfigError::WrongValue { origin: setting.origin.clone(), key: key.name, why });
            }
        }
        if errors.is_empty() { Ok(config) } else { Err(errors) }
    }
}

/// The text of a TOML value, if it is of the key's kind.
fn text_of(key: &Key, value: &DeValue<'_>) -> Result<String, String> {
    let shown = |value: &DeValue<'_>| match value {
        DeValue::String(text) => format!("the text \"{text}\""),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(flag) => format!("{flag}"),
        other => format!("a {}", other.type_str()),
    };
    match (key.kind, value) {
        (Kind::Integer | Kind::Bytes, DeValue::Integer(number)) => Ok(number.as_str().replace('_', "")),
        (Kind::Bool, DeValue::Boolean(flag)) => Ok(flag.to_string()),
        (Kind::Text | Kind::Duration | Kind::Bytes | Kind::Choice(_), DeValue::String(text)) => {
            Ok(text.to_string())
        }
        (Kind::Paths, DeValue::String(text)) => Ok(text.to_string()),
        (Kind::Paths, DeValue::Array(paths)) => {
            let text = |path: &Spanned<DeValue<'_>>| match path.get_ref() {
                DeValue::String(text) if !text.contains(':') => Ok(text.to_string()),
                other => Err(format!("{} is not a path without a colon", shown(other))),
            };
            paths.iter().map(text).collect::<Result<Vec<_>, _>>().map(|paths| paths.join(":"))
        }
        (Kind::Paths, value) => {
            Err(format!("{} is not a list of paths; write it as [\"/a\", \"/b\"]", shown(value)))
        }
        (Kind::Integer, value) => {
            Err(format!("{} is not a whole number; write it without quotes", shown(value)))
        }
        (Kind::Bool, value) => Err(format!("{} is not true or false", shown(value))),
        (Kind::Duration, value) => {
            Err(format!("{} is not a duration; write it as \"10s\", \"5m\", \"2h\"", shown(value)))
        }
        (Kind::Bytes, value) => Err(format!("{} is not a size; write it as \"64MiB\"", shown(value))),
        (Kind::Choice(words), value) => {
            Err(format!("{} is not one of \"{}\"", shown(value), words.join("\", \"")))
        }
        (Kind::Text, value) => Err(format!("{} is not a text; put it in quotes", shown(value))),
    }
}

fn check_kind(key: &Key, value: &str) -> Result<(), String> {
    match key.kind {
        Kind::Choice(words) if !words.contains(&value) => {
            Err(format!("`{value}` is not one of {}", words.join(", ")))
        }
        Kind::Bool if !["true", "false"].contains(&value) => Err(format!("`{value}` is not true or false")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
