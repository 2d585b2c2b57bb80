//! Why a process ended badly. Pure: facts in, a post-mortem out.
//!
//! ```text
//! facts ─▶ words (what it said, the likeliest reason first)
//!    └────▶ scene (which failed call belongs to which words: trouble) ─▶ causes (claims) ─▶ the strongest claim
//! ```
//!
//! Ranking: the kernel's word; the text of an abort, an uncaught exception, a panic; a failed call of which the last words speak; a reason in the
//! words alone; a failed call alone; a new error; a change on the host; nothing. Within one kind, confidence.

mod causes;
mod claim;
mod codes;
pub mod facts;
mod hints;
mod scene;
mod target;
mod trouble;
mod words;

use std::fmt::Write as _;

use agent_common::wire::postmortem::{
    Cause, CauseClass, End, EndKind, EndedProcess, Loop, PostMortem, Proof, ProofKind, RuledOut, Sender,
};

pub use causes::memory_access::STACK_REACH;
pub use codes::{meaning, signal_name};
pub use facts::Facts;

use claim::{Claim, Tier, kernel, named};
use scene::{Scene, changed};
use words::Reading;

/// Most pieces of evidence in a post-mortem.
const MAX_PROOFS: usize = 12;
/// Most classes that are ruled out.
const MAX_RULED_OUT: usize = 6;
/// Longest text in a post-mortem, bytes; a longer one is cut.
const MAX_TEXT_BYTES: usize = 1_024;
/// A process that ends badly this often within [`LOOP_NS`] is in a loop.
const MIN_LOOP_COUNT: usize = 3;
/// How far back its earlier ends count, ns: 10 min.
const LOOP_NS: u64 = 600_000_000_000;
/// Changes that are shown as evidence for whatever the cause is.
const SHOWN_CHANGES: usize = 3;
/// Confidence in a code or signal alone is at most this.
const MAX_UNKNOWN: f64 = 0.3;

/// Why it ended; `None` if it ended as it is meant to, or if how it ended is not known.
#[must_use]
pub fn examine(facts: &Facts) -> Option<PostMortem> {
    let reading = Reading::of(facts);
    let scene = Scene::of(facts, &reading);
    if causes::by_design::is_meant(&scene) {
        return None;
    }
    let mut claims: Vec<Claim> = causes::FAMILIES.iter().flat_map(|family| (family.judge)(&scene)).collect();
    let rank = |claim: &Claim| (claim.tier, (claim.confidence * 1000.0) as u64);
    // Stable: of equal claims the first family's counts.
    claims.sort_by_key(|claim| std::cmp::Reverse(rank(claim)));
    let mut claims = claims.into_iter();
    let best = claims.next()?;
    Some(written(&scene, best, claims))
}

/// The reference of all causes, Markdown: their doc comments.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Causes of a process's end\n\n\
         What a post-mortem can say. The strongest evidence wins: the kernel's word; the text of an abort, an uncaught exception or a panic; a failed\n\
         call of which the last words speak; a reason in the words alone; a failed call alone; a change on the host. Confidence is 0 to 1.\n",
    );
    for family in causes::FAMILIES {
        page.push('\n');
        for line in family.source.lines().take_while(|line| line.starts_with("//!")) {
            let line = line.trim_start_matches("//!").trim_start_matches(' ');
            if line.starts_with("# ") {
                page.push('#');
            }
            page.push_str(line);
            page.push('\n');
        }
    }
    page.push_str("\n## Classes\n\n");
    for class in CauseClass::ALL {
        // A String takes whatever is written.
        let _ = writeln!(page, "- `{class}`: {}", class.what());
    }
    page
}

fn written(scene: &Scene<'_>, best: Claim, others: impl Iterator<Item = Claim>) -> PostMortem {
    let facts = scene.facts;
    let process = &facts.process;
    let who = named(&process.comm, process.pid);
    let how = match (facts.ended.signal, facts.ended.code) {
        (Some(signal), _) => format!("was ended by {}", signal_name(signal)),
        (None, Some(code)) => format!("ended with code {code}"),
        (None, None) => "ended".to_owned(),
    };
    let says_how = best.what.contains(&how) || best.class == CauseClass::KilledByProcess;
    let text = match (best.whole, says_how) {
        (true, _) => format!("{}.", best.what),
        (false, true) => format!("{who} {}.", best.what),
        (false, false) => format!("{who} {} and {how}.", best.what),
    };
    let mut evidence = best.proofs;
    if !evidence.iter().any(|proof| proof.kind == ProofKind::Log) {
        evidence.extend(scene.reading.reasons.first().map(claim::said));
    }
    if !evidence.iter().any(|proof| proof.kind == ProofKind::Kernel) {
        evidence.push(kernel(meaning(process, &facts.ended), facts.ended.at_ns));
    }
    let changes = scene
        .changes(&["package", "build", "file", "sysctl", "mount"], &text)
        .take(SHOWN_CHANGES)
        .map(changed);
    for proof in changes.collect::<Vec<Proof>>() {
        if !evidence.contains(&proof) {
            evidence.push(proof);
        }
    }
    evidence.extend(facts.unseen.iter().map(|unseen| kernel(format!("not seen: {unseen}"), 0)));
    evidence.truncate(MAX_PROOFS);
    let mut ruled_out: Vec<RuledOut> = best.lost;
    for other in others {
        let known = other.class == best.class || ruled_out.iter().any(|lost| lost.class == other.class);
        if known || other.class == CauseClass::Unknown {
            continue;
        }
        let why_not = format!("{}: it {}", weaker(other.tier), other.what);
        ruled_out.push(RuledOut { class: other.class, why_not });
    }
    ruled_out.truncate(MAX_RULED_OUT);
    let confidence = if best.tier == Tier::Code {
        best.confidence.min(MAX_UNKNOWN)
    } else {
        best.confidence.clamp(0.0, 0.99)
    };
    let mut result = PostMortem {
        process: EndedProcess {
            pid: process.pid,
            start_ns: process.start_ns,
            comm: process.comm.clone(),
            exe: process.exe.clone(),
            cmdline: process.cmdline.clone(),
            unit: process.unit.clone(),
            container: process.container.clone(),
        },
        ended: End {
            at_ns: facts.ended.at_ns,
            kind: match (&facts.oom, facts.ended.signal) {
                (Some(_), _) => EndKind::Oom,
                (None, Some(_)) => EndKind::Signal,
                (None, None) => EndKind::Exit,
            },
            code: facts.ended.code,
            signal: facts.ended.signal,
            core: facts.ended.core,
            by: facts.ended.by.as_ref().map(|by| Sender { pid: by.pid, comm: by.comm.clone(), uid: by.uid }),
        },
        cause: Cause {
            class: best.class,
            subject: best.subject,
            text,
            confidence: (confidence * 100.0).round() / 100.0,
        },
        evidence,
        ruled_out,
        repeats: repeats(facts),
    };
    result.each_text(|text| {
        let end = text.floor_char_boundary(MAX_TEXT_BYTES);
        text.truncate(end);
    });
    result.cleaned()
}

fn weaker(tier: Tier) -> &'static str {
    match tier {
        Tier::Kernel | Tier::Abort => "other evidence is stronger",
        Tier::Recurs => "the failed call and its words came with stronger evidence",
        Tier::Words => "only words say so",
        Tier::Call => "no words speak of the failed call",
        Tier::Pattern => "it went on after it, or says no reason",
        Tier::Change => "only a change just before points to it",
        Tier::Code => "only the code points to it",
    }
}

/// It ended badly again and again.
fn repeats(facts: &Facts) -> Option<Loop> {
    let end = facts.ended.at_ns;
    let is_bad = |earlier: &&facts::Earlier| {
        let asked =
            matches!(earlier.signal, Some(codes::signal::TERM | codes::signal::INT | codes::signal::HUP));
        earlier.signal.is_some() && !asked
            || earlier.signal.is_none() && earlier.code.is_some_and(|code| code != 0)
    };
    let recent = facts.earlier.iter().filter(is_bad).map(|earlier| earlier.at_ns);
    let recent: Vec<u64> = recent.filter(|at| *at <= end && end - *at <= LOOP_NS).collect();
    let first = recent.iter().min()?;
    (recent.len() + 1 >= MIN_LOOP_COUNT)
        .then(|| Loop { count: (recent.len() + 1) as u32, span_s: (end - first) / 1_000_000_000 })
}

#[cfg(test)]
mod tests;
