//! Alerts for a program of the user's. The webhook is the relay's.

mod exec;

pub use exec::Exec;
use notifier::{AGAIN, Notifiers, PAUSE};

/// The notifiers that the configuration names and that this process has.
#[must_use]
pub fn from_config(config: &crate::config::AlertsConfig) -> Notifiers {
    let mut notifiers = Notifiers::default();
    if let Some(command) = &config.exec {
        notifiers.add(Exec::new(command.clone(), config.timeout), AGAIN, PAUSE);
    }
    notifiers
}
