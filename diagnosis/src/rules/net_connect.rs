//! # `net_connect`: waiting until a connection is established
//!
//! **Class** `net-connect`; the culprit is the peer's address and port.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to slow connection set-up: an address that does not answer, a full accept queue there, lost packets.
//! Or their `connect` fails twice a second (to stay, and in four of five windows: once): half of the calls with
//! `ECONNREFUSED` (non-blocking ones: ended by resets), or nine of ten with no route to the host or network.
//!
//! **Why.** The program does nothing while it waits, and nothing of it shows as CPU or disk.
//!
//! **Cure.** Keep connections (pools), shorter time-outs, an address that answers.

use agent_common::abi::sched::State;

use super::lost::{culprit, loss, suspect};
use super::net_peer::{blame_peer, most_of, name, peer};
use super::refusals;
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, verdict};
use crate::facts::{Facts, Unit, Want};

pub(super) const RULE: Rule =
    Rule { name: "net_connect", classes: &[Class::NetConnect], needs: Need::States, judge };

const STATES: &[State] = &[State::NetConnect];

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions: Vec<Suspicion> = refused(facts).collect();
    for unit in &facts.units {
        if suspicions.iter().any(|refused| refused.unit == Some(unit.at)) {
            continue;
        }
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let mut suspicion = suspect(RULE.name, Class::NetConnect, unit, lost);
        let finding = &mut suspicion.finding;
        blame_peer(finding, peer(facts, unit, STATES));
        finding.advice = format!(
            "{} waits for connections to be established: keep them (a pool), shorten the time-out, check that the address answers",
            unit.comm
        );
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// Units whose connections are refused, and that try again.
fn refused(facts: &Facts) -> impl Iterator<Item = Suspicion> {
    let wanted = refusals::lasting(facts, |want| matches!(want, Want::Peer | Want::Route));
    wanted.map(|(refused, unit, level)| {
        let mut suspicion = refused.suspect(facts, RULE.name, Class::NetConnect, level);
        let finding = &mut suspicion.finding;
        let peer = (refused.want == Want::Peer).then(|| resetting_peer(facts, unit, refused.count)).flatten();
        let address = peer.as_deref().unwrap_or("the address");
        finding.advice = if refused.want == Want::Peer {
            format!(
                "{} is refused and tries again: nothing listens at {address}, or a firewall rejects it (`ss -ltnp`, `nft list \
                 ruleset`)",
                unit.comm
            )
        } else {
            format!("{} has no route to its peer, and tries again: check `ip route get`, `ip neigh`", unit.comm)
        };
        finding.culprit = peer.map(|peer| culprit("peer", peer));
        suspicion
    })
}

/// The peer that resets most of a unit's connections; `None` if those are less than half of the refused ones.
fn resetting_peer(facts: &Facts, unit: &Unit, refused: u64) -> Option<String> {
    let worst = most_of(facts, unit, |row| row.resets)?;
    (2 * worst.count >= refused).then(|| name(worst.address, worst.port))
}
