//! A command for each alert: the alert as JSON on its standard input, the main fields in its environment.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use agent_common::wire::finding::Alert;
use tokio::io::AsyncWriteExt as _;

use notifier::{Deliver, NotifyError};

/// See the module.
#[derive(Debug)]
pub struct Exec {
    command: PathBuf,
    timeout: Duration,
}

impl Exec {
    /// A program, without arguments.
    #[must_use]
    pub const fn new(command: PathBuf, timeout: Duration) -> Self {
        Self { command, timeout }
    }

    async fn one(&self, alert: &Alert) -> Result<(), NotifyError> {
        let again = |why: String| NotifyError::Again(format!("{}: {why}", self.command.display()));
        // A task may name itself anything: commands print it, and NUL fits into no environment.
        let alert = &alert.clone().cleaned();
        let json = serde_json::to_vec(alert).map_err(|error| NotifyError::Never(error.to_string()))?;
        let subject = &alert.finding.subject;
        let mut child = tokio::process::Command::new(&self.command)
            .env("S7MPA_ALERT_ID", &alert.id)
            .env("S7MPA_ALERT_STATE", format!("{:?}", alert.state).to_lowercase())
            .env("S7MPA_ALERT_HOST", &alert.host)
            .env("S7MPA_ALERT_CLASS", alert.finding.class.name())
            .env("S7MPA_ALERT_PID", subject.pid.map(|pid| pid.to_string()).unwrap_or_default())
            .env("S7MPA_ALERT_COMM", subject.comm.as_deref().unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| again(error.to_string()))?;
        let finished = async {
            if let Some(mut stdin) = child.stdin.take() {
                // A command that does not read its input is not wrong.
                let _ = stdin.write_all(&json).await;
            }
            child.wait().await
        };
        match tokio::time::timeout(self.timeout, finished).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(again(status.to_string())),
            Ok(Err(error)) => Err(again(error.to_string())),
            Err(_) => Err(again(format!("not done within {:?}: killed", self.timeout))),
        }
    }
}

impl Deliver for Exec {
    fn name(&self) -> &'static str {
        "alerts.exec"
    }

    async fn deliver(&mut self, alerts: &[Alert]) -> Result<(), NotifyError> {
        for alert in alerts {
            self.one(alert).await?;
        }
        Ok(())
    }

    fn repeats(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use agent_common::wire::finding::AlertState;
    use agent_common::wire::finding::testing::alert;
    use notifier::Notifiers;

    use super::*;

    const SHORT: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_hours(1);
    const TIMEOUT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_command_gets_the_alert_and_is_killed_when_it_hangs() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let out = dir.path().join("out");
        let ok = script(
            "ok",
            &format!("echo \"$S7MPA_ALERT_STATE $S7MPA_ALERT_CLASS\" >> {0}; cat >> {0}", out.display()),
        );
        let mut notifiers = Notifiers::default();
        let stats = notifiers.add(Exec::new(ok, TIMEOUT), LONG, SHORT);
        notifiers.send(&alert("a", AlertState::Open));
        notifiers.close(TIMEOUT).await;
        assert_eq!(stats.sent.load(Ordering::Relaxed), 1);
        let text = std::fs::read_to_string(&out).unwrap();
        let (first, json) = text.split_once('\n').unwrap();
        assert_eq!(first, "open cpu-user");
        assert_eq!(serde_json::from_str::<Alert>(json).unwrap().id, "a");

        let mut hangs = Exec::new(script("hangs", "exec sleep 1000"), Duration::from_millis(100));
        let error = hangs.deliver(&[alert("b", AlertState::Open)]).await.unwrap_err();
        assert!(error.to_string().contains("killed"), "{error}");
    }
}
