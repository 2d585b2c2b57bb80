//! The daemon's handle of the process `s7mpa-plugin`: the launcher starts it, and restarts it when it dies.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use plugin::{Request, Settings};

use super::launcher::{Launched, Launcher, Part};
use super::restart::Restart;
use crate::notify::Line;

/// Name of the hidden subcommand.
pub const NAME: &str = "__plugin";

/// Most build IDs that wait for a download. Further ones are requested again when a sample meets them again.
const MAX_WAITING_BUILD_IDS: usize = 64;

/// The process.
#[derive(Debug)]
pub struct PluginChild {
    launcher: Launcher,
    settings: Settings,
    child: Option<Launched>,
    /// Its standard input.
    lives: Option<UnixStream>,
    restart: Restart,
    alerts: Line,
    debuginfod: Line,
}

impl PluginChild {
    /// Starts it.
    pub fn start(launcher: Launcher, settings: Settings) -> anyhow::Result<Self> {
        let mut plugin = Self {
            launcher,
            settings,
            child: None,
            lives: None,
            restart: Restart::new(Instant::now()),
            alerts: Line::default(),
            debuginfod: Line::default(),
        };
        plugin.launch()?;
        Ok(plugin)
    }

    /// For `alerts.exec`, if it is set.
    #[must_use]
    pub fn alerts(&self) -> Option<Line> {
        self.settings.exec.is_some().then(|| self.alerts.clone())
    }

    /// Makes this process download debug files for the symbolizer, if servers are configured.
    pub fn fetch_debug_files(&self) {
        let Some(cache) = self.settings.debuginfod_cache() else { return };
        let (ask, asked) = std::sync::mpsc::sync_channel::<String>(MAX_WAITING_BUILD_IDS);
        let line = self.debuginfod.clone();
        let fetch = move || {
            for build_id in asked {
                if let Err(why) = line.ask(&Request::Debuginfo { build_id }) {
                    tracing::debug!(why, "no debug file from the servers");
                }
            }
        };
        if std::thread::Builder::new().name("debuginfod".to_owned()).spawn(fetch).is_ok() {
            flamegraphs::set_debuginfod(cache, move |build_id| ask.try_send(build_id.to_owned()).is_ok());
        }
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let (alerts, their_alerts) = UnixStream::pair()?;
        let (debuginfod, their_debuginfod) = UnixStream::pair()?;
        // It ends when this one does.
        let (mut ours, theirs) = UnixStream::pair()?;
        let others = [their_alerts.as_fd(), their_debuginfod.as_fd()];
        let child = self.launcher.start(Part::Plugin, theirs.as_fd(), &others)?;
        ours.write_all(&plugin::line(&self.settings))?;
        self.lives = Some(ours);
        self.alerts.set(Some(alerts));
        self.debuginfod.set(Some(debuginfod));
        self.child = Some(child);
        self.restart.started(Instant::now());
        Ok(())
    }

    /// Starts it again when it has died, with back-off.
    pub fn tend(&mut self) {
        if let Some(child) = &mut self.child {
            let status = match child.try_wait() {
                Ok(None) => return,
                Ok(Some(status)) => status.to_string(),
                Err(error) => error.to_string(),
            };
            tracing::error!(status, "the plugin process died; it is started again");
            self.child = None;
            self.restart.failed(Instant::now());
        }
        if self.child.is_none()
            && self.restart.is_due(Instant::now())
            && let Err(error) = self.launch()
        {
            tracing::warn!(error = format!("{error:#}"), "cannot start the plugin process");
            self.restart.failed(Instant::now());
        }
    }
}
