//! # Not known
//!
//! **Class** `unknown`; the subject is the process. Confidence is 0.3 at most.
//!
//! **What.** No evidence says why. The code or signal is explained, and the first error that it wrote is quoted, if there is one; a pattern that is
//! new in its log is said to be new.
//!
//! **Neighbours.** Any claim of another rule is better.

use agent_common::wire::postmortem::CauseClass;

use crate::claim::{Claim, Tier, itself, kernel, said};
use crate::codes::meaning;
use crate::scene::Scene;

/// Confidence if an error was found that says no known reason.
const QUOTED: f64 = 0.3;
/// Confidence without anything.
const NOTHING: f64 = 0.15;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let facts = scene.facts;
    let first = scene.reading.reasons.first();
    let newest = scene.reading.reasons.iter().find(|reason| reason.is_new).or(first);
    let (what, confidence) = match newest {
        Some(reason) if reason.is_new => (format!("wrote an error that is new: “{}”", reason.text), QUOTED),
        Some(reason) => (format!("complained “{}”", reason.text), QUOTED),
        None => ("ended for a reason that nothing shows,".to_owned(), NOTHING),
    };
    let claim = Claim::new(CauseClass::Unknown, Tier::Code, confidence, what)
        .subject(itself(&facts.process))
        .proof(kernel(meaning(&facts.process, &facts.ended), facts.ended.at_ns))
        .proofs(newest.map(said));
    vec![claim]
}
