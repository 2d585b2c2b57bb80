//! # `dns`: waiting for a name lookup
//!
//! **Class** `dns`; the culprit is the name server: on this host the process, and the evidence says what it does; elsewhere its
//! address and port.
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to answers of a name server.
//!
//! **Why.** The program does nothing while it waits, and nothing of it shows as CPU or disk.
//!
//! **Cure.** A cache on this host (systemd-resolved, nscd, dnsmasq), another server, `options timeout:1 attempts:2`, names that
//! end in a dot (no search list).

use agent_common::abi::sched::State;

use super::lost::{loss, suspect};
use super::net_peer::{blame_peer, name_process, peer};
use super::{Class, Need, Rule, Trend, Verdict, verdict};
use crate::facts::Facts;

pub(super) const RULE: Rule = Rule { name: "dns", classes: &[Class::Dns], needs: Need::States, judge };

const STATES: &[State] = &[State::Dns];

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let mut suspicion = suspect(RULE.name, Class::Dns, unit, lost);
        let finding = &mut suspicion.finding;
        blame_peer(finding, peer(facts, unit, STATES));
        let followed = name_process(facts, unit, &Class::Dns, STATES, &mut suspicion);
        suspicion.finding.advice = followed.advice(facts, unit).unwrap_or_else(|| {
            format!(
                "{} waits for name lookups: use a cache on this host, a faster server, or `options timeout:1 attempts:2` in \
                 resolv.conf",
                unit.comm
            )
        });
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}
