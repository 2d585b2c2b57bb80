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
mod peer;
mod redact;
mod stack;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::Duration;

use agent_common::wire::finding::Alert;
use flamegraphs::Symbolizer;

use self::alerts::EndAlerts;
use self::facts::Clocks;
use self::host::Host;
use self::stack::Namer;
use crate::clock;
use crate::control::{Kept, PostMortems};
use crate::observer::{OnProcess, Seen};
use crate::source::endings::{Ended, signal_of};

/// Ends that wait for the thread, up to 24 KiB each. One takes some milliseconds.
const MAX_WAITING: usize = 256;
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
        };
        std::thread::Builder::new().name("endings".to_owned()).spawn(move || {
            loop {
                match queue.recv_timeout(BEAT) {
                    Ok(ended) => work.end(&ended),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
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
}

impl Work {
    fn end(&mut self, ended: &Ended) {
        // A command of ours that had nothing to show is no end to explain, and would be the last one.
        if ended.program.is_some() && ended.program == self.own && signal_of(ended.status) == 0 {
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
        let Some(postmortem) = postmortem::examine(&facts) else { return };
        let (id, alert) = self.alerts.take(&postmortem, is_main(ended), clock::unix());
        self.postmortems.add(Kept { id, postmortem, facts });
        self.tell(alert);
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

/// The main process of a unit, or the first of a container.
fn is_main(ended: &Ended) -> bool {
    let Some(known) = &ended.known else { return false };
    let in_container = |task: &diagnosis::window::TaskSample| task.container.is_some();
    if in_container(known) {
        return ended.known_parent.as_ref().is_none_or(|parent| !in_container(parent));
    }
    known.unit.is_some() && ended.parent.0 == INIT
}
