//! What a running daemon takes over when it reads its configuration anew (SIGHUP).

use super::{Key, Settings};

/// What it takes for a changed key to be in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Nothing: the new value is in force at once.
    Now,
    /// A restart of the server part. Until it runs again, windows wait in the spool.
    Server,
    /// A restart of the daemon.
    Restart,
}

impl Reload {
    /// For tables and log lines.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Now => "at once",
            Self::Server => "server part restarts",
            Self::Restart => "restart",
        }
    }
}

impl Key {
    /// What it takes for a changed value to be in force.
    #[must_use]
    pub fn reload(&self) -> Reload {
        match self.name {
            "collector.processes" | "log.level" => Reload::Now,
            // Its user and its address stay the same while it is restarted.
            "server.user" | "server.mqtt_listen" | "server.http.listen" => Reload::Restart,
            name if ["history.", "spool.", "recordings."].iter().any(|table| name.starts_with(table)) => {
                Reload::Now
            }
            name if name.starts_with("server.") || name.starts_with("rules.") => Reload::Server,
            _ => Reload::Restart,
        }
    }
}

impl Settings {
    /// Keys that have another value in `new`.
    pub fn changed<'a>(&'a self, new: &'a Self) -> impl Iterator<Item = &'static Key> + 'a {
        let value = |settings: &Self, key: &Key| settings.get(key.name).map(|s| s.value.clone());
        super::KEYS.iter().filter(move |key| value(self, key) != value(new, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_that_differ_are_changes() {
        let mut old = Settings::defaults();
        old.add_flag("collector.rate_hz", "97", "--rate");
        let mut new = Settings::defaults();
        new.add_flag("history.windows", "1h", "--set");
        let changed: Vec<_> = old.changed(&new).map(|key| (key.name, key.reload())).collect();
        assert_eq!(changed, [("history.windows", Reload::Now)]);
    }
}
