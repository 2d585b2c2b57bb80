//! The collector and the rules in this process, as the daemon runs them: a window a second, alerts as they open.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use agent::collector::{Collector, Options};
use agent_common::wire::finding::{AlertState, Finding};
use anyhow::{Context as _, Result};
use diagnosis::alert::{AlertOptions, Alerts};
use diagnosis::window::Window;
use diagnosis::{Level, Suspicion, Trend};

/// Windows that are kept: more than the rules' span.
const KEPT: usize = 10;

/// See the module.
#[derive(Debug)]
pub struct Watch {
    collector: Collector,
    windows: VecDeque<Arc<Window>>,
    trend: Trend,
    alerts: Alerts,
    /// Names of other processes on this host: findings about them are left out.
    ignored: Vec<String>,
}

/// What one second brought.
#[derive(Debug)]
pub struct Second {
    /// What was seen.
    pub window: Arc<Window>,
    /// Alerts that opened with it.
    pub opened: Vec<Finding>,
    /// What a report of the newest windows says.
    pub findings: Vec<Finding>,
}

impl Watch {
    /// Attaches the probes.
    pub fn start(ignored: Vec<String>) -> Result<Self> {
        let collector = Collector::start(Options::default()).context("the probes do not load")?;
        Ok(Self {
            collector,
            windows: VecDeque::new(),
            trend: Trend::default(),
            alerts: Alerts::new("here", AlertOptions::default()),
            ignored,
        })
    }

    /// Forgets what was, as if it had just been started.
    pub fn forget(&mut self) {
        self.windows.clear();
        self.trend = Trend::default();
        self.alerts = Alerts::new("here", AlertOptions::default());
        // What happened since is in no case's window.
        let _ = self.collector.close_window();
    }

    /// Lets a second pass.
    ///
    /// # Panics
    /// When the clock stands still.
    pub fn second(&mut self) -> Second {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(1) {
            thread::sleep(Collector::POLL);
            self.collector.poll();
        }
        let _ = (self.collector.take_fresh(), self.collector.take_mapped());
        let window = Arc::new(self.collector.close_window().expect("a second has passed"));
        self.judge(window)
    }

    /// The rules' part of it.
    fn judge(&mut self, window: Arc<Window>) -> Second {
        self.trend.push(&window);
        self.windows.push_back(Arc::clone(&window));
        if self.windows.len() > KEPT {
            self.windows.pop_front();
        }
        let recent = diagnosis::recent(self.windows.make_contiguous()).to_vec();
        let mut suspicions = diagnosis::suspicions(&recent, &self.trend);
        let comm = |suspicion: &Suspicion| suspicion.finding.subject.comm.clone();
        suspicions.retain(|suspicion| comm(suspicion).is_none_or(|comm| !self.ignored.contains(&comm)));
        let alerts = self.alerts.update(window.end_unix, &suspicions);
        let opened = alerts.into_iter().filter(|alert| alert.state == AlertState::Open);
        let firm = suspicions.into_iter().filter(|suspicion| suspicion.level == Level::Enter);
        Second {
            window,
            opened: opened.map(|alert| alert.finding).collect(),
            findings: firm.map(|suspicion| suspicion.finding).collect(),
        }
    }
}
