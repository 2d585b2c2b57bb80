//! # `file_lock`: waiting for a lock on a file
//!
//! **Class** `file-lock`; the culprit is the process that holds the lock: the one whose unlock ended the waits, or that still
//! holds it (`/proc/locks`).
//!
//! **What.** Processes of one name and parent lose at least 20 % of their non-idle thread time, and 0.1 s a second (to
//! stay: 12 %, 0.06 s/s), to `flock` and `fcntl(F_SETLKW)`. Or they only try (`F_SETLK`, `LOCK_NB`) and are refused twice a second
//! (to stay, and in four of five windows: once), in at least one of ten calls: then the sleep between two tries is lost time, if
//! it is 0.1 s a second.
//!
//! **Why.** A lock file makes programs take turns (package managers, mail boxes, SQLite). A process that does slow work under the
//! lock keeps all others waiting. What the holder waits for itself is then the root.
//!
//! **Cure.** Shorten the time under the lock, lock ranges in place of the file, SQLite: WAL mode.

use agent_common::abi::sched::State;
use agent_common::wire::finding::Culprit;

use super::chain::{self, Followed};
use super::lost::{LOST_ENTER, culprit, loss, process_culprit, suspect};
use super::refusals;
use super::{Class, Need, Rule, Suspicion, Trend, Verdict, verdict};
use crate::facts::{Facts, Unit, Want};
use crate::window::WaitTarget;

pub(super) const RULE: Rule =
    Rule { name: "file_lock", classes: &[Class::FileLock], needs: Need::States, judge };

const STATES: &[State] = &[State::FileLock];

fn judge(facts: &Facts, _: &Trend) -> Verdict {
    let mut suspicions = Vec::new();
    for unit in &facts.units {
        let Some(lost) = loss(facts, unit, STATES) else { continue };
        let followed = chain::follow(facts, unit, &Class::FileLock, STATES);
        if followed.inversion().is_some() {
            continue;
        }
        let mut suspicion = suspect(RULE.name, Class::FileLock, unit, lost);
        let finding = &mut suspicion.finding;
        if followed.blocker.is_none() {
            let file = facts.waits(unit, STATES).find_map(|wait| match wait.target {
                WaitTarget::File { dev, inode } => {
                    Some(format!("inode {inode} on {}:{}", dev >> 20, dev & 0xf_ffff))
                }
                _ => None,
            });
            finding.culprit = file.map(|file| culprit("lock", file));
            finding.confidence *= 0.8;
        }
        blame(facts, unit, followed, "waits for a file lock: the holder", &mut suspicion);
        suspicions.push(suspicion);
    }
    let tried: Vec<Suspicion> =
        tried(facts).filter(|tried| !suspicions.iter().any(|waits| waits.unit == tried.unit)).collect();
    suspicions.extend(tried);
    verdict(suspicions)
}

/// Units that try for a lock again and again, and sleep between the tries.
fn tried(facts: &Facts) -> impl Iterator<Item = Suspicion> {
    refusals::lasting(facts, |want| want == Want::Lock).filter_map(|(refused, unit, level)| {
        let mut suspicion = refused.suspect(facts, RULE.name, Class::FileLock, level);
        if (suspicion.finding.lost_ns_per_s as f64) < LOST_ENTER * 1e9 {
            return None;
        }
        let followed = chain::follow(facts, unit, &Class::FileLock, STATES);
        blame(
            facts,
            unit,
            followed,
            "tries for a file lock that another process holds: that process",
            &mut suspicion,
        );
        Some(suspicion)
    })
}

/// Writes the holder of the lock and the chain behind it into the suspicion; `what` the unit does, for the cure.
fn blame(facts: &Facts, unit: &Unit, followed: Followed, what: &str, suspicion: &mut Suspicion) {
    let finding = &mut suspicion.finding;
    if let Some(blocker) = &followed.blocker {
        let process = &facts.processes[blocker.process];
        let holder = &facts.units[process.unit];
        // One of several processes of one name.
        finding.culprit = Some(Culprit { pid: Some(process.tgid.0), ..process_culprit(holder) });
        suspicion.culprit_unit = Some(holder.at);
    }
    finding.evidence.extend(followed.evidence.iter().cloned());
    finding.advice = followed
        .advice(facts, unit)
        .unwrap_or_else(|| format!("{} {what} must release the lock sooner", unit.comm));
    suspicion.chain = followed.links;
}
