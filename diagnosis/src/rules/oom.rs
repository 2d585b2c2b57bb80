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

use agent_common::wire::finding::Subject;

use super::lost::{culprit, suspect_other};
use super::swap::available;
use super::{Level, Rule, Trend, Verdict, evidence, verdict};
use crate::facts::Facts;
use crate::window::OomKill;

pub(super) const RULE: Rule = Rule { name: "oom", classes: &["oom"], judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions: Vec<super::Suspicion> = Vec::new();
    let mut pending = false;
    let newest = facts.windows.len().saturating_sub(1);
    let kills = facts.windows.iter().enumerate();
    for (at, kill) in kills.flat_map(|(at, window)| window.oom_kills.iter().map(move |kill| (at, kill))) {
        let cgroup = cgroup(facts, kill);
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
        let mut suspicion = suspect_other(RULE.name, "oom", subject, Level::Enter, numbers);
        suspicion.key = key;
        suspicion.unit = facts.by_tgid.get(&kill.tgid).map(|at| facts.processes[*at].unit);
        let finding = &mut suspicion.finding;
        // All that it did from now on is lost.
        finding.lost_ns_per_s = 1_000_000_000;
        finding.share_pct = 100.0;
        finding.confidence = 0.95;
        let limited = !cgroup.is_empty() && cgroup != "/" && available(facts) >= super::swap::PLENTY;
        if limited {
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
        let mut suspicion = suspect_other(RULE.name, "oom", super::lost::host(), Level::Enter, numbers);
        let finding = &mut suspicion.finding;
        finding.lost_ns_per_s = 1_000_000_000;
        finding.confidence = 0.9;
        finding.advice = "the kernel's log says who was killed and what had the memory (dmesg)".into();
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// The cgroup of who was killed; of one that came and went between two readings it is that of who started it.
fn cgroup<'a>(facts: &'a Facts, kill: &'a OomKill) -> &'a str {
    if !kill.cgroup.is_empty() {
        return &kill.cgroup;
    }
    let mut exits = facts.windows.iter().flat_map(|window| &window.exits);
    let parent = exits.find(|exit| exit.tgid == kill.tgid).map(|exit| exit.parent);
    parent.and_then(|parent| facts.by_tgid.get(&parent)).map_or("", |at| &facts.processes[*at].cgroup)
}
