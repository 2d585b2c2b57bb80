//! # `process_churn`: short processes are started again and again
//!
//! **Class** `process-churn`; subject and culprit are the process that starts them.
//!
//! **What.** At least [`RATE_ENTER`] children of one process end a second (to stay, and in four of five windows:
//! [`RATE_LEAVE`]), and they use at most [`MAX_CHILD_CPU_MS`] ms of CPU each: most of that is fork, exec, linking and exit. Children
//! that work longer belong to a build or a batch job.
//!
//! **Why.** A start costs 0.3 to 2 ms whatever the program does. A script that calls `sed` for each line spends its time so,
//! and no single process ever seems to use much.
//!
//! **Cure.** Do it in one process (a built-in, a filter for all lines, a library), or keep workers.

use std::collections::HashMap;
use std::sync::Arc;

use agent_common::units::Tgid;
use agent_common::wire::finding::{Culprit, Subject};

use super::lost::{not, suspect_other};
use super::{Class, Need, Rule, Trend, Verdict, evidence, evidence_below, level, verdict};
use crate::facts::{Facts, lasts};

/// Children that end a second, to enter.
const RATE_ENTER: f64 = 50.0;
/// The same, to stay, and in each single window.
const RATE_LEAVE: f64 = 25.0;
/// Most CPU time of a child, ms, that is mere start and exit. Measured beside other work (two virtual CPUs, 6.18): true and sh 0.7,
/// sed 1.4, bash and git 1.6, perl 2.1; a machine of half the speed doubles that. An interpreter that loads a library
/// (python3: 13) does work.
const MAX_CHILD_CPU_MS: f64 = 5.0;
/// Least cost of fork, exec and exit of a process, ns.
const MIN_START_COST_NS: f64 = 300e3;

pub(super) const RULE: Rule =
    Rule { name: "process_churn", classes: &[Class::ProcessChurn], needs: Need::Nothing, judge };

#[derive(Default)]
struct Children {
    count: u64,
    cpu: u64,
    series: Vec<f64>,
    comms: HashMap<Arc<str>, u64>,
}

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut parents: HashMap<Tgid, Children> = HashMap::new();
    for (at, window) in facts.windows.iter().enumerate() {
        for exit in window.exits.iter().filter(|exit| exit.parent.0 > 1) {
            let children = parents.entry(exit.parent).or_default();
            children.count += 1;
            children.cpu += exit.cpu.0;
            children.series.resize(facts.windows.len(), 0.0);
            children.series[at] += 1.0 / window.span().as_secs_f64().max(1e-9);
            *children.comms.entry(Arc::clone(&exit.comm)).or_default() += 1;
        }
    }
    let mut suspicions = Vec::new();
    for (tgid, children) in parents {
        let rate = facts.per_second(children.count);
        let each = children.cpu as f64 / children.count.max(1) as f64;
        let Some(level) = level(rate, RATE_ENTER, RATE_LEAVE)
            .filter(|_| each / 1e6 <= MAX_CHILD_CPU_MS && lasts(&children.series, RATE_LEAVE))
        else {
            continue;
        };
        let unit = facts.unit_of(tgid);
        let comm = unit.map(|unit| unit.comm.as_ref().to_owned());
        let subject = Subject { kind: "process".into(), pid: Some(tgid.0), comm: comm.clone() };
        let own = facts.process(tgid).map_or(0, |row| row.system.0);
        let lost = facts.per_second(own) + rate * f64::max(each, MIN_START_COST_NS);
        let numbers = vec![
            evidence("children that ended", rate, "1/s", Some(RATE_ENTER)),
            evidence_below("CPU time of a child, mean", each / 1e6, "ms", MAX_CHILD_CPU_MS),
            evidence("its own kernel time (mostly fork)", facts.per_second(own) / 1e6, "ms/s", None),
        ];
        let mut suspicion = suspect_other(RULE.name, Class::ProcessChurn, subject.clone(), level, numbers);
        suspicion.unit = unit.map(|unit| unit.at);
        suspicion.culprit_unit = suspicion.unit;
        let finding = &mut suspicion.finding;
        finding.culprit = Some(Culprit { kind: "process".into(), pid: Some(tgid.0), comm });
        finding.lost_ns_per_s = lost as u64;
        finding.share_pct = (lost / 1e7).min(100.0);
        finding.confidence = 0.85;
        let top = children.comms.iter().max_by_key(|(comm, count)| (**count, Arc::clone(comm)));
        let name = top.map_or("a program", |(comm, _)| comm.as_ref());
        finding.alternatives.push(not(
            "healthy",
            format!("{:.1} ms of CPU each: hardly more than start and exit", each / 1e6),
        ));
        finding.advice = format!(
            "{} starts {name} {rate:.0} times a second: do it in one process, or keep workers",
            finding.subject.comm.as_deref().unwrap_or("it")
        );
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}
