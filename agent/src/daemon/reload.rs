//! SIGHUP: reads the configuration anew and takes over what can change while everything runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use super::limits_of;
use super::recorder::{self, SharedLimits};
use super::relay::Relay;
use crate::config::{Config, Reload, Settings};
use crate::history::History;

/// Where the configuration comes from, and how it is read again.
pub struct Source {
    /// What is in force.
    pub settings: Settings,
    /// Reads all layers anew.
    pub read: Box<dyn Fn() -> Settings + Send>,
    /// Puts a log level in force.
    pub set_log_level: fn(&str),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What takes over values while it runs.
pub(super) struct Reloader {
    pub(super) source: Source,
    pub(super) history: Arc<History>,
    pub(super) processes: Arc<AtomicUsize>,
    pub(super) recordings: SharedLimits,
}

impl Reloader {
    /// Reads the configuration anew. With a mistake in it, everything stays as it is.
    pub(super) fn reload(&mut self, relay: &mut Relay) {
        let new = (self.source.read)();
        let config = match new.config() {
            Ok(config) => config,
            Err(errors) => {
                for error in errors {
                    tracing::error!("{error}");
                }
                tracing::error!("the configuration was read anew and is wrong: nothing was changed");
                return;
            }
        };
        let mut changes = 0;
        for key in self.source.settings.changed(&new) {
            changes += 1;
            let shown = |settings: &Settings| match settings.get(key.name) {
                Some(_) if key.secret => "(secret)".to_owned(),
                Some(setting) => setting.value.clone(),
                None => String::new(),
            };
            let (from, to) = (shown(&self.source.settings), shown(&new));
            match key.reload() {
                Reload::Now => tracing::info!(key = key.name, from, to, "configuration changed"),
                Reload::Server => {
                    tracing::info!(
                        key = key.name,
                        from,
                        to,
                        "configuration changed; the server part restarts"
                    );
                }
                Reload::Restart => {
                    tracing::warn!(
                        key = key.name,
                        from,
                        to,
                        "changes with the next start of the daemon only"
                    );
                }
            }
        }
        if changes == 0 {
            tracing::info!("the configuration was read anew: nothing has changed");
        }
        self.apply(&config);
        if let Err(error) = relay.change(&config) {
            tracing::error!(error = format!("{error:#}"), "the relay goes on with its old settings");
        }
        self.source.settings = new;
    }

    fn apply(&self, config: &Config) {
        (self.source.set_log_level)(&config.log.level);
        self.processes.store(config.collector.processes, Ordering::Relaxed);
        self.history.set_limits(limits_of(config));
        *self.recordings.lock().unwrap_or_else(PoisonError::into_inner) = recorder::limits_of(config);
    }
}
