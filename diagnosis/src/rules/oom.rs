//! # `oom`: killed for lack of memory
//!
//! **Class** `oom`. Subject is the killed process. The culprit is its cgroup while the host has memory, else the host's memory.
//!
//! **What.** The kernel killed a process for lack of memory within the span. There is no threshold: one kill is an alert; it
//! stays while the kill is in the span.
//!
//! **Why.** A service that is restarted looks healthy at once; the next kill comes when it has grown as far.
//!
//! **Cure.** A limit that fits the need (`MemoryMax=`), the leak (`memory-leak`), or `OOMScoreAdjust=` to choose which process dies.

use agent_common::units::Tgid;
use agent_common::wire::finding::Subject;

use super::lost::{culprit, suspect_other};
use super::swap::available;
use super::{Class, Level, Need, Rule, Trend, Verdict, evidence, verdict};
use crate::facts::Facts;
use crate::window::OomKill;

pub(super) const RULE: Rule = Rule { name: "oom", classes: &[Class::Oom], needs: Need::Nothing, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions: Vec<super::Suspicion> = Vec::new();
    let mut pending = false;
    let newest = facts.windows.len().saturating_sub(1);
    let kills = facts.windows.iter().enumerate();
    for (at, kill) in kills.flat_map(|(at, window)| window.oom_kills.iter().map(move |kill| (at, kill))) {
        let cgroup = cgroup(facts, kill).or_else(|| same_name(facts, kill)).unwrap_or_default();
        if cgroup.is_empty() && at == newest {
            // Its parent is known once it has ended.
            pending = true;
            continue;
        }
        let key = format!("oom/{}@{cgroup}", kill.comm);
        if let Some(known) = suspicions.iter_mut().find(|known| known.key == key) {
            known.finding.evidence[0].value += 1.0;
            continue;
        }
        let subject =
            Subject { kind: "process".into(), pid: Some(kill.tgid.0), comm: Some(kill.comm.as_ref().into()) };
        let numbers = vec![
            evidence("processes killed for lack of memory", 1.0, "count", Some(1.0)),
            evidence("its resident memory", kill.rss_bytes as f64 / f64::from(1 << 20), "MiB", None),
            evidence("host memory available", available(facts) * 100.0, "%", None),
        ];
        let mut suspicion = suspect_other(RULE.name, Class::Oom, subject, Level::Enter, numbers);
        suspicion.key = key;
        suspicion.unit = facts.by_tgid.get(&kill.tgid).map(|at| facts.processes[*at].unit);
        let finding = &mut suspicion.finding;
        // All further work of the process is lost.
        finding.lost_ns_per_s = 1_000_000_000;
        finding.share_pct = 100.0;
        finding.confidence = 0.95;
        // The host has memory left: a limit was reached, known or not.
        let limited = available(facts) >= super::swap::MIN_PLENTY_SHARE;
        if limited && matches!(cgroup, "" | "/") {
            finding.confidence = 0.8;
            finding.advice = format!(
                "the host has memory: {} was killed for the memory limit of an unknown cgroup, or of a memory policy; the kernel's \
                 log names it (`dmesg | grep oom_memcg`)",
                kill.comm
            );
        } else if limited {
            finding.culprit = Some(culprit("cgroup", cgroup));
            finding.advice = format!(
                "cgroup {cgroup} reached its memory limit: raise it (MemoryMax=), or let {} use less",
                kill.comm
            );
        } else {
            finding.culprit = Some(culprit("host", "memory"));
            finding.advice =
                "the host ran out of memory: limit the process that uses most (MemoryMax=), or add memory"
                    .into();
        }
        suspicions.push(suspicion);
    }
    // Kills and the kernel's counter are not read at the same moment: they can differ at the edges of the span.
    let kernel = facts.sum(|window| window.host.memory.oom_kills.unwrap_or(0));
    if kernel > 0 && suspicions.is_empty() && !pending {
        let numbers =
            vec![evidence("processes killed for lack of memory", kernel as f64, "count", Some(1.0))];
        let mut suspicion = suspect_other(RULE.name, Class::Oom, super::lost::host(), Level::Enter, numbers);
        let finding = &mut suspicion.finding;
        finding.lost_ns_per_s = 1_000_000_000;
        finding.confidence = 0.9;
        finding.advice =
            "the kernel's log (dmesg) names the killed process and the processes with most memory".into();
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// The cgroup of the killed process. If it came and went between two readings of `/proc`: that of its nearest known ancestor.
fn cgroup<'a>(facts: &'a Facts, kill: &'a OomKill) -> Option<&'a str> {
    const MAX_GENERATIONS: usize = 4;
    if !kill.cgroup.is_empty() {
        return Some(&kill.cgroup);
    }
    let parent = |tgid: Tgid| {
        let mut exits = facts.windows.iter().flat_map(|window| &window.exits);
        let ended = exits.find(|exit| exit.tgid == tgid).map(|exit| exit.parent);
        ended
            .or_else(|| Some(facts.processes[*facts.by_tgid.get(&tgid)?].parent))
            .filter(|parent| parent.0 > 1)
    };
    let above = std::iter::successors(Some(kill.tgid), |tgid| parent(*tgid)).take(MAX_GENERATIONS);
    let mut met = above.filter_map(|tgid| facts.by_tgid.get(&tgid)).map(|at| &facts.processes[*at]);
    met.find(|process| process.sampled).map(|process| &*process.cgroup)
}

/// The cgroup of another killed process of the same name: a service that is restarted again and again.
fn same_name<'a>(facts: &'a Facts, kill: &OomKill) -> Option<&'a str> {
    let kills = facts.windows.iter().flat_map(|window| &window.oom_kills);
    kills.filter(|other| other.comm == kill.comm).find_map(|other| cgroup(facts, other))
}
