//! # `table_full`: a table of the kernel runs out
//!
//! **Class** `table-full`; subject and culprit are the host (threads, process numbers, open files, tracked connections) or
//! the process (its own descriptors).
//!
//! **What.** At least [`USED_SHARE_ENTER`] of a table's entries are in use (to stay: [`USED_SHARE_LEAVE`]): `kernel.threads-max`,
//! `kernel.pid_max`, `fs.file-max`, `nf_conntrack_max`, `RLIMIT_NOFILE` of a process.
//!
//! **Why.** At 100 % the next `fork`, `open` or connection fails, in whatever process; a full connection table drops packets
//! silently.
//!
//! **Cure.** Raise the limit; find the process with most entries (`fd-leak`, `thread-leak`, `zombie-leak`).

use agent_common::wire::finding::Culprit;

use super::lost::{culprit, host, process_culprit, subject, suspect_other};
use super::{Class, Need, Rule, Trend, Verdict, evidence, level, verdict};
use crate::facts::Facts;

/// Share of the entries in use, to enter.
const USED_SHARE_ENTER: f64 = 0.90;
/// The same, to stay.
const USED_SHARE_LEAVE: f64 = 0.85;

pub(super) const RULE: Rule =
    Rule { name: "table_full", classes: &[Class::TableFull], needs: Need::Nothing, judge };

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    if let Some(window) = facts.windows.last() {
        let tables = window.host.tables;
        for (name, what, table) in [
            ("kernel.threads-max", "threads", tables.threads),
            ("kernel.pid_max", "process and thread numbers", tables.pids),
            ("fs.file-max", "open files", tables.files),
            ("net.netfilter.nf_conntrack_max", "tracked connections", tables.conntrack),
        ] {
            let Some((used, most)) = table else { continue };
            let share = used as f64 / most.max(1) as f64;
            let Some(level) = level(share, USED_SHARE_ENTER, USED_SHARE_LEAVE) else { continue };
            let numbers = vec![
                evidence(
                    format!("share of the {what} in use"),
                    share * 100.0,
                    "%",
                    Some(USED_SHARE_ENTER * 100.0),
                ),
                evidence(what, used as f64, "count", None),
                evidence("limit", most as f64, "count", None),
            ];
            let mut suspicion = suspect_other(RULE.name, Class::TableFull, host(), level, numbers);
            suspicion.key = format!("table-full/{name}");
            let finding = &mut suspicion.finding;
            finding.culprit = Some(culprit("host", name));
            (finding.share_pct, finding.confidence) = (share * 100.0, 0.95);
            finding.lost_ns_per_s = (share * 1e9) as u64;
            finding.advice = format!("raise {name}, and find the process with most entries");
            suspicions.push(suspicion);
        }
    }
    for unit in facts.units.iter().filter(|unit| !unit.kernel) {
        for row in facts.members(unit).filter_map(|process| process.usage).map(|at| &facts.usage[at]) {
            let (Some(used), Some(most)) = (row.fds, row.fd_limit) else { continue };
            let share = used as f64 / most.max(1) as f64;
            let Some(level) = level(share, USED_SHARE_ENTER, USED_SHARE_LEAVE) else { continue };
            let numbers = vec![
                evidence(
                    "share of its descriptors in use",
                    share * 100.0,
                    "%",
                    Some(USED_SHARE_ENTER * 100.0),
                ),
                evidence("open descriptors", used as f64, "count", None),
                evidence("limit", most as f64, "count", None),
            ];
            let mut subject = subject(unit);
            subject.pid = Some(row.tgid.0);
            let mut suspicion = suspect_other(RULE.name, Class::TableFull, subject, level, numbers);
            suspicion.unit = Some(unit.at);
            let finding = &mut suspicion.finding;
            finding.culprit = Some(Culprit { pid: Some(row.tgid.0), ..process_culprit(unit) });
            (finding.share_pct, finding.confidence) = (share * 100.0, 0.9);
            finding.lost_ns_per_s = (share * 1e9) as u64;
            finding.advice = format!(
                "{} is about to run out of descriptors: raise LimitNOFILE=, or find what it does not close \
                 (`ls -l /proc/{}/fd`)",
                row.comm, row.tgid
            );
            suspicions.push(suspicion);
        }
    }
    verdict(suspicions)
}
