//! # An instruction that the CPU cannot carry out
//!
//! **Class** `illegal-instruction`; the subject is the function.
//!
//! **What.** SIGILL, SIGTRAP or SIGFPE that the kernel made. Compilers put an invalid instruction (`ud2`, `brk`) where the program must
//! not come: `__builtin_trap`, an overflow in Swift, an abort of V8. Otherwise the program was built for another CPU, jumped
//! into data, or divided an integer by zero (SIGFPE; there is no class of its own for it).
//!
//! **Neighbours.** What the program said just before as it gave up, a failed check, a panic, an assertion, is the reason: the trap is only
//! how it ended. A signal that another process sent is `killed-by-process`.

use agent_common::wire::postmortem::CauseClass;

use super::memory_access::at_function;
use crate::claim::{Claim, Tier, kernel};
use crate::codes::{meaning, signal};
use crate::scene::Scene;

/// `FPE_INTDIV`.
const DIVIDED: i32 = 1;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let facts = scene.facts;
    let Some(signal @ (signal::ILL | signal::TRAP | signal::FPE)) = scene.signal() else { return Vec::new() };
    if scene.sender().is_some() {
        return Vec::new();
    }
    let what = match signal {
        signal::FPE if facts.ended.si_code == DIVIDED => "divided an integer by zero",
        signal::FPE => "computed what has no result",
        signal::TRAP => "ran into a trap that its compiler or run time placed",
        _ => "ran an instruction that this CPU does not have, or a trap that its compiler placed",
    };
    let made = facts.ended.si_code > 0;
    let said =
        scene.reading.reasons.first().is_some_and(|first| first.trace.is_some() || first.trouble.is_some());
    let tier = if said { Tier::Recurs } else { Tier::Kernel };
    let claim = Claim::new(CauseClass::IllegalInstruction, tier, if made { 0.92 } else { 0.7 }, what);
    vec![at_function(scene, claim).proof(kernel(meaning(&facts.process, &facts.ended), facts.ended.at_ns))]
}
