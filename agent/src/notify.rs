//! Alerts for a program of the user's, which the plugin process runs. The webhook is the relay's.

mod exec;
mod line;

use agent_common::wire::silence::Silences;
pub use exec::Exec;
pub use line::Line;
use notifier::{FIRST_PAUSE, Notifiers, REPEAT_OPEN_EVERY};

/// The notifiers of this process. `plugin`: to the process that runs `alerts.exec`, if that is set.
#[must_use]
pub fn from_plugin(plugin: Option<Line>, silences: Silences) -> Notifiers {
    let mut notifiers = Notifiers::new(silences);
    if let Some(line) = plugin {
        notifiers.add(Exec::new(line), REPEAT_OPEN_EVERY, FIRST_PAUSE);
    }
    notifiers
}
