//! # It ended itself
//!
//! **Classes** `assertion`, `heap-corruption`, `abort`; the subject is the function that called.
//!
//! **What.** SIGABRT that the process raised itself. The text that the C library left in memory tells why, else its stack
//! (`__assert_fail`, `malloc_printerr`), else what it wrote. A check of the heap that fails is `heap-corruption`: the damage was
//! done earlier and elsewhere. A damaged stack or a checked copy (`stack smashing`, `_FORTIFY_SOURCE`) is `abort` with that text. Failed
//! assertions of Python, Java or Node are `assertion` too, though they end with code 1.
//!
//! **Neighbours.** An uncaught C++ exception, a Go or Rust panic, a run time without memory also abort: they say so, and have classes of
//! their own. SIGABRT from another process is `killed-by-watchdog` or `killed-by-process`.

use agent_common::wire::postmortem::{CauseClass, ProofKind};

use super::memory_access::at_function;
use crate::claim::{Claim, Tier, kernel, proof};
use crate::codes::signal;
use crate::scene::Scene;
use crate::trouble::Trouble;

/// Functions on the way to an abort, and what they tell.
const ON_STACK: &[(&str, CauseClass, &str)] = &[
    ("__assert", CauseClass::Assertion, "failed an assertion"),
    ("g_assertion_message", CauseClass::Assertion, "failed an assertion"),
    ("malloc_printerr", CauseClass::HeapCorruption, "has a damaged heap"),
    ("__stack_chk_fail", CauseClass::Abort, "wrote behind the end of a buffer on its stack"),
    ("__chk_fail", CauseClass::Abort, "copied more into a buffer than fits"),
    ("__fortify_fail", CauseClass::Abort, "broke a check of the C library"),
];

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let facts = scene.facts;
    let aborted = scene.signal() == Some(signal::ABRT) && scene.sender().is_none();
    let mut claims = Vec::new();
    let text = facts.abort_text.trim();
    if aborted && !text.is_empty() {
        let class = match Trouble::of_text(text) {
            Some(trouble @ (Trouble::Heap | Trouble::Smashed | Trouble::Assertion)) => Some(trouble.class()),
            Some(Trouble::NoMemory | Trouble::StackOverflow) => None,
            _ if text.contains("ssertion") => Some(CauseClass::Assertion),
            // Other rules read what is the text of an exception or panic.
            _ => (!is_foreign(text)).then_some(CauseClass::Abort),
        };
        if let Some(class) = class {
            let what = match class {
                CauseClass::Assertion => format!("failed an assertion: {text}"),
                CauseClass::HeapCorruption => format!("has a damaged heap: {text}"),
                _ => format!("aborted: {text}"),
            };
            let claim = Claim::new(class, Tier::Abort, 0.97, what).proof(proof(ProofKind::Abort, text));
            claims.push(with_line(at_function(scene, claim), text));
        }
    }
    if let Some((_, class, what)) = ON_STACK
        .iter()
        .find(|(name, ..)| aborted && facts.stack.iter().any(|frame| frame.function.starts_with(name)))
    {
        let text = scene.hints_of(&[Trouble::Assertion, Trouble::Heap, Trouble::Smashed]).next();
        let what = text.map_or_else(|| (*what).to_owned(), |hint| format!("{what}: {}", hint.text()));
        claims.push(at_function(scene, Claim::new(*class, Tier::Abort, 0.9, what)));
    }
    for hint in scene.hints_of(&[Trouble::Assertion, Trouble::Heap, Trouble::Smashed]) {
        let what = match hint.trouble {
            Trouble::Assertion => format!("failed an assertion: {}", hint.text()),
            Trouble::Heap => format!("has a damaged heap: {}", hint.text()),
            _ => format!("aborted: {}", hint.text()),
        };
        let sanitizer = hint.text().contains("Sanitizer");
        let tier = if aborted || sanitizer { Tier::Abort } else { hint.tier };
        let claim = Claim::new(hint.trouble.class(), tier, hint.confidence, what).proofs(hint.proofs());
        claims.push(with_line(at_function(scene, claim), hint.text()));
    }
    let of_child = facts.ended.code == Some(128 + i32::from(signal::ABRT));
    if aborted || of_child {
        let said = scene.reading.reasons.first();
        let what = said.map_or_else(
            || "called abort".to_owned(),
            |said| format!("called abort after it said “{}”", said.text),
        );
        // A complaint without a reason that the other rules know is the program's own reason to abort.
        let confidence = if said.is_some() { 0.7 } else { 0.6 };
        let claim = Claim::new(CauseClass::Abort, Tier::Call, confidence, what)
            .proof(kernel("SIGABRT that it raised itself", facts.ended.at_ns))
            .proofs(said.map(crate::claim::said));
        claims.push(at_function(scene, claim));
    }
    claims
}

/// The text is that of an exception or panic.
fn is_foreign(text: &str) -> bool {
    ["terminate called", "uncaught exception", "panic", "fatal error: "]
        .iter()
        .any(|sign| text.contains(sign))
}

/// glibc's text has the line: `prog: file.c:9: main: Assertion …`; musl's ends with it.
fn with_line(mut claim: Claim, text: &str) -> Claim {
    if claim.subject.line.is_some() || claim.class != CauseClass::Assertion {
        return claim;
    }
    let mut parts = text.split(": ");
    if let Some(place) = parts.by_ref().find(|part| is_place(part)) {
        claim.subject.line = Some(place.to_owned());
        let function =
            parts.next().filter(|function| !function.contains(' ') && !function.starts_with("Assertion"));
        if let Some(function) = function.filter(|_| claim.subject.function.is_none()) {
            claim.subject.kind = "function".into();
            claim.subject.function = Some(function.to_owned());
        }
    }
    claim
}

fn is_place(part: &str) -> bool {
    part.rsplit_once(':').is_some_and(|(file, line)| {
        file.contains('.')
            && !file.contains(' ')
            && !line.is_empty()
            && line.bytes().all(|b| b.is_ascii_digit())
    })
}
