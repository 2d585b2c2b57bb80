//! # Its threads waited for each other
//!
//! **Class** `deadlock`; the subject is the process.
//!
//! **What.** It was killed while threads of it waited in a circle: each for a lock that the next one has, for a second or longer. A circle of one
//! is a thread that wants a lock which it has. Go's run time finds this itself (`all goroutines are asleep`), Java's thread dump too.
//!
//! **Neighbours.** Whoever killed it only ended what had ended already; without a circle the killer is the cause. SIGTERM of a supervisor
//! that stops a service is as it is meant, whatever its threads waited for.

use std::collections::{HashMap, HashSet};

use agent_common::text::nanos;
use agent_common::wire::postmortem::CauseClass;

use crate::claim::{Claim, Tier, itself, kernel, named};
use crate::codes::signal;
use crate::scene::Scene;
use crate::trouble::Trouble;

/// A shorter wait can be one for a lock that is about to come free, ns.
const MIN_WAIT_NS: u64 = 1_000_000_000;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let process = &scene.facts.process;
    let mut claims = Vec::new();
    for hint in scene.hints_of(&[Trouble::Deadlock]) {
        let what = format!("ran into a deadlock: {}", hint.text());
        let claim =
            Claim::new(CauseClass::Deadlock, hint.tier.max(Tier::Recurs), hint.confidence.max(0.9), what);
        claims.push(claim.subject(itself(process)).proofs(hint.proofs()));
    }
    let killed = matches!(
        scene.signal(),
        Some(signal::KILL | signal::ABRT | signal::QUIT | signal::TERM | signal::INT)
    );
    if let Some(circle) = circle(scene).filter(|_| killed) {
        let threads: Vec<_> = circle.iter().map(|wait| wait.tid.to_string()).collect();
        let least = circle.iter().map(|wait| wait.for_ns).min().unwrap_or(0);
        let objects: Vec<_> =
            circle.iter().map(|wait| format!("{} {}", wait.kind, wait.object).trim().to_owned()).collect();
        let how = if let [one] = threads.as_slice() {
            format!("thread {one} waited for a lock that it has itself")
        } else {
            format!("threads {} waited for each other in a circle", threads.join(", "))
        };
        let by = scene
            .sender()
            .map_or_else(String::new, |by| format!(" until {} ended it", named(&by.comm, by.pid)));
        let what = format!("was in a deadlock: {how} for {} ({}){by}", nanos(least), objects.join(", "));
        let mut claim = Claim::new(CauseClass::Deadlock, Tier::Kernel, 0.98, what)
            .subject(itself(process))
            .proof(kernel(how, scene.facts.ended.at_ns));
        if scene.sender().is_some() {
            claim = claim.not(CauseClass::KilledByProcess, "it could not go on any more when it was killed");
        }
        claims.push(claim);
    }
    claims
}

/// Threads that wait for each other, in order; of several circles the one with the least thread id, which comes first.
fn circle<'a>(scene: &Scene<'a>) -> Option<Vec<&'a crate::facts::Wait>> {
    let lasting = scene.facts.waits.iter().filter(|wait| wait.for_ns >= MIN_WAIT_NS && wait.holder_tid != 0);
    let by_tid: HashMap<u32, &crate::facts::Wait> = lasting.map(|wait| (wait.tid, wait)).collect();
    let mut walked = HashSet::new();
    let circles = by_tid.keys().filter_map(|start| {
        let mut met = Vec::new();
        let mut next = *start;
        // Each thread is walked over once, however many wait behind it.
        while let Some(wait) = by_tid.get(&next).filter(|_| walked.insert(next)) {
            met.push(*wait);
            next = wait.holder_tid;
        }
        let at = met.iter().position(|wait| wait.tid == next)?;
        let mut circle = met.split_off(at);
        let least = (0..circle.len()).min_by_key(|nth| circle[*nth].tid).unwrap_or(0);
        circle.rotate_left(least);
        Some(circle)
    });
    circles.min_by_key(|circle| circle[0].tid)
}
