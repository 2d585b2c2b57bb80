//! # Another process sent the signal
//!
//! **Classes** `killed-by-process` (subject: the sender), `killed-by-watchdog` (the supervisor, or the process that did not answer),
//! `parent-died` (the parent).
//!
//! **What.** The kernel names the sender of a signal. A sender that is neither parent nor supervisor nor the own shell is to blame, also for
//! SIGSEGV or SIGABRT: the process did nothing wrong then, even if it hung. PID 1 that sends SIGABRT is systemd's watchdog
//! (`WatchdogSec=`); a supervisor or parent is one if it or a log says that the process did not answer (liveness probe, worker
//! timeout, no heartbeat), or if it is called so. If the parent ended badly first, and the process with it (`PR_SET_PDEATHSIG`, the first
//! process of a container, a terminal's shell), it is `parent-died`.
//!
//! **Neighbours.** A parent or supervisor that sends SIGTERM, SIGINT, SIGHUP or SIGKILL, and says nothing, ends it as it is meant. SIGKILL by
//! the kernel is `oom-cgroup`, `oom-host` or `cpu-limit`.

use agent_common::wire::postmortem::{Blamed, CauseClass};

use crate::claim::{Claim, Tier, itself, kernel, named, other, said};
use crate::codes::{is_supervisor, signal, signal_name};
use crate::facts::{Other, ParentEnd};
use crate::scene::Scene;
use crate::trouble::Trouble;

/// Words of supervisors for a process that does not answer, lower case.
const NO_ANSWER: &[&str] = &[
    "watchdog timeout",
    "watchdog expired",
    "watchdog triggered",
    "watchdog did not",
    "watchdog: no",
    "watchdog killed",
    "failed liveness probe",
    "liveness probe failed",
    "failed startup probe",
    "startup probe failed",
    "worker timeout",
    "start operation timed out",
    "timed out. killing",
    "timed out, killing",
];
/// The same, if they name the process: it may say this of others.
const NO_ANSWER_OF: &[&str] = &[
    "no heartbeat",
    "missed heartbeat",
    "heartbeat timeout",
    "heartbeat lost",
    "heartbeat missed",
    "health check failed",
    "healthcheck failed",
    "failed health check",
    "is unhealthy",
    "unresponsive",
    "not responding",
    "did not respond",
    "does not respond",
    "not answering",
    "did not answer",
    "hung",
    "stuck",
    "timed out",
];
/// A parent that ended so long before a process is the reason for its end, ns: signals and pipes pass it on at once.
const WITH_PARENT_NS: u64 = 2_000_000_000;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let facts = scene.facts;
    let process = &facts.process;
    if let Some((end, confidence)) = parent_died(scene) {
        let parent = named(&process.parent.comm, process.parent.pid);
        let how = match (end.signal, end.code) {
            (Some(signal), _) => format!("was ended by {}", signal_name(signal)),
            (None, Some(code)) => format!("ended with code {code}"),
            (None, None) => "ended".to_owned(),
        };
        let claim = Claim::new(
            CauseClass::ParentDied,
            Tier::Kernel,
            confidence,
            format!("lost its parent {parent}, which {how},"),
        )
        .subject(other(&process.parent))
        .proof(kernel(format!("its parent {parent} {how}"), end.at_ns))
        .not(CauseClass::KilledByProcess, "the signal comes with the parent's end");
        return vec![claim];
    }
    let mut claims = Vec::new();
    for hint in scene.hints_of(&[Trouble::ParentDied]) {
        let claim =
            Claim::new(CauseClass::ParentDied, hint.tier, hint.confidence, "ended because its parent had");
        claims.push(claim.subject(other(&process.parent)).proofs(hint.proofs()));
    }
    let Some(signal) = scene.signal() else { return claims };
    let Some(by) = scene.sender() else {
        let by_itself = signal == signal::KILL
            && facts.ended.by.as_ref().is_some_and(|by| by.pid == process.pid && by.pid != 0);
        if by_itself {
            let claim = Claim::new(CauseClass::KilledByProcess, Tier::Kernel, 0.9, "sent SIGKILL to itself");
            claims.push(claim.subject(itself(process)));
        }
        return claims;
    };
    let sender = named(&by.comm, by.pid);
    let sent = kernel(format!("{} from {sender}, user {}", signal_name(signal), by.uid), facts.ended.at_ns);
    if let Some((why, confidence, statement)) = watchdog(scene) {
        let who = named(&process.comm, process.pid);
        let what = format!("{sender} ended {who} by {}: {why}", signal_name(signal));
        let subject = Blamed { unit: process.unit.clone(), ..other(by) };
        let claim = Claim::new(CauseClass::KilledByWatchdog, Tier::Kernel, confidence, what)
            .whole()
            .subject(subject)
            .proof(sent)
            .proofs(statement.map(said))
            .not(CauseClass::KilledByProcess, "its own supervisor sent the signal");
        claims.push(claim);
        return claims;
    }
    let command = if by.cmdline.is_empty() { String::new() } else { format!(", running `{}`", by.cmdline) };
    let what = format!("was killed by {sender}{command}, user {}, with {}", by.uid, signal_name(signal));
    // Without its parent it is not known whether that one ended it as it is meant.
    let confidence = if process.parent.pid == 0 { 0.6 } else { 0.97 };
    let mut claim = Claim::new(CauseClass::KilledByProcess, Tier::Kernel, confidence, what)
        .subject(other(by))
        .proof(sent);
    claim = claim.not(CauseClass::OomHost, "a process sent the signal, not the kernel");
    if matches!(signal, signal::SEGV | signal::BUS | signal::ILL | signal::FPE | signal::ABRT) {
        claim =
            claim.not(CauseClass::BadPointer, "the signal was sent; no instruction of the process caused it");
    }
    claims.push(claim);
    claims
}

/// How its parent ended, if that is the reason, and how sure that is.
pub(super) fn parent_died<'a>(scene: &Scene<'a>) -> Option<(&'a ParentEnd, f64)> {
    let facts = scene.facts;
    let end = facts.process.parent_end.as_ref()?;
    let with = facts.ended.at_ns.saturating_sub(end.at_ns) <= WITH_PARENT_NS;
    let badly = end
        .signal
        .is_some_and(|signal| signal != signal::TERM && signal != signal::INT && signal != signal::HUP)
        || end.code.is_some_and(|code| code != 0);
    let not_seen = end.signal.is_none() && end.code.is_none();
    let by_signal = matches!(
        scene.signal(),
        Some(signal::TERM | signal::KILL | signal::HUP | signal::INT | signal::QUIT | signal::PIPE | 10 | 12)
    );
    let from_parent = scene.sender().is_none_or(|by| by.pid == facts.process.parent.pid);
    // The other end of its pipe is gone, too.
    let pipe = scene.hints.iter().any(|hint| hint.trouble == Trouble::Reset && hint.peer().is_none());
    (with && (badly || not_seen) && from_parent && (by_signal && facts.oom.is_none() || pipe))
        .then_some((end, if badly { 0.9 } else { 0.6 }))
}

/// Why the sender is a watchdog, and how sure that is.
pub(super) fn watchdog<'a>(scene: &Scene<'a>) -> Option<(String, f64, Option<&'a crate::words::Statement>)> {
    let by = scene.sender()?;
    let process = &scene.facts.process;
    let own = by.pid == process.parent.pid || by.pid == 1 || is_supervisor(&by.comm);
    let ended_by = scene.signal()?;
    if is_called_watchdog(by) {
        return Some(("it watches whether it answers".to_owned(), 0.92, None));
    }
    if !own {
        return None;
    }
    let names_it = |text: &str| {
        let unit = process.unit.as_deref().unwrap_or_default();
        [&process.pid.to_string(), process.comm.as_str(), unit]
            .iter()
            .any(|name| name.len() > 2 && text.contains(*name))
    };
    let of_it = || scene.reading.find(NO_ANSWER_OF).filter(|statement| names_it(&statement.text));
    if let Some(statement) = scene.reading.find(NO_ANSWER).or_else(of_it) {
        return Some((format!("it did not answer (“{}”)", statement.text), 0.93, Some(statement)));
    }
    match ended_by {
        signal::ABRT if by.pid == 1 => {
            Some(("it did not reset systemd's watchdog in time".to_owned(), 0.93, None))
        }
        signal::ABRT => Some(("a parent sends it to a process that does not answer".to_owned(), 0.75, None)),
        _ => None,
    }
}

/// The sender is called a watchdog, or runs a script that is.
fn is_called_watchdog(by: &Other) -> bool {
    const NAMES: &[&str] = &[
        "watchdog",
        "watch-dog",
        "watch_dog",
        "wd_keepalive",
        "healthcheck",
        "health-check",
        "health_check",
        "liveness",
        "autoheal",
    ];
    let is = |text: &str| NAMES.iter().any(|name| text.to_lowercase().contains(name));
    // The program or script, not any argument.
    is(&by.comm) || by.cmdline.split(' ').filter(|word| !word.starts_with('-')).take(2).any(is)
}
