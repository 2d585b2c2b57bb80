//! Questions of the relay about this moment: what a process does, from the windows in memory.
//!
//! The relay is not to be trusted: it asks with numbers alone, each of which is checked, for what a user who can reach the API as
//! an operator may see. Nothing here opens a file that it names or changes how the collector works.

use std::sync::Arc;
use std::time::Duration;

use agent_common::pair::{Live, LiveFailure, LiveFailureKind, LiveResult, LiveSpan, MAX_LIVE_ANSWER};
use agent_common::units::{DurNs, Tgid, UnixNs};
use diagnosis::window::Window;
use profile::block::{Block, Builder, pack_whole};

use crate::aggregate::{self, MAX_BLOCK_NODES, ReportOptions};
use crate::control::pid;
use crate::control::protocol::{Failure, FailureKind};
use crate::control::server::Daemon;

/// Longest wait for a window beyond those that were asked for.
const LATE: Duration = Duration::from_secs(3);
/// Processes beside the one that a report is about.
const OTHERS: usize = 0;

/// Answers a question.
pub(super) async fn answer(daemon: Arc<Daemon>, live: Live) -> LiveResult {
    if !live.is_bounded() {
        return Err(LiveFailure::new(LiveFailureKind::Refused, "it asks for more than may be asked for"));
    }
    let tgid = Tgid(live.pid());
    let windows = match live.span() {
        LiveSpan::Past(seconds) => daemon.history.last(Duration::from_secs(seconds.into())),
        LiveSpan::Ahead(seconds) => {
            exists(tgid)?;
            ahead(&daemon, seconds).await
        }
    };
    if windows.is_empty() {
        let why = "the daemon has no window of that time yet: it has only just started, or is ending";
        return Err(LiveFailure::new(LiveFailureKind::NoData, why));
    }
    // Names and sums take CPU time that others should not wait for.
    let work = move || {
        let is_there = windows.iter().any(|window| was_seen(window, tgid));
        if !is_there {
            exists(tgid)?;
        }
        let made = match live {
            Live::Stacks { .. } => stacks(&daemon, &windows, tgid),
            Live::Report { .. } => report(&daemon, &windows, tgid),
        };
        crate::heap::give_back();
        made
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(broken(error.to_string())))
}

/// The windows that end from now on.
async fn ahead(daemon: &Daemon, seconds: u32) -> Vec<Arc<Window>> {
    let mut subscription = daemon.history.subscribe();
    let mut windows = Vec::new();
    let whole = Duration::from_secs(seconds.into()) + LATE;
    let gather = async {
        while windows.len() < seconds as usize {
            match subscription.next().await {
                Some(window) => windows.push(window),
                None => break,
            }
        }
    };
    // What there is by then is answered.
    let _ = tokio::time::timeout(whole, gather).await;
    windows
}

fn was_seen(window: &Window, tgid: Tgid) -> bool {
    window.samples.iter().any(|sample| sample.tgid == tgid.0)
        || window.times.iter().any(|row| row.tgid == tgid)
        || window.tasks.iter().any(|task| task.tgid == tgid)
        || window.exits.iter().any(|exit| exit.tgid == tgid)
}

fn exists(tgid: Tgid) -> Result<(), LiveFailure> {
    let found = pid::find(tgid.0);
    found.map(|_| ()).map_err(|error| LiveFailure::new(LiveFailureKind::NoProcess, error.to_string()))
}

/// Its stacks as one block of one column.
fn stacks(daemon: &Daemon, windows: &[Arc<Window>], tgid: Tgid) -> LiveResult {
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
        return Err(broken("no windows"));
    };
    let from = UnixNs(first.end_unix.0.saturating_sub(first.span().0));
    let length = DurNs(last.end_unix.0.saturating_sub(from.0).max(1));
    let mut builder = Builder::new(from, length, 1, daemon.answers.rate_hz, MAX_BLOCK_NODES);
    let picked = [aggregate::pick_of(windows, tgid)];
    let names = daemon.answers.names.names(aggregate::samples_of(&picked)).map_err(shown)?;
    aggregate::add(&mut builder, &picked, &names, windows);
    let block = builder.finish();
    if let Some(bytes) = pack_whole(&block, MAX_LIVE_ANSWER) {
        return Ok(bytes);
    }
    let mut most = block.cpu.len().max(block.waits.len());
    while most > 1 {
        most /= 2;
        let part = Block { counters: block.counters.clone(), ..block.top(most) };
        if let Some(bytes) = pack_whole(&part, MAX_LIVE_ANSWER) {
            return Ok(bytes);
        }
    }
    Err(broken("its stacks are too large"))
}

fn report(daemon: &Daemon, windows: &[Arc<Window>], tgid: Tgid) -> LiveResult {
    let options = ReportOptions { top_n: OTHERS, pid: Some(tgid) };
    let report = daemon.answers.report(windows, &options);
    let bytes = serde_json::to_vec(&report).map_err(|error| broken(error.to_string()))?;
    if bytes.len() > MAX_LIVE_ANSWER { Err(broken("its report is too large")) } else { Ok(bytes) }
}

fn shown(failure: Failure) -> LiveFailure {
    let kind = match failure.kind {
        FailureKind::NoProcess => LiveFailureKind::NoProcess,
        FailureKind::NoData => LiveFailureKind::NoData,
        FailureKind::Busy => LiveFailureKind::Busy,
        FailureKind::BadRequest | FailureKind::Broken => LiveFailureKind::Broken,
    };
    LiveFailure::new(kind, failure.message)
}

fn broken(why: impl Into<String>) -> LiveFailure {
    LiveFailure::new(LiveFailureKind::Broken, why)
}
