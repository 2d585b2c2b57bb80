//! # `dns`: waiting for a name to be looked up
//!
//! **Class** `dns`; the culprit is the name server: the process where it is on this host, and what that does meanwhile is told; else
//! its address and port.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to answers of a name server.
//!
//! **Why.** The program does nothing meanwhile, and nothing of it shows as CPU or disk.
//!
//! **Cure.** A cache on this host (systemd-resolved, nscd, dnsmasq), another server, `options timeout:1 attempts:2`, names that end in a dot (no search list).

use agent_common::abi::sched::State;

use super::lost::{culprit, loss, suspect};
use super::net_peer::{name, name_process, peer};
use super::{Class, Rule, Trend, Verdict, evidence, verdict};
use crate::facts::Facts;

pub(super) const RULE: Rule = Rule { name: "dns", classes: &[Class::Dns], judge };

const STATES: &[State] = &[State::Dns];

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    if !facts.has_states {
        return Verdict::NotEnoughData { why: "thread states are not observed".to_owned() };
    }
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let mut suspicion = suspect(RULE.name, Class::Dns, unit, lost);
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
        let followed = name_process(facts, unit, &Class::Dns, STATES, &mut suspicion);
        suspicion.finding.advice = followed.advice(facts, unit).unwrap_or_else(|| {
            format!(
                "{} waits for names: a cache on this host, a server that answers, `options timeout:1 attempts:2` in \
                 resolv.conf",
                unit.comm
            )
        });
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}
