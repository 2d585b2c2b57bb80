//! # No memory
//!
//! **Classes** `oom-cgroup` (subject: the control group and its limit, or the process that uses most of it), `oom-host` (the largest
//! process), `heap-limit` (the process, with the limit).
//!
//! **What.** The kernel's own record says that it chose this process, and whether a group's limit or the host's memory was used up. The
//! process that it kills need not be the one to blame: the largest one is named if it is another one. Without the record, SIGKILL of an
//! unknown sender together with a group at its limit is `oom-cgroup` with less confidence. A run time that gives up by itself
//! (Java, V8, Go, PHP, `std::bad_alloc`, `MemoryError`), or ENOMEM within `RLIMIT_AS`, is `heap-limit`: the kernel killed nothing.
//!
//! **Neighbours.** “Out of memory” in the words of a program that was ended by another signal proves nothing, nor do kernel words in its
//! output: only the kernel's record counts.

use agent_common::text::bytes;
use agent_common::wire::postmortem::{Blamed, CauseClass};

use crate::claim::{Claim, Tier, itself, kernel, named, other};
use crate::codes::signal;
use crate::facts::Oom;
use crate::scene::{Scene, limited};
use crate::trouble::Trouble;

/// A group this full was at its limit when the kernel killed: what was freed meanwhile is not in the number.
const FULL_SHARE: f64 = 0.97;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let mut claims = of_run_time(scene);
    if let Some(oom) = &scene.facts.oom {
        claims.push(of_kernel(scene, oom));
    } else if scene.signal() == Some(signal::KILL) && scene.sender().is_none() {
        claims.extend(scene.reached("memory.max", FULL_SHARE).map(|limit| {
            let of = limit.limit.map_or(0, |of| of as u64);
            let what =
                format!("was killed while its group {} was at its limit of {}", limit.group, bytes(of));
            let subject = group(&limit.group);
            Claim::new(CauseClass::OomCgroup, Tier::Recurs, 0.65, what).subject(subject).proof(limited(limit))
        }));
    }
    claims
}

fn group(path: &str) -> Blamed {
    Blamed {
        kind: "cgroup".into(),
        path: Some(path.to_owned()),
        limit: Some("memory.max".into()),
        ..Blamed::default()
    }
}

fn of_kernel(scene: &Scene<'_>, oom: &Oom) -> Claim {
    let facts = scene.facts;
    let process = &facts.process;
    let who = named(&process.comm, process.pid);
    let own = oom.anon_bytes.map_or_else(String::new, |own| format!(" with {} of its own", bytes(own)));
    let larger = oom
        .largest
        .as_ref()
        .filter(|(of, size)| of.pid != process.pid && oom.anon_bytes.is_none_or(|own| *size > own));
    let most = larger.map_or_else(String::new, |(of, size)| {
        format!("; {} uses most, {}", named(&of.comm, of.pid), bytes(*size))
    });
    let claim = if let Some(path) = &oom.group {
        let limit = oom.limit_bytes.map_or_else(String::new, |limit| format!(" of {}", bytes(limit)));
        let what = format!(
            "The control group {path} reached its memory limit{limit}, and the kernel killed {who}{own}{most}"
        );
        let subject = larger.map_or_else(
            || group(path),
            |(of, _)| Blamed { path: Some(path.clone()), limit: Some("memory.max".into()), ..other(of) },
        );
        Claim::new(CauseClass::OomCgroup, Tier::Kernel, 0.98, what)
            .subject(subject)
            .not(CauseClass::OomHost, "the group's limit was reached, not the host's memory")
    } else {
        let what = format!("The host ran out of memory, and the kernel killed {who}{own}{most}");
        let subject = larger.map_or_else(|| itself(process), |(of, _)| other(of));
        Claim::new(CauseClass::OomHost, Tier::Kernel, 0.97, what)
            .subject(subject)
            .not(CauseClass::OomCgroup, "no group was at its limit")
    };
    claim
        .whole()
        .proof(kernel("the kernel chose it for lack of memory", facts.ended.at_ns))
        .proofs(scene.limit("memory.max").map(limited))
        .not(CauseClass::KilledByProcess, "the kernel sent the signal")
}

fn of_run_time(scene: &Scene<'_>) -> Vec<Claim> {
    const RUN_TIMES: &[&str] = &[
        "javascript heap",
        "java heap",
        "outofmemoryerror",
        "memoryerror",
        "bad_alloc",
        "allowed memory size",
        "memory allocation of",
        "runtime: out of memory",
        "outofmemoryexception",
        "insufficient memory for the java",
        "gc overhead",
        "memory limit",
    ];
    let facts = scene.facts;
    let limit = ["as", "data", "memlock"].iter().find_map(|name| scene.reached(name, 0.5));
    // It can have asked for more than is left at once.
    let limit = limit.or_else(|| scene.limit("as").filter(|limit| limit.limit.is_some()));
    let claim = |hint: &crate::hints::Hint<'_>| {
        let text = hint.text().to_lowercase();
        let by_run_time = RUN_TIMES.iter().any(|words| text.contains(words));
        let supported = hint.call.is_some() || limit.is_some() || by_run_time;
        let confidence = if supported { hint.confidence.max(0.88) } else { hint.confidence.min(0.55) };
        let within = limit.map_or_else(String::new, |limit| {
            format!(" within its limit {} of {}", limit.name, bytes(limit.limit.unwrap_or(0.0) as u64))
        });
        let why = if hint.text().is_empty() { String::new() } else { format!(": {}", hint.text()) };
        let what = format!("got no more memory{within}{why}");
        // A run time says this as it gives up.
        let tier = if by_run_time { hint.tier.max(Tier::Recurs) } else { hint.tier };
        let subject = Blamed { limit: limit.map(|limit| limit.name.clone()), ..itself(&facts.process) };
        Claim::new(CauseClass::HeapLimit, tier, confidence, what)
            .subject(subject)
            .proofs(hint.proofs())
            .proofs(limit.map(limited))
            .not(CauseClass::OomHost, "the kernel killed nothing for lack of memory")
    };
    let mut claims: Vec<_> = scene.hints_of(&[Trouble::NoMemory]).map(claim).collect();
    let abort =
        crate::words::read_text(&facts.abort_text).filter(|abort| abort.trouble == Some(Trouble::NoMemory));
    claims.extend(abort.map(|abort| {
        let what = format!("got no more memory: {}", abort.text);
        Claim::new(CauseClass::HeapLimit, Tier::Abort, 0.93, what)
            .subject(itself(&facts.process))
            .proofs(limit.map(limited))
    }));
    claims
}
