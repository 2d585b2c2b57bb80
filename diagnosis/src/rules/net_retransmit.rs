//! # `net_retransmit`: segments are lost and sent again
//!
//! **Class** `net-retransmit`; the culprit is the peer with most of them (the way to it loses packets).
//!
//! **What.** One of two is true:
//!
//! - Connections of a process send at least [`RATE_ENTER`] segments a second again (to stay, and in four of five windows:
//!   [`RATE_LEAVE`]). They are at least [`MIN_PACKET_SHARE`] of the packets that the host sends, or the process loses 20 % of its
//!   non-idle time to its peers (`net-peer`, `net-connect`).
//! - A process loses that much to a peer. On the same connections either end sends [`WAITED_ENTER`] segments a second again (to
//!   stay: [`WAITED_LEAVE`]), which at 200 ms each explain [`MIN_EXPLAINED_RATIO`] of the waiting.
//!
//! A lost segment costs a round trip at best. It costs 200 ms and more if only the time-out notices: that is the lost time shown,
//! at most the whole time.
//!
//! **Why.** A loss of 1 % cuts a connection's throughput by an order of magnitude, and the program sees a slow peer.
//!
//! **Cure.** The network: a full queue, a bad cable, a policer or firewall that drops; smaller bursts (`fq`, BBR).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use agent_common::abi::sched::State;
use agent_common::wire::finding::{Finding, Subject};

use super::lost::{SHARE_LEAVE, culprit, loss, not, suspect, suspect_other};
use super::net_peer::{name, peer};
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, evidence, level, verdict};
use crate::facts::{Facts, Unit, lasts};
use crate::window::{NetRow, WaitTarget, Window};

/// Segments sent again a second, to enter.
const RATE_ENTER: f64 = 5.0;
/// The same, to stay, and in each single window.
const RATE_LEAVE: f64 = 2.0;
/// The same on connections for which a process waits: each costs it [`RTO_MIN_NS`] and more, so one connection cannot lose
/// many.
const WAITED_ENTER: f64 = 0.4;
/// The same, to stay.
const WAITED_LEAVE: f64 = 0.2;
/// Least share of the waiting that lost segments explain.
const MIN_EXPLAINED_RATIO: f64 = 0.3;
/// Least share of the packets that the host sends.
const MIN_PACKET_SHARE: f64 = 0.005;
/// Least time until the sender notices by time-out, ns (`TCP_RTO_MIN`).
const RTO_MIN_NS: f64 = 200e6;

pub(super) const RULE: Rule =
    Rule { name: "net_retransmit", classes: &[Class::NetRetransmit], needs: Need::Nothing, judge };

const STATES: &[State] = &[State::NetRecv, State::NetSend, State::NetConnect];

#[derive(Default)]
struct Sent {
    again: u64,
    resets: u64,
    series: Vec<f64>,
    peers: HashMap<(IpAddr, u16), u64>,
    comm: String,
}

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut all: HashMap<u32, Sent> = HashMap::new();
    for (at, window) in facts.windows.iter().enumerate() {
        for row in &window.net {
            let sent = all.entry(row.tgid.0).or_default();
            sent.again += row.retransmits;
            sent.resets += row.resets;
            sent.series.resize(facts.windows.len(), 0.0);
            sent.series[at] += row.retransmits as f64 / window.span().as_secs_f64().max(1e-9);
            if let Some(peer) = row.peer {
                *sent.peers.entry(peer).or_default() += row.retransmits;
            }
            row.comm.as_ref().clone_into(&mut sent.comm);
        }
    }
    let packets: u64 =
        facts.sum(|window| window.host.interfaces.iter().map(|interface| interface.tx_packets).sum());
    let mut suspicions: Vec<Suspicion> = facts.units.iter().filter_map(|unit| waited(facts, unit)).collect();
    for (tgid, sent) in all {
        let rate = facts.per_second(sent.again);
        let Some(level) = level(rate, RATE_ENTER, RATE_LEAVE).filter(|_| lasts(&sent.series, RATE_LEAVE))
        else {
            continue;
        };
        let unit = facts.unit_of(agent_common::units::Tgid(tgid));
        if unit.is_some_and(|unit| suspicions.iter().any(|found| found.unit == Some(unit.at))) {
            continue;
        }
        let share = sent.again as f64 / packets.max(sent.again).max(1) as f64;
        let waits = unit.map_or(0.0, |unit| {
            let lost = unit.times.sum(STATES);
            lost as f64 / unit.times.non_idle().max(1) as f64
        });
        if share < MIN_PACKET_SHARE && waits < SHARE_LEAVE {
            continue;
        }
        let subject = unit.filter(|_| tgid != 0).map_or_else(super::lost::host, super::lost::subject);
        let subject = if tgid != 0 && unit.is_none() {
            Subject { kind: "process".into(), pid: Some(tgid), comm: Some(sent.comm.clone()) }
        } else {
            subject
        };
        let numbers = vec![
            evidence("segments sent again", rate, "1/s", Some(RATE_ENTER)),
            evidence(
                "share of the packets that the host sends",
                share * 100.0,
                "%",
                Some(MIN_PACKET_SHARE * 100.0).filter(|_| share >= MIN_PACKET_SHARE),
            ),
            evidence(
                "share of its non-idle time in waits for peers",
                waits * 100.0,
                "%",
                Some(SHARE_LEAVE * 100.0).filter(|_| share < MIN_PACKET_SHARE),
            ),
            evidence("connection resets", facts.per_second(sent.resets), "1/s", None),
        ];
        let mut suspicion = suspect_other(RULE.name, Class::NetRetransmit, subject, level, numbers);
        suspicion.unit = unit.map(|unit| unit.at);
        let finding = &mut suspicion.finding;
        finding.lost_ns_per_s = (rate * RTO_MIN_NS).min(1e9) as u64;
        finding.share_pct = (waits * 100.0).max(finding.lost_ns_per_s as f64 / 1e7);
        finding.confidence = (0.6 + 10.0 * share).min(0.9);
        let peer = sent.peers.iter().max_by_key(|(peer, again)| (**again, **peer));
        if let Some(((address, port), again)) = peer {
            let of = *again as f64 / sent.again.max(1) as f64 * 100.0;
            finding.evidence.push(evidence(
                format!("share of the segments sent again to {}", name(*address, *port)),
                of,
                "%",
                None,
            ));
            finding.culprit = Some(culprit("peer", name(*address, *port)));
        }
        advise(finding);
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

fn advise(finding: &mut Finding) {
    finding.alternatives.push(not(&Class::NetPeer, "the peer is not slow: segments get lost"));
    finding.advice =
        "packets get lost on the way: look for full queues, policers and firewall drops (tc -s qdisc, \
                      nft list ruleset, ethtool -S)"
            .into();
}

/// The suspicion about a unit that waits on connections on which either end sends segments again. (Between two processes of one
/// host, the end that sends again does not wait.)
fn waited(facts: &Facts, unit: &Unit) -> Option<Suspicion> {
    let mut lost = loss(facts, unit, STATES)?;
    let connections: HashSet<(u16, (IpAddr, u16))> = facts
        .waits(unit, STATES)
        .filter_map(|wait| match wait.target {
            WaitTarget::Socket { local_port, peer: Some(peer), .. } => Some((local_port, peer)),
            _ => None,
        })
        .collect();
    let ours = |row: &NetRow| {
        let own = facts.members(unit).any(|process| process.tgid == row.tgid);
        let other_end = |(local_port, peer): &(u16, (IpAddr, u16))| {
            row.local_port == peer.1 && row.peer.is_some_and(|of| of.1 == *local_port)
        };
        own || connections.iter().any(other_end)
    };
    let again =
        |window: &Window| window.net.iter().filter(|row| ours(row)).map(|row| row.retransmits).sum::<u64>();
    // The waiting must last; the lost segments need not be in each window: time-outs double.
    let rate = facts.per_second(facts.sum(again));
    let level = level(rate, WAITED_ENTER, WAITED_LEAVE)?;
    let explained = rate * RTO_MIN_NS / 1e9 / lost.rate.max(1e-9);
    if explained < MIN_EXPLAINED_RATIO {
        return None;
    }
    lost.level = lost.level.min(level);
    let mut suspicion = suspect(RULE.name, Class::NetRetransmit, unit, lost);
    let finding = &mut suspicion.finding;
    finding.evidence.push(evidence("segments sent again", rate, "1/s", Some(WAITED_ENTER)));
    let most = Some(MIN_EXPLAINED_RATIO * 100.0);
    finding.evidence.push(evidence(
        "share of the waiting that they explain",
        explained.min(1.0) * 100.0,
        "%",
        most,
    ));
    finding.culprit =
        peer(facts, unit, STATES).map(|(address, port, _)| culprit("peer", name(address, port)));
    advise(finding);
    Some(suspicion)
}
