//! A command for each alert, run by the plugin process: the alert as JSON on its standard input, the main fields in its
//! environment.

use agent_common::wire::finding::Alert;
use notifier::{Deliver, NotifyError};
use plugin::Request;

use super::Line;

/// See the module.
#[derive(Debug)]
pub struct Exec(Line);

impl Exec {
    /// By way of this line to the plugin process, which knows the command.
    #[must_use]
    pub const fn new(line: Line) -> Self {
        Self(line)
    }
}

impl Deliver for Exec {
    fn name(&self) -> &'static str {
        "alerts.exec"
    }

    async fn deliver(&mut self, alerts: &[Alert]) -> Result<(), NotifyError> {
        for alert in alerts {
            // A task may name itself anything: commands print it.
            let request = Request::Alert(Box::new(alert.clone().cleaned()));
            let line = self.0.clone();
            tokio::task::spawn_blocking(move || line.ask(&request))
                .await
                .unwrap_or_else(|error| Err(error.to_string()))
                .map_err(NotifyError::Again)?;
        }
        Ok(())
    }

    fn repeats(&self) -> bool {
        false
    }
}
