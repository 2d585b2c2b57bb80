//! Alerts for a program of the user's, which the plugin process runs. The webhook is the relay's.

mod exec;
mod line;

pub use exec::Exec;
pub use line::Line;
use notifier::{AGAIN, Notifiers, PAUSE};

/// The notifiers of this process. `plugin`: to the process that runs `alerts.exec`, if that is set.
#[must_use]
pub fn from_plugin(plugin: Option<Line>) -> Notifiers {
    let mut notifiers = Notifiers::default();
    if let Some(line) = plugin {
        notifiers.add(Exec::new(line), AGAIN, PAUSE);
    }
    notifiers
}
