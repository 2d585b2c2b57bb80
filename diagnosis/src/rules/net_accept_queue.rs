//! # `net_accept_queue`: a listener does not accept fast enough
//!
//! **Class** `net-accept-queue`; subject and culprit are the process that listens.
//!
//! **What.** The kernel refuses connections because the accept queue of a listening socket is full. One of three is true:
//!
//! - At least [`RATE_ENTER`] refused a second (to stay: [`RATE_LEAVE`]), in at least [`MIN_WINDOWS_SHARE`] of the windows. (A
//!   refused client tries again after one second, then two: the series has gaps.)
//! - Processes of this host lose time to connecting to that port (`net-connect`). One second for each refused connection is at least
//!   [`MIN_EXPLAINED_RATIO`] of that, or the queue is full in four of five windows.
//! - The queue is full in four of five windows, and any connection is refused: a client that is refused again and again
//!   tries once in many seconds.
//!
//! **Why.** The clients wait a second and more for a connection; the server sees nothing of it.
//!
//! **Cure.** Accept in a thread of its own, more workers, a longer queue (`listen(…)` and `net.core.somaxconn`) for bursts.

use std::collections::HashMap;

use agent_common::abi::sched::State;
use agent_common::units::Tgid;
use agent_common::wire::finding::{Culprit, Subject};

use super::lost::{Loss, culprit, loss, suspect_other};
use super::{Class, Level, Need, Rule, Trend, Verdict, evidence, level, verdict};
use crate::facts::{Facts, lasts};
use crate::window::NetRow;

/// Refused connections a second, to enter.
const RATE_ENTER: f64 = 1.0;
/// The same, to stay.
const RATE_LEAVE: f64 = 0.3;
/// Least share of the windows with a refused connection.
const MIN_WINDOWS_SHARE: f64 = 0.4;

/// Least share of the clients' waiting that refused connections explain.
const MIN_EXPLAINED_RATIO: f64 = 0.3;
/// Time until a refused client sends its SYN again, ns.
const SYN_RETRY_NS: f64 = 1e9;

pub(super) const RULE: Rule =
    Rule { name: "net_accept_queue", classes: &[Class::NetAcceptQueue], needs: Need::Nothing, judge };

/// A listening socket over the span.
#[derive(Default)]
struct Listener {
    refused: u64,
    /// Windows in which it refused any.
    windows: Vec<bool>,
    /// By window: 1.0 if its queue was full at the end, else 0.0.
    full: Vec<f64>,
    queue: Option<(u32, u32)>,
    comm: String,
}

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut listeners: HashMap<(Tgid, u16), Listener> = HashMap::new();
    for (at, window) in facts.windows.iter().enumerate() {
        let is_full =
            |row: &NetRow| row.accept_queue.is_some_and(|(waiting, limit)| waiting >= limit && limit > 0);
        for row in window.net.iter().filter(|row| row.accept_overflows > 0 || is_full(row)) {
            let listener = listeners.entry((row.tgid, row.local_port)).or_default();
            listener.refused += row.accept_overflows;
            listener.windows.resize(facts.windows.len(), false);
            listener.windows[at] = row.accept_overflows > 0;
            listener.full.resize(facts.windows.len(), 0.0);
            listener.full[at] = if is_full(row) { 1.0 } else { 0.0 };
            listener.queue = row.accept_queue.or(listener.queue);
            row.comm.as_ref().clone_into(&mut listener.comm);
        }
    }
    let clients: Vec<(u16, Loss)> = if listeners.is_empty() { Vec::new() } else { clients(facts) };
    let mut suspicions = Vec::new();
    for ((tgid, port), Listener { refused, windows, full, queue, comm }) in listeners {
        let rate = facts.per_second(refused);
        let in_windows = windows.iter().filter(|there| **there).count() as f64 / windows.len().max(1) as f64;
        let by_rate = level(rate, RATE_ENTER, RATE_LEAVE).filter(|_| in_windows >= MIN_WINDOWS_SHARE);
        let stands_full = lasts(&full, 1.0);
        let waiting = clients.iter().filter(|(to, lost)| {
            *to == port
                && (stands_full || refused as f64 * SYN_RETRY_NS >= MIN_EXPLAINED_RATIO * lost.ns as f64)
        });
        let waiting: Vec<Loss> = waiting.map(|(_, lost)| *lost).collect();
        // A client that is refused again and again tries once in many seconds.
        let by_queue = (stands_full && refused > 0).then_some(Level::Enter);
        let by_clients = waiting.iter().map(|lost| lost.level).max();
        let Some(level) = by_rate.max(by_clients).max(by_queue) else { continue };
        let known = tgid != Tgid(0);
        let subject = if known {
            Subject { kind: "process".into(), pid: Some(tgid.0), comm: Some(comm.clone()) }
        } else {
            super::lost::host()
        };
        let by_itself = Some(RATE_ENTER).filter(|_| by_rate == Some(Level::Enter));
        let mut numbers =
            vec![evidence(format!("connections refused at port {port}"), rate, "1/s", by_itself)];
        if let Some((waiting, limit)) = queue {
            let full = Some(f64::from(limit)).filter(|_| waiting >= limit);
            numbers.push(evidence("connections in the accept queue", f64::from(waiting), "count", full));
            numbers.push(evidence("limit of the accept queue", f64::from(limit), "count", None));
        }
        let unit = facts.unit_of(tgid);
        if let Some(unit) = unit {
            let all = unit.times.all().max(1) as f64;
            for (what, states) in [
                ("share of its time on a CPU", &[State::Oncpu][..]),
                ("share of its time waiting for a CPU", &super::runq::STATES[..]),
                ("share of its time asleep on a timer", &[State::Sleep][..]),
            ] {
                numbers.push(evidence(what, unit.times.sum(states) as f64 / all * 100.0, "%", None));
            }
        }
        let mut suspicion = suspect_other(RULE.name, Class::NetAcceptQueue, subject, level, numbers);
        suspicion.key = format!("net-accept-queue/{tgid}:{port}");
        suspicion.unit = unit.map(|unit| unit.at);
        suspicion.culprit_unit = suspicion.unit;
        let finding = &mut suspicion.finding;
        let waited = waiting.iter().map(|lost| lost.rate).fold(0.0, f64::max);
        finding.lost_ns_per_s = (rate * SYN_RETRY_NS).max(waited * 1e9) as u64;
        finding.share_pct = 100.0;
        finding.confidence = if known { 0.9 } else { 0.7 };
        finding.culprit = Some(if known {
            Culprit { kind: "process".into(), pid: Some(tgid.0), comm: Some(comm.clone()) }
        } else {
            culprit("host", format!("listener at port {port}"))
        });
        finding.advice = format!(
            "{} accepts connections at port {port} more slowly than they arrive: add workers, accept in a thread of its \
             own, or lengthen the queue (listen backlog, net.core.somaxconn)",
            if known { comm.as_str() } else { "the listener" }
        );
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// Ports to which processes of this host lose time in connecting, and that loss.
fn clients(facts: &Facts) -> Vec<(u16, Loss)> {
    const STATES: &[State] = &[State::NetConnect];
    let losing = facts.units.iter().filter_map(|unit| Some((unit, loss(facts, unit, STATES)?)));
    losing
        .filter_map(|(unit, lost)| {
            let (_, port, _) = super::net_peer::peer(facts, unit, STATES)?;
            Some((port, lost))
        })
        .collect()
}
