//! # `net_peer`: waiting for the other end of a connection
//!
//! **Class** `net-peer`; the culprit is the peer's address and port, or the process when it is on this host.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to receiving as the side that connected and asked, or to sending into a full window. A server that
//! waits for the next request is idle, and so is who listens without asking. It is in reports only when half of that time is in
//! waits below 1 ms: the peer is not slow then, it is asked often.
//!
//! **Why.** The time is the other end's, or the way's. Segments sent again on the same connection make it `net-retransmit`.
//!
//! **Cure.** Look at the peer; fewer round trips (pipelining, batches), connections that are kept, a cache.

use std::collections::HashMap;
use std::net::IpAddr;

use agent_common::abi::sched::State;

use super::facts::{Facts, Unit};
use super::lost::{culprit, doubt_if_prompt, loss, process_culprit, suspect};
use super::{Rule, Trend, Verdict, chain, evidence, verdict};
use crate::window::WaitTarget;

pub(super) const RULE: Rule = Rule { name: "net_peer", classes: &["net-peer"], judge };

const STATES: &[State] = &[State::NetRecv, State::NetSend];

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    if !facts.has_waits {
        return Verdict::NotEnoughData { why: "waits are not looked at".to_owned() };
    }
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let mut suspicion = suspect(RULE.name, "net-peer", unit, lost);
        let finding = &mut suspicion.finding;
        let send = unit.times.of(State::NetSend) as f64 / lost.ns.max(1) as f64;
        finding.evidence.push(evidence("of it while sending (the window is full)", send * 100.0, "%", None));
        let peer = peer(facts, unit, STATES);
        if let Some((address, port, share)) = peer {
            finding.evidence.push(evidence(
                format!("of it for {}", name(address, port)),
                share * 100.0,
                "%",
                None,
            ));
            finding.culprit = Some(culprit("peer", name(address, port)));
        }
        let local = peer.is_none_or(|(address, ..)| address.is_loopback());
        let followed = chain::follow(facts, unit, "net-peer", STATES);
        if let Some(blocker) = followed.blocker.as_ref().filter(|_| local) {
            let other = &facts.units[facts.processes[blocker.process].unit];
            if other.at != unit.at && !other.kernel {
                finding.culprit = Some(process_culprit(other));
                suspicion.culprit_unit = Some(other.at);
                finding.evidence.extend(followed.evidence);
                suspicion.chain = followed.links;
            }
        }
        if finding.culprit.is_none() {
            finding.confidence *= 0.6;
        }
        doubt_if_prompt(facts, unit, STATES, finding);
        let who =
            finding.culprit.as_ref().and_then(|culprit| culprit.comm.clone()).unwrap_or("the peer".into());
        finding.advice =
            format!("{} waits for {who}: look there, or ask less often (batches, a cache)", unit.comm);
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// `1.2.3.4:80`, `[::1]:80`.
pub(super) fn name(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// The peer that a unit waits for most in these states, and its share of what is known.
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
    // A wait that has not ended has not been looked at; but what nobody answers is sent again.
    let mut again: HashMap<(IpAddr, u16), u64> = HashMap::new();
    for row in facts.windows.iter().flat_map(|window| &window.net) {
        if facts.members(unit).any(|process| process.tgid == row.tgid)
            && let Some(peer) = row.peer
        {
            *again.entry(peer).or_default() += row.retransmits;
        }
    }
    let all: u64 = again.values().sum();
    let ((address, port), most) = again.into_iter().max_by_key(|(peer, again)| (*again, *peer))?;
    (most > 0).then(|| (address, port, most as f64 / all as f64))
}
