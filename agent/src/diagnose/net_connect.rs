//! # `net_connect`: waiting until a connection stands
//!
//! **Class** `net-connect`; the culprit is the peer's address and port.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to connections that take long to stand: an address that does not answer, a full accept queue there, packets lost on the way.
//!
//! **Why.** The program does nothing meanwhile, and nothing of it shows as CPU or disk.
//!
//! **Cure.** Keep connections (pools), shorter time-outs, the address that answers.

use agent_common::abi::sched::State;

use super::facts::Facts;
use super::lost::{culprit, loss, suspect};
use super::net_peer::{name, peer};
use super::{Rule, Trend, Verdict, evidence, verdict};

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
    verdict(suspicions)
}
