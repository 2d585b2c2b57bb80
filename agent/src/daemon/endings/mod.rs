//! Post-mortems: from the end of a process, as the collector saw it, to its likely cause, an alert and a line on disk.
//!
//! ```text
//! collector ── Ended ──▶ this thread: names, host, earlier ends ── Facts ──▶ postmortem::examine ──▶ PostMortems, alerts
//! ```
//!
//! The thread may wait for the symbolizer and for file systems; the collector never waits for it.

mod alerts;
mod facts;
mod host;
mod limits;
mod peer;
mod said;
mod stack;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use agent_common::units::UnixNs;
use agent_common::wire::finding::Alert;
use agent_common::wire::postmortem::PostMortem;
use flamegraphs::Symbolizer;
use logs::{Record, Severity};
use postmortem::Facts;

use self::alerts::EndAlerts;
use self::facts::Clocks;
use self::host::Host;
use self::stack::Namer;
use crate::clock;
use crate::control::{Kept, PostMortems};
use crate::logs::{Logs, OwnLines, Recent};
use crate::observer::{OnProcess, Seen};
use crate::source::endings::{Ended, code_and_signal};

/// Ends that wait for the thread, up to 24 KiB each. One takes some milliseconds.
const MAX_WAITING: usize = 256;
/// How long the last log lines of a process take to us: they are written, read, and wait for what may belong to them.
const LINES_COME: Duration = Duration::from_millis(700);
/// How often it is looked whether alerts are over.
const BEAT: Duration = Duration::from_secs(5);
/// The first process of a host, or the service manager.
const INIT: u32 = 1;

/// Handle of the thread, which ends when the collector has.
#[derive(Debug)]
pub(super) struct Endings {
    ends: SyncSender<Box<Ended>>,
    lost: Arc<AtomicU64>,
}

impl Endings {
    /// Starts the thread.
    pub(super) fn start(
        host: &str,
        postmortems: Arc<PostMortems>,
        symbolizer: Symbolizer,
        alerts: tokio::sync::mpsc::Sender<Alert>,
        logs: &Logs,
    ) -> io::Result<Self> {
        let (ends, queue) = mpsc::sync_channel::<Box<Ended>>(MAX_WAITING);
        let lost = Arc::<AtomicU64>::default();
        let mut work = Work {
            postmortems,
            namer: Namer::start(symbolizer)?,
            host: Host::default(),
            own: std::env::current_exe().ok().and_then(|path| path.to_str().map(str::to_owned)),
            alerts: EndAlerts::new(host),
            to: alerts,
            waiting: VecDeque::new(),
            lines: logs.recent(),
            out: logs.own(),
        };
        std::thread::Builder::new().name("endings".to_owned()).spawn(move || {
            loop {
                match queue.recv_timeout(work.next_due().min(BEAT)) {
                    Ok(ended) => work.end(&ended),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        work.examine_until(None);
                        return;
                    }
                }
                work.examine_until(Some(Instant::now()));
                work.expire();
            }
        })?;
        Ok(Self { ends, lost })
    }

    /// Takes the ends out of what the collector sees; the rest goes on to `next`.
    pub(super) fn before(&self, mut next: OnProcess) -> OnProcess {
        let (ends, lost) = (self.ends.clone(), Arc::clone(&self.lost));
        Box::new(move |seen| match seen {
            Seen::Ended(ended) => {
                if ends.try_send(ended).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            seen => next(seen),
        })
    }

    /// How many ends found no room.
    pub(super) fn lost(self) -> Arc<AtomicU64> {
        self.lost
    }
}

struct Work {
    postmortems: Arc<PostMortems>,
    namer: Namer,
    host: Host,
    own: Option<String>,
    alerts: EndAlerts,
    to: tokio::sync::mpsc::Sender<Alert>,
    /// Ends whose last log lines may still come.
    waiting: VecDeque<Waiting>,
    lines: Arc<Recent>,
    out: OwnLines,
}

/// An end whose last log lines may still come.
struct Waiting {
    due: Instant,
    facts: Facts,
    is_main: bool,
}

impl Work {
    fn next_due(&self) -> Duration {
        self.waiting.front().map_or(BEAT, |end| end.due.saturating_duration_since(Instant::now()))
    }

    /// Examines the ends that have waited long enough; `None`: all.
    fn examine_until(&mut self, now: Option<Instant>) {
        while let Some(end) = self.waiting.pop_front_if(|end| now.is_none_or(|now| now >= end.due)) {
            self.examine(end);
        }
    }

    fn examine(&mut self, Waiting { mut facts, is_main, .. }: Waiting) {
        facts.lines = self.lines.of(facts.process.pid);
        // Those of a process that had this number before.
        facts.lines.retain(|line| line.at_ns >= facts.process.started_at_ns);
        let facts = Arc::new(facts);
        self.postmortems.saw(Arc::clone(&facts));
        let Some(postmortem) = postmortem::examine(&facts) else { return };
        let (id, alert) = self.alerts.take(&postmortem, is_main, clock::unix());
        if !self.out.put("postmortem", line(&id, &postmortem)) {
            tracing::warn!("a post-mortem does not go to the store: too many wait");
        }
        self.postmortems.add(Kept { id, postmortem, facts });
        self.tell(alert);
    }

    fn end(&mut self, ended: &Ended) {
        // A command of ours that had nothing to show is no end to explain, and would be the last one.
        if ended.program.is_some() && ended.program == self.own && code_and_signal(ended.status).1.is_none() {
            return;
        }
        let mut facts = facts::of(ended, &mut self.namer, Clocks::now());
        self.host.complete(&mut facts);
        facts.earlier = self.postmortems.note(&facts);
        tracing::debug!(
            pid = facts.process.pid,
            code = facts.ended.code,
            signal = facts.ended.signal,
            "an end"
        );
        self.waiting.push_back(Waiting { due: Instant::now() + LINES_COME, facts, is_main: is_main(ended) });
    }

    fn expire(&mut self) {
        for alert in self.alerts.expire(clock::unix()) {
            self.tell(Some(alert));
        }
    }

    fn tell(&self, alert: Option<Alert>) {
        if let Some(alert) = alert
            && self.to.try_send(alert).is_err()
        {
            tracing::warn!("an alert of a post-mortem is lost: too many wait");
        }
    }
}

/// A post-mortem as a log line: it is kept and searched like one.
fn line(id: &str, postmortem: &PostMortem) -> Record {
    let (process, cause) = (&postmortem.process, &postmortem.cause);
    let mut fields = vec![
        ("id".to_owned(), id.to_owned()),
        ("class".to_owned(), cause.class.name().to_owned()),
        ("comm".to_owned(), process.comm.clone()),
    ];
    for (name, value) in [("unit", &process.unit), ("container", &process.container)] {
        fields.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
    }
    // Strings, numbers and lists: that is always JSON.
    fields.push(("postmortem".to_owned(), serde_json::to_string(postmortem).unwrap_or_default()));
    Record {
        at: UnixNs(postmortem.ended.at_ns),
        severity: Severity::Error,
        pid: process.pid,
        start_ns: process.start_ns,
        position: 0,
        message: cause.text.clone(),
        fields,
    }
}

/// The main process of a unit, or the first of a container.
fn is_main(ended: &Ended) -> bool {
    let Some(known) = &ended.known else { return false };
    let in_container = |task: &diagnosis::window::TaskSample| task.container.is_some();
    if in_container(known) {
        return ended.known_parent.as_ref().is_none_or(|parent| !in_container(parent));
    }
    known.unit.is_some() && ended.parent.0 == INIT
}
