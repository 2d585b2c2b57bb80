//! # `frozen`: a cgroup keeps a process from running
//!
//! **Class** `frozen`; the culprit is the frozen cgroup.
//!
//! **What.** A process is in a frozen cgroup (`cgroup.freeze` of v2, `freezer.state` of v1; its own cgroup or one above)
//! at the end of the span. Frozen processes of one cgroup are one finding.
//!
//! **When it is an alert.** People freeze on purpose (`docker pause`, a snapshot, a backup), so alone it is in reports only. It
//! opens an alert when a process that is not frozen waits for a frozen one: for a lock, for an answer, or until it reads.
//!
//! **Why.** No signal shows it, `ps` prints `D` or `S` as for any waiting process, and in v1 no kill reaches it. The processes
//! that wait for it look hung.
//!
//! **Cure.** Thaw it: the finding names the file. `docker unpause`, `systemctl thaw`.

use std::collections::BTreeMap;

use agent_common::units::Tgid;

use super::lost::{culprit, doubt, not, subject, suspect_other};
use super::{Class, Level, Need, Rule, Trend, Verdict, evidence, verdict};
use crate::facts::Facts;
use crate::window::FrozenRow;

pub(super) const RULE: Rule = Rule { name: "frozen", classes: &[Class::Frozen], needs: Need::Nothing, judge };

/// Least time, seconds a second, that one thread waits for the frozen process, to open an alert.
const MIN_WAITED_SHARE: f64 = 0.2;

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut groups: BTreeMap<&str, Vec<&FrozenRow>> = BTreeMap::new();
    for row in facts.frozen.values() {
        groups.entry(&row.cgroup).or_default().push(row);
    }
    let mut suspicions = Vec::new();
    for (cgroup, mut rows) in groups {
        rows.sort_unstable_by_key(|row| row.tgid);
        // The process that others wait for most stands for all of the cgroup.
        let waited = |row: &&FrozenRow| waiting(facts, row.tgid);
        let Some(row) = rows.iter().copied().max_by_key(|row| (waited(row).1, std::cmp::Reverse(row.tgid)))
        else {
            continue;
        };
        let Some(unit) = facts.unit_of(row.tgid) else { continue };
        let (names, ns) = waiting(facts, row.tgid);
        let mut subject = subject(unit);
        subject.pid = Some(row.tgid.0);
        let mut numbers =
            vec![evidence("not a thread of it has run, for at least", row.age.as_secs_f64(), "s", None)];
        if rows.len() > 1 {
            numbers.push(evidence("frozen processes in the cgroup", rows.len() as f64, "count", None));
        }
        let rate = facts.per_second(ns) / 1e9;
        let is_waited_for = rate >= MIN_WAITED_SHARE;
        if is_waited_for {
            let what = format!("time that others wait for it ({})", names.join(", "));
            numbers.push(evidence(what, rate * 1e3, "ms/s", Some(MIN_WAITED_SHARE * 1e3)));
        }
        let mut suspicion = suspect_other(RULE.name, Class::Frozen, subject, Level::Enter, numbers);
        suspicion.key = format!("frozen/{cgroup}");
        suspicion.unit = Some(unit.at);
        let finding = &mut suspicion.finding;
        finding.culprit = Some(culprit("cgroup", cgroup));
        finding.lost_ns_per_s = if is_waited_for { (rate * 1e9) as u64 } else { 0 };
        finding.share_pct = 100.0;
        finding.confidence = 0.95;
        finding.headline = Some(format!("frozen by cgroup {cgroup}: thaw it"));
        finding.advice = format!("{} ({}) is frozen by cgroup {cgroup}: {}", unit.comm, row.tgid, thaw(row));
        if !is_waited_for {
            doubt(finding);
            finding.alternatives.push(not("healthy", "not ruled out: no process waits for it"));
        }
        suspicions.push(suspicion);
    }
    verdict(suspicions)
}

/// The command that thaws it.
pub(super) fn thaw(row: &FrozenRow) -> String {
    let word = if row.file.ends_with("freezer.state") { "THAWED" } else { "0" };
    format!("thaw it (`echo {word} > {}`)", row.file)
}

/// The processes that are not frozen and wait for a frozen one, by name, and the longest waiting time of a thread, ns.
fn waiting(facts: &Facts, frozen: Tgid) -> (Vec<String>, u64) {
    let mut names = Vec::new();
    let mut most = 0;
    for process in facts.processes.iter().filter(|process| !facts.frozen.contains_key(&process.tgid)) {
        let for_it = process.waits.iter().filter(|(state, wait)| {
            let owner = match wait.target {
                crate::window::WaitTarget::Futex { owner: Some(owner), .. } => facts.by_tid.get(&owner),
                _ => None,
            };
            let by = owner.map(|at| facts.processes[*at].tgid).or(wait.peer);
            !state.is_idle() && wait.open && by == Some(frozen)
        });
        let mut threads: BTreeMap<u32, u64> = BTreeMap::new();
        for (_, wait) in for_it {
            *threads.entry(wait.tid.0).or_default() += wait.weight.0;
        }
        let files = facts.windows.last().into_iter().flat_map(|window| {
            let rows =
                window.file_locks.iter().filter(|row| row.waiter == process.tgid && row.holder == frozen);
            rows.map(|_| window.span().0)
        });
        if let Some(ns) = threads.into_values().chain(files).max() {
            names.push(format!("{} ({})", process.comm, process.tgid));
            most = most.max(ns);
        }
    }
    (names, most)
}
