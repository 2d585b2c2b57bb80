//! # `net_connect`: waiting until a connection stands
//!
//! **Class** `net-connect`; the culprit is the peer's address and port.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to connections that take long to stand: an address that does not answer, a full accept queue there,
//! packets lost on the way. Or they are refused twice a second (to stay, and in four of five windows: once), in half of their
//! `connect` (or send) calls: `ECONNREFUSED`, no way to the host or the network.
//!
//! **Why.** The program does nothing meanwhile, and nothing of it shows as CPU or disk.
//!
//! **Cure.** Keep connections (pools), shorter time-outs, the address that answers.

use std::collections::HashMap;
use std::net::IpAddr;

use agent_common::abi::sched::State;

use super::facts::{Facts, Unit};
use super::lost::{culprit, loss, suspect};
use super::net_peer::{name, peer};
use super::refusals::{self, Refusal};
use super::{Rule, Suspicion, Trend, Verdict, evidence, verdict};

pub(super) const RULE: Rule = Rule { name: "net_connect", classes: &["net-connect"], judge };

const STATES: &[State] = &[State::NetConnect];

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    if !facts.has_states {
        return Verdict::NotEnoughData { why: "thread states are not observed".to_owned() };
    }
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let mut suspicion = suspect(RULE.name, "net-connect", unit, lost);
        let finding = &mut suspicion.finding;
        if let Some((address, port, share)) = peer(facts, unit, STATES) {
            finding.evidence.push(evidence(
                format!("of it for {}", name(address, port)),
                share * 100.0,
                "%",
                None,
            ));
            finding.culprit = Some(culprit("peer", name(address, port)));
        }
        finding.advice = format!(
            "{} waits for connections to stand: keep them (a pool), shorten the time-out, see whether the address answers",
            unit.comm
        );
        suspicions.push(suspicion);
    }
    let refused: Vec<Suspicion> =
        refused(facts).filter(|refused| !suspicions.iter().any(|waits| waits.unit == refused.unit)).collect();
    suspicions.extend(refused);
    verdict(suspicions)
}

/// Who is refused, and tries again.
fn refused(facts: &Facts) -> impl Iterator<Item = Suspicion> {
    refusals::lasting(facts, |refusal| refusal == Refusal::Peer).map(|(refused, unit, level)| {
        let mut suspicion = refused.suspect(facts, RULE.name, "net-connect", level);
        let finding = &mut suspicion.finding;
        let to = who_resets(facts, unit);
        finding.advice = format!(
            "{} is refused and tries again: {}nothing listens there, or a firewall rejects it (`ss -ltnp`, `nft list \
             ruleset`)",
            unit.comm,
            to.as_ref().map(|to| format!("{to}; ")).unwrap_or_default(),
        );
        finding.culprit = to.map(|to| culprit("peer", to));
        suspicion
    })
}

/// The peer that resets most of a unit's connections.
fn who_resets(facts: &Facts, unit: &Unit) -> Option<String> {
    let mut peers: HashMap<(IpAddr, u16), u64> = HashMap::new();
    for row in facts.windows.iter().flat_map(|window| &window.net).filter(|row| row.resets > 0) {
        if let Some(peer) = row.peer.filter(|_| facts.members(unit).any(|process| process.tgid == row.tgid)) {
            *peers.entry(peer).or_default() += row.resets;
        }
    }
    let ((address, port), _) = peers.into_iter().max_by_key(|(peer, resets)| (*resets, *peer))?;
    Some(name(address, port))
}
