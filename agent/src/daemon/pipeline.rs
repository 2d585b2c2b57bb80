//! The path of a window: points → sink, rules → alerts → board and sink, and a report every [`REPORT_WINDOWS`] windows and with
//! each alert that opens.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_common::pair::NewWindow;
use agent_common::units::UnixNs;
use agent_common::wire::finding::{Alert, AlertState, Finding};
use agent_common::wire::line::{self, Point};
use agent_common::wire::report::Report;
use diagnosis::Trend;
use diagnosis::alert::{AlertOptions, Alerts};
use diagnosis::window::Window;
use flamegraphs::Symbolizer;
use notifier::Notifiers;
use profile::FoldOptions;
use tokio::sync::mpsc;

use super::naming::Naming;
use super::profiles::Profiles;
use super::relay::RelayHandle;
use crate::aggregate::{self, PointsOptions, ReportOptions};
use crate::config::Config;
use crate::control::AlertBoard;
use crate::control::protocol::RecordingsStatus;
use crate::history::Subscription;

/// Windows of a published report, and how many windows apart reports are.
const REPORT_WINDOWS: usize = 10;

/// Longest time for the notifiers to deliver the last alerts when the daemon ends.
const NOTIFIERS_DRAIN: Duration = Duration::from_secs(3);

/// Longest time to name the stacks of the last minute when the daemon ends.
const PROFILES_DRAIN: Duration = Duration::from_secs(3);

/// Longest wait of a window's alerts for the stacks before them, which are to be on their way first.
const EVIDENCE_TIMEOUT: Duration = Duration::from_millis(500);

/// Names the stacks of newly open alerts. Blocks while the symbolizer works.
fn with_stacks(symbolizer: &Symbolizer, mut alerts: Vec<Alert>, windows: &[Arc<Window>]) -> Vec<Alert> {
    let open = alerts.iter_mut().filter(|alert| alert.state == AlertState::Open);
    let failed = |error: &_| tracing::warn!(%error, "cannot name the stacks of a finding");
    let fold = |samples| symbolizer.fold(samples, FoldOptions::default()).inspect_err(failed).ok();
    diagnosis::stacks::name(open.map(|alert| &mut alert.finding), windows, fold);
    alerts
}

/// The stacks of newly open alerts are those of the report's findings, too.
fn take_stacks(report: &mut Report, alerts: &[Alert]) {
    for finding in &mut report.findings {
        let same = |other: &Finding| other.class == finding.class && other.subject == finding.subject;
        if let Some(alert) = alerts.iter().find(|alert| same(&alert.finding)) {
            finding.stacks.clone_from(&alert.finding.stacks);
        }
    }
}

/// Who gets windows and alerts.
#[derive(Debug)]
pub(super) struct Receivers {
    pub(super) relay: RelayHandle,
    pub(super) board: Arc<AlertBoard>,
    pub(super) notifiers: Notifiers,
    pub(super) profiles: Profiles,
}

/// Alerts of others.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Of rules, which the relay has evaluated.
    pub(super) of_rules: mpsc::Receiver<Alert>,
    /// Of post-mortems.
    pub(super) of_ends: mpsc::Receiver<Alert>,
    /// Ends that no post-mortem was made of.
    pub(super) ends_lost: Arc<AtomicU64>,
}

/// The daemon's pipeline: it judges and publishes each window.
#[derive(Debug)]
pub(super) struct Pipeline {
    points: PointsOptions,
    processes: Arc<AtomicUsize>,
    recent: VecDeque<Arc<Window>>,
    since_report: usize,
    alerts: Alerts,
    trend: Trend,
    naming: Naming,
    relay: RelayHandle,
    /// Windows that were lost until now on the way to the server and on our own disk, and blocks of profiles.
    lost: [u64; 4],
    board: Arc<AlertBoard>,
    notifiers: Notifiers,
    /// Alerts of rules, which the relay has evaluated.
    of_rules: mpsc::Receiver<Alert>,
    /// Alerts of post-mortems.
    of_ends: mpsc::Receiver<Alert>,
    /// Ends that no post-mortem was made of.
    ends_lost: Arc<AtomicU64>,
    recordings: Arc<Mutex<RecordingsStatus>>,
    profiles: Profiles,
}

impl Pipeline {
    /// `processes`: how many are published one by one, which may change.
    pub(super) fn new(
        config: &Config,
        processes: Arc<AtomicUsize>,
        symbolizer: Symbolizer,
        Incoming { of_rules, of_ends, ends_lost }: Incoming,
        recordings: Arc<Mutex<RecordingsStatus>>,
        receivers: Receivers,
    ) -> Self {
        let Receivers { relay, board, notifiers, profiles } = receivers;
        let points = PointsOptions::new(&config.host);
        Self {
            points,
            processes,
            recent: VecDeque::with_capacity(REPORT_WINDOWS + 1),
            since_report: 0,
            alerts: Alerts::new(&config.host, AlertOptions::default()),
            trend: Trend::default(),
            naming: Naming::new(Arc::new(move |alerts, windows| with_stacks(&symbolizer, alerts, windows))),
            relay,
            lost: [0; 4],
            board,
            notifiers,
            of_rules,
            of_ends,
            ends_lost,
            recordings,
            profiles,
        }
    }

    /// Until no more windows come.
    pub(super) async fn run(mut self, mut windows: Subscription) {
        loop {
            tokio::select! {
                window = windows.next() => match window {
                    Some(window) => self.window(window).await,
                    None => break,
                },
                Some(alert) = self.of_rules.recv() => self.of_rule(&alert),
                Some(alert) = self.of_ends.recv() => {
                    Self::log(&alert);
                    self.post(&alert);
                }
            }
        }
        // The broker must not keep open alerts of a host that is no longer observed. Those of rules are the server part's, which
        // goes on with them when it starts again.
        for alert in self.board.open().into_iter().filter(|alert| alert.of_rule.is_none()) {
            self.post(&Alert { state: AlertState::Resolved, ..alert });
        }
        let Self { notifiers, profiles, .. } = self;
        let closing = tokio::task::spawn_blocking(move || profiles.close(PROFILES_DRAIN));
        let (closed, ()) = tokio::join!(closing, notifiers.close(NOTIFIERS_DRAIN));
        if !closed.unwrap_or_default() {
            tracing::warn!("the stacks of the last minute were not named in time");
        }
    }

    async fn window(&mut self, window: Arc<Window>) {
        self.points.top_n = self.processes.load(Ordering::Relaxed);
        let mut points = aggregate::points(&window, &self.points);
        points.extend(self.lost_windows(window.end_unix));
        self.profiles.window(&window);
        self.relay.window(NewWindow {
            end: window.end_unix,
            span: window.span(),
            points: points.len() as u64,
            body: line::encode(&points).into_bytes(),
        });

        let now = window.end_unix;
        self.trend.push(&window);
        self.recent.push_back(window);
        if self.recent.len() > REPORT_WINDOWS {
            self.recent.pop_front();
        }
        let windows = self.recent.make_contiguous();
        let recent = diagnosis::recent(windows).to_vec();
        let suspicions = diagnosis::suspicions(&recent, &self.trend);
        let alerts = self.alerts.update(now, &suspicions);
        self.since_report += 1;
        let of_alert = alerts.iter().any(|alert| alert.state == AlertState::Open);
        let mut report = None;
        if self.since_report >= REPORT_WINDOWS || of_alert {
            self.since_report = 0;
            let made = aggregate::report(&self.points.host, windows, &ReportOptions::default());
            report = Some(Report { of_alert, ..made });
        }
        let opening =
            alerts.iter().filter(|alert| alert.state == AlertState::Open).map(|alert| alert.id.clone());
        let opening: Vec<String> = opening.collect();
        let mut changed = self.naming.name(alerts, recent).await;
        // After it: both ask the same symbolizer, and the alert waits for its names less long.
        let evidence = (!opening.is_empty()).then(|| self.profiles.evidence(opening, now));
        if let Some(mut report) = report {
            take_stacks(&mut report, &changed);
            self.relay.report(&report);
        }
        let late = self.naming.take_late().await.into_iter();
        changed.extend(late.filter(|late| self.board.is_open(&late.id)));
        if let Some(evidence) = evidence
            && tokio::time::timeout(EVIDENCE_TIMEOUT, evidence).await.is_err()
        {
            tracing::debug!("the stacks before an alert follow it");
        }
        for alert in changed {
            Self::log(&alert);
            self.post(&alert);
        }
    }

    /// An alert of a rule: the relay has it already, and its webhook.
    fn of_rule(&self, alert: &Alert) {
        tracing::info!(state = ?alert.state, id = agent_common::text::clean(&alert.id), "alert of a rule");
        if self.board.post(alert) {
            self.notifiers.send(alert);
        }
    }

    fn log(alert: &Alert) {
        tracing::info!(
            state = ?alert.state,
            class = %alert.finding.class,
            pid = alert.finding.subject.pid,
            comm = alert.finding.subject.comm.as_deref().map(agent_common::text::clean),
            lost_ms_per_s = alert.finding.lost_ns_per_s / 1_000_000,
            "alert"
        );
    }

    fn post(&self, alert: &Alert) {
        self.board.post(alert);
        self.notifiers.send(alert);
        self.relay.alert(alert);
    }

    /// Points with the numbers of windows and blocks of profiles that were lost since the last such points.
    fn lost_windows(&mut self, time: UnixNs) -> Vec<Point> {
        let recordings = self.recordings.lock().unwrap_or_else(PoisonError::into_inner).lost;
        let figures = self.relay.figures();
        let lost = [
            ("window_not_kept", figures.lost()),
            ("window_not_recorded", recordings),
            // Also windows whose stacks were left out of their block.
            ("profile_not_kept", figures.profiles_lost().saturating_add(self.profiles.left_out())),
            ("postmortem_not_made", self.ends_lost.load(Ordering::Relaxed)),
        ];
        let mut points = Vec::new();
        for ((reason, lost), before) in lost.into_iter().zip(&mut self.lost) {
            let more = lost.saturating_sub(*before);
            *before = lost.max(*before);
            if more > 0 {
                let point = Point::new("s7mpa_lost", time).tag("host", self.points.host.clone());
                points.push(point.tag("reason", reason).field("lost", more));
            }
        }
        points
    }
}
