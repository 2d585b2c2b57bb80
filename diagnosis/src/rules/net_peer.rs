//! # `net_peer`: waiting for the other end of a connection
//!
//! **Class** `net-peer`; the culprit is the process at the other end, if it is on this host, else the peer's address and port.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to receiving an answer as the client, or to sending into a full window. A server that
//! waits for the next request is idle, and so is a process that receives without sending requests.
//!
//! - If half of that time is in waits below 1 ms, the finding is in reports only: the peer is not slow, it gets many requests.
//! - An open wait counts when the last data sent is newer than the last data received, and older than the wait. If less than a
//!   fifth of the waiting has ended, and the other end is on another host or waits for events itself, the finding is in
//!   reports only: the other end may have nothing to send yet.
//! - A poll of one connection is a wait for it, with a time-out.
//! - Of waits for many connections at once (an event loop) those count that a process of this host ended, to which this one
//!   connected, and whose thread did not wait for work itself for half of that time. Waits for another host cannot be told
//!   from waits for work there.
//!
//! **Why.** The time is spent at the other end or on the way. Segments sent again on the same connection make it `net-retransmit`.
//!
//! **Cure.** Look at the peer; fewer round trips (pipelining, batches), connections that are kept, a cache.

use std::collections::HashMap;
use std::net::IpAddr;

use agent_common::abi::sched::State;
use agent_common::wire::finding::Finding;

use super::chain::Followed;
use super::lost::{culprit, doubt_if_awaited, doubt_if_prompt, loss, not, oldest, process_culprit, suspect};
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, chain, evidence, verdict};
use crate::facts::{AT_THE_OTHER_END, Blocker, Facts, Unit};
use crate::window::{NetRow, WaitTarget};

pub(super) const RULE: Rule =
    Rule { name: "net_peer", classes: &[Class::NetPeer], needs: Need::Waits, judge };

const STATES: &[State] = &[State::NetRecv, State::NetSend];

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let mut suspicion = suspect(RULE.name, Class::NetPeer, unit, lost);
        let finding = &mut suspicion.finding;
        let send = unit.times.of(State::NetSend) as f64 / lost.ns.max(1) as f64;
        finding.evidence.push(evidence(
            "share of its waiting in sending (the window is full)",
            send * 100.0,
            "%",
            None,
        ));
        let peer = peer(facts, unit, STATES);
        blame_peer(finding, peer);
        let followed = name_process(facts, unit, &Class::NetPeer, STATES, &mut suspicion);
        let finding = &mut suspicion.finding;
        if finding.culprit.is_none() {
            finding.confidence *= 0.6;
        }
        doubt_if_prompt(facts, unit, STATES, finding);
        let other = suspicion.culprit_unit.map(|at| &facts.units[at]);
        doubt_if_awaited(facts, unit, STATES, other, finding);
        let peer =
            finding.culprit.as_ref().and_then(|culprit| culprit.comm.clone()).unwrap_or("the peer".into());
        let at_rest = followed.advice(facts, unit).filter(|_| suspicion.culprit_unit.is_some());
        finding.advice = at_rest.unwrap_or_else(|| {
            format!("{} waits for {peer}: look there, or send fewer requests (batches, a cache)", unit.comm)
        });
        if let Some(open) = oldest(facts, unit, STATES) {
            finding.evidence.push(open);
        }
        if let Some(delay) = delayed_ack(facts, unit, suspicion.culprit_unit) {
            let finding = &mut suspicion.finding;
            finding.evidence.push(evidence("half of the waiting time is in waits up to", delay, "ms", None));
            finding.alternatives.push(not(
                "a slow peer",
                "both ends wait for each other, for the 40 ms of a delayed acknowledgement",
            ));
            finding.advice = format!(
                "{} writes a request in pieces and then reads: one write (writev), or TCP_NODELAY, avoids the delayed \
                 acknowledgement of the other end",
                unit.comm
            );
        }
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// Makes the process at the other end the culprit, in place of its address, where it is on this host, and follows its waits.
pub(super) fn name_process(
    facts: &Facts,
    unit: &Unit,
    class: &'static Class,
    states: &'static [State],
    suspicion: &mut Suspicion,
) -> Followed {
    let local = peer(facts, unit, states).is_none_or(|(address, ..)| address.is_loopback());
    let mut followed = chain::follow(facts, unit, class, states);
    let numbers = std::mem::take(&mut followed.evidence);
    // For a packet from another host the waker is arbitrary (an interrupt); the owner of the socket is not.
    let known = |blocker: &&Blocker| local || blocker.how == AT_THE_OTHER_END;
    let other = followed.blocker.as_ref().filter(known);
    let other = other.map(|blocker| &facts.units[facts.processes[blocker.process].unit]);
    if let Some(other) = other.filter(|other| other.at != unit.at && !other.kernel) {
        suspicion.finding.culprit = Some(process_culprit(other));
        suspicion.culprit_unit = Some(other.at);
        suspicion.finding.evidence.extend(numbers);
        suspicion.chain = std::mem::take(&mut followed.links);
    } else {
        followed.blocker = None;
    }
    followed
}

/// Median wait, ms, where client and server wait for each other at once; else `None`. The client sends the rest of its request
/// only after the server's acknowledgement of the beginning, which the server delays for 40 ms (Nagle's algorithm and delayed
/// acknowledgements).
fn delayed_ack(facts: &Facts, unit: &Unit, peer: Option<usize>) -> Option<f64> {
    /// `TCP_DELACK_MIN` (include/net/tcp.h, HZ/25): the kernel delays an acknowledgement for 40 to 200 ms; for 40 between two that
    /// wait for each other. One tick less, as the timer starts up to a tick before the wait. Two ticks more for the timer and the way
    /// back. A tick is 10 ms at most (HZ=100).
    const DELAYED_ACK_MS: std::ops::Range<f64> = 30.0..60.0;
    /// Least share of the span that both ends spend in receiving.
    const MIN_BOTH_RECEIVE_SHARE: f64 = 0.8;
    let peer = &facts.units[peer?];
    let receiving = |unit: &Unit| {
        let waiting = unit.members.iter().flat_map(|at| facts.processes[*at].threads.values());
        waiting.map(|(_, times)| times.of(State::NetRecv)).max().unwrap_or(0)
    };
    let at_once = receiving(unit).min(receiving(peer)) as f64 >= MIN_BOTH_RECEIVE_SHARE * facts.span.0 as f64;
    let typical = facts.typical_wait(unit, STATES)? as f64 / 1e6;
    (at_once && DELAYED_ACK_MS.contains(&typical)).then_some(typical)
}

/// `1.2.3.4:80`, `[::1]:80`.
pub(super) fn name(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// Names this peer as the culprit, with its share of the waiting.
pub(super) fn blame_peer(finding: &mut Finding, peer: Option<(IpAddr, u16, f64)>) {
    let Some((address, port, share)) = peer else { return };
    let what = format!("share of its waiting for {}", name(address, port));
    finding.evidence.push(evidence(what, share * 100.0, "%", None));
    finding.culprit = Some(culprit("peer", name(address, port)));
}

/// The peer that a unit waits for most in these states: address, port, share of the waiting.
pub(super) fn peer(facts: &Facts, unit: &Unit, states: &'static [State]) -> Option<(IpAddr, u16, f64)> {
    let mut peers: HashMap<(IpAddr, u16), u64> = HashMap::new();
    let mut all = 0;
    for wait in facts.waits(unit, states) {
        all += wait.weight.0;
        if let WaitTarget::Socket { peer: Some(peer), .. } = wait.target {
            *peers.entry(peer).or_default() += wait.weight.0;
        }
    }
    if let Some(((address, port), weight)) = peers.into_iter().max_by_key(|(peer, weight)| (*weight, *peer)) {
        return Some((address, port, weight as f64 / f64::max(all as f64, 1.0)));
    }
    // An open wait has no record; but the kernel sends again what is not answered.
    let worst = most_of(facts, unit, |row| row.retransmits)?;
    Some((worst.address, worst.port, worst.count as f64 / worst.all as f64))
}

/// The peer with most events of one kind (retransmits, resets) on a unit's sockets.
pub(super) struct Worst {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) count: u64,
    /// Events of all peers.
    all: u64,
}

/// The peer with most of the events that `trouble` counts; `None` without any.
pub(super) fn most_of(facts: &Facts, unit: &Unit, trouble: impl Fn(&NetRow) -> u64) -> Option<Worst> {
    let mut peers: HashMap<(IpAddr, u16), u64> = HashMap::new();
    for row in facts.windows.iter().flat_map(|window| &window.net).filter(|row| trouble(row) > 0) {
        if let Some(peer) = row.peer.filter(|_| facts.unit_of(row.tgid).is_some_and(|of| of.at == unit.at)) {
            *peers.entry(peer).or_default() += trouble(row);
        }
    }
    let all = peers.values().sum();
    let ((address, port), count) = peers.into_iter().max_by_key(|(peer, count)| (*count, *peer))?;
    Some(Worst { address, port, count, all })
}
