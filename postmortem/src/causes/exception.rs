//! # An exception or panic that nothing caught
//!
//! **Classes** `uncaught-exception`, `panic`; the subject is the function or file and line, and the exception's name.
//!
//! **What.** Its last words hold a trace of Python, Java, .NET, Node, Ruby, PHP, C++, Elixir (exception) or of Go, Rust, Swift (panic).
//! The innermost cause counts: Python prints it first (`The above exception was the direct cause`), Java, .NET, Node and Rust
//! print it last (`Caused by`, `--->`, `[cause]`). If Python went another way after a failed lookup (`During handling of`), and that
//! way failed for a reason of its own, that reason counts. A Rust program that ends with code 101 panicked, even without words.
//!
//! **Neighbours.** An innermost cause that has a class of its own gets it: `ConnectionRefusedError` is `connection-refused`, `MemoryError`
//! is `heap-limit`, `ModuleNotFoundError` `missing-library`, `AssertionError` `assertion`. An exception that only says that something
//! is `None` or null yields to an earlier error whose call failed, and one that only says that something failed (`startup failed`) to
//! the failed call.

use agent_common::wire::postmortem::{Blamed, CauseClass, ProofKind};

use crate::claim::{Claim, Tier, itself, kernel, proof, said};
use crate::codes::signal;
use crate::scene::Scene;
use crate::words::{Kind, Statement, Weight, read_text};

/// A failed call this certain is the reason of an exception that names none.
const MIN_CALL_CONFIDENCE: f64 = 0.55;
/// Confidence in such an exception itself.
const VAGUE: f64 = 0.5;
/// Rust's code for a panic.
const RUST_PANIC: i32 = 101;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let facts = scene.facts;
    let mut claims = Vec::new();
    if scene.signal() == Some(signal::KILL) {
        return claims;
    }
    // If it names what a failed call was about, the call is the reason.
    let has_call = |statement: &Statement| {
        let of = |hint: &crate::hints::Hint<'_>| {
            hint.call.is_some() && hint.statement.is_some_and(|one| std::ptr::eq(one, statement))
        };
        scene.hints.iter().any(of)
    };
    for statement in scene.reading.reasons.iter().filter(|one| one.trouble.is_none() && !has_call(one)) {
        claims.extend(of_statement(scene, statement));
    }
    let abort = read_text(&facts.abort_text).filter(|abort| abort.trouble.is_none());
    if let Some(mut claim) = abort.as_ref().and_then(|abort| of_statement(scene, abort)) {
        claim.tier = Tier::Abort;
        claim.proofs.insert(0, proof(ProofKind::Abort, facts.abort_text.trim()));
        claims.push(claim);
    }
    if facts.ended.code == Some(RUST_PANIC) && !scene.reading.complains() {
        let claim = Claim::new(CauseClass::Panic, Tier::Call, 0.6, "panicked, without a word about it");
        let claim = super::memory_access::at_function(scene, claim);
        claims.push(claim.proof(kernel("code 101 is that of a Rust panic", facts.ended.at_ns)));
    }
    claims
}

fn of_statement(scene: &Scene<'_>, statement: &Statement) -> Option<Claim> {
    let facts = scene.facts;
    let trace = statement.trace.as_ref()?;
    let weak = trace.is_consequence() && scene.hints.iter().any(|hint| hint.tier == Tier::Recurs);
    // `RuntimeError: startup failed` after a call that failed: the call says why.
    let vague = trace.is_vague()
        && scene.hints.iter().any(|hint| hint.call.is_some() && hint.confidence >= MIN_CALL_CONFIDENCE);
    let (class, verb, confidence) = match trace.kind {
        Kind::Panic => (CauseClass::Panic, "panicked", 0.95),
        Kind::Exception => (CauseClass::UncaughtException, "did not catch", 0.93),
        Kind::Returned => (CauseClass::UncaughtException, "gave up for", 0.6),
    };
    let place = match (trace.function.is_empty(), trace.line.is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!(" ({})", trace.line),
        (false, true) => format!(" in {}", trace.function),
        (false, false) => format!(" in {} ({})", trace.function, trace.line),
    };
    let colon = if class == CauseClass::Panic { ":" } else { "" };
    let what = format!("{verb}{colon} {}{place}", trace.text());
    let tier = match trace.kind {
        _ if vague => Tier::Pattern,
        _ if weak || statement.weight < Weight::Fatal || statement.rank > 3 => Tier::Words,
        // A bare line of the shape of an exception can be any message.
        Kind::Exception if trace.line.is_empty() && !is_marked(statement) => Tier::Words,
        Kind::Returned => Tier::Words,
        _ => Tier::Abort,
    };
    let name = Some(trace.name.clone()).filter(|name| !name.is_empty());
    let path = trace.line.rsplit_once(':').map(|(file, _)| file.to_owned());
    let subject = Blamed {
        kind: if trace.function.is_empty() { "process" } else { "function" }.into(),
        function: Some(trace.function.clone()).filter(|function| !function.is_empty()),
        line: Some(trace.line.clone()).filter(|line| !line.is_empty()),
        path,
        name,
        ..itself(&facts.process)
    };
    let confidence = if vague { VAGUE } else { confidence };
    let late = f64::from(statement.rank.saturating_sub(2)) * 0.15;
    let mut claim = Claim::new(class, tier, confidence - late, what).subject(subject).proof(said(statement));
    if !trace.outer.is_empty() {
        claim = claim.not(class, format!("“{}” is only what it led to", trace.outer));
    }
    Some(claim)
}

/// Only an uncaught exception is written like this.
fn is_marked(statement: &Statement) -> bool {
    statement.on_stderr || statement.rank == 0
}
