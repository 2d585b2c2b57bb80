//! # `oom`: killed for lack of memory
//!
//! **Class** `oom`. Subject is who was killed; the culprit is its cgroup while the host has memory, else who has most.
//!
//! **What.** The kernel killed a process for memory within the span. There is no threshold: one is an alert; it stays while
//! it is in the span.
//!
//! **Why.** A service that is restarted looks healthy again at once; the next kill comes when it has grown as far.
//!
//! **Cure.** The limit that fits the need (`MemoryMax=`), the leak (`memory-leak`), or `OOMScoreAdjust=` to say who goes.

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
            // Whose child it was is known when it has ended.
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
            evidence("processes killed for memory", 1.0, "count", Some(1.0)),
            evidence("its resident memory", kill.rss_bytes as f64 / f64::from(1 << 20), "MiB", None),
            evidence("host memory available", available(facts) * 100.0, "%", None),
        ];
        let mut suspicion = suspect_other(RULE.name, Class::Oom, subject, Level::Enter, numbers);
        suspicion.key = key;
        suspicion.unit = facts.by_tgid.get(&kill.tgid).map(|at| facts.processes[*at].unit);
        let finding = &mut suspicion.finding;
        // All that it did from now on is lost.
        finding.lost_ns_per_s = 1_000_000_000;
        finding.share_pct = 100.0;
        finding.confidence = 0.95;
        // With memory left it was a limit, whether it is known whose or not.
        let limited = available(facts) >= super::swap::PLENTY;
        if limited && matches!(cgroup, "" | "/") {
            finding.confidence = 0.8;
            finding.advice = format!(
                "the host has memory: {} was killed for the memory limit of a cgroup, or of a memory policy, that was not seen; \
                 the kernel's log names it (`dmesg | grep oom_memcg`)",
                kill.comm
            );
        } else if limited {
            finding.culprit = Some(culprit("cgroup", cgroup));
            finding.advice = format!(
                "{cgroup} reached its memory limit: raise it (MemoryMax=), or let {} use less",
                kill.comm
            );
        } else {
            finding.culprit = Some(culprit("host", "memory"));
            finding.advice =
                "the host ran out of memory: limit who takes most (MemoryMax=), or add memory".into();
        }
        suspicions.push(suspicion);
    }
    // The two are not read at the same moment, so at the edges of the span they differ by some.
    let kernel = facts.sum(|window| window.host.memory.oom_kills.unwrap_or(0));
    if kernel > 0 && suspicions.is_empty() && !pending {
        let numbers = vec![evidence("processes killed for memory", kernel as f64, "count", Some(1.0))];
        let mut suspicion = suspect_other(RULE.name, Class::Oom, super::lost::host(), Level::Enter, numbers);
        let finding = &mut suspicion.finding;
        finding.lost_ns_per_s = 1_000_000_000;
        finding.confidence = 0.9;
        finding.advice = "the kernel's log says who was killed and what had the memory (dmesg)".into();
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// The cgroup of who was killed; of one that came and went between two readings it is that of the nearest forebear that was met.
fn cgroup<'a>(facts: &'a Facts, kill: &'a OomKill) -> Option<&'a str> {
    const GENERATIONS: usize = 4;
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
    let above = std::iter::successors(Some(kill.tgid), |tgid| parent(*tgid)).take(GENERATIONS);
    let mut met = above.filter_map(|tgid| facts.by_tgid.get(&tgid)).map(|at| &facts.processes[*at]);
    met.find(|process| process.sampled).map(|process| &*process.cgroup)
}

/// The cgroup of another one of the same name that was killed: a service that is started again and again.
fn same_name<'a>(facts: &'a Facts, kill: &OomKill) -> Option<&'a str> {
    let kills = facts.windows.iter().flat_map(|window| &window.oom_kills);
    kills.filter(|other| other.comm == kill.comm).find_map(|other| cgroup(facts, other))
}
