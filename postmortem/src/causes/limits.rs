//! # Limits of the kernel
//!
//! **Classes** `fd-limit`, `cpu-limit`, `file-size-limit`; the subject is the limit, with the process.
//!
//! **What.** EMFILE or ENFILE, or the words for it: no descriptor is left. The tables that programs run out of in the same manner count
//! with it and name their limit: watches of inotify, tasks (`pids.max` or `nproc`, if it is known to be reached). SIGXCPU, or SIGKILL of
//! the kernel at the hard limit, is `cpu-limit`; SIGXFSZ or EFBIG is `file-size-limit`.
//!
//! **Neighbours.** Memory within `RLIMIT_AS` is `heap-limit`. SIGXCPU that a process sent is `killed-by-process`.

use agent_common::wire::postmortem::{Blamed, CauseClass};

use crate::claim::{Claim, Tier, failed, itself, kernel};
use crate::codes::signal;
use crate::facts::Limit;
use crate::hints::Hint;
use crate::scene::{Scene, limited};
use crate::trouble::Trouble;

/// A limit used to this share is reached: the last ones are taken and given back all the time.
const REACHED_SHARE: f64 = 0.95;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let facts = scene.facts;
    let mut claims: Vec<_> = scene
        .hints_of(&[Trouble::Descriptors, Trouble::Watches, Trouble::Tasks, Trouble::FileTooLarge])
        .map(|hint| of_hint(scene, hint))
        .collect();
    let by_kernel = scene.sender().is_none();
    match scene.signal().filter(|_| by_kernel) {
        Some(signal::XCPU) => claims.push(cpu(scene, 0.97)),
        Some(signal::KILL) if facts.oom.is_none() && scene.reached("cpu", 1.0).is_some() => {
            claims.push(cpu(scene, 0.85));
        }
        Some(signal::XFSZ) => {
            let call = facts.failed_calls.iter().rev().find(|call| call.errno == "EFBIG");
            let path = call.map(|call| call.path.clone()).filter(|path| !path.is_empty());
            let limit = scene.limit("fsize");
            let of = path.as_deref().unwrap_or("a file");
            let what = format!("let {of} grow to its limit for the size of files{}", value(limit));
            let subject = Blamed { path, ..subject(scene, "fsize") };
            let claim = Claim::new(CauseClass::FileSizeLimit, Tier::Kernel, 0.97, what).subject(subject);
            claims.push(
                claim
                    .proof(kernel("SIGXFSZ of the kernel", facts.ended.at_ns))
                    .proofs(call.map(failed))
                    .proofs(limit.map(limited)),
            );
        }
        _ => {}
    }
    claims
}

fn cpu(scene: &Scene<'_>, confidence: f64) -> Claim {
    let limit = scene.limit("cpu");
    let what = format!("used up its limit of CPU time{}", value(limit));
    Claim::new(CauseClass::CpuLimit, Tier::Kernel, confidence, what)
        .subject(subject(scene, "cpu"))
        .proof(kernel("the kernel ends it at RLIMIT_CPU", scene.facts.ended.at_ns))
        .proofs(limit.map(limited))
        .not(CauseClass::KilledByProcess, "the kernel sent the signal")
}

fn subject(scene: &Scene<'_>, limit: &str) -> Blamed {
    Blamed { kind: "limit".into(), limit: Some(limit.into()), ..itself(&scene.facts.process) }
}

fn value(limit: Option<&Limit>) -> String {
    limit.and_then(|limit| limit.limit).map_or_else(String::new, |of| format!(" ({of})"))
}

fn of_hint(scene: &Scene<'_>, hint: &Hint<'_>) -> Claim {
    let (name, what) = match hint.trouble {
        Trouble::Descriptors => {
            let whole = hint.call.is_some_and(|call| call.errno == "ENFILE");
            if whole {
                (Some("fs.file-max"), "got no more descriptors: the host's table is full")
            } else {
                (Some("nofile"), "got no more descriptors")
            }
        }
        Trouble::Watches => (
            Some("fs.inotify.max_user_watches"),
            "got no more watches of inotify: those of its user are used up",
        ),
        Trouble::Tasks => {
            // Nearly every process has a finite `nproc`: that it has one says nothing.
            let reached = |name: &&str| scene.reached(name, REACHED_SHARE).is_some();
            (["pids.max", "nproc"].into_iter().find(reached), "could not start another process or thread")
        }
        _ => (Some("fsize"), "could not let a file grow any more"),
    };
    let limit = name.and_then(|name| scene.limit(name));
    let mut subject =
        Blamed { kind: "limit".into(), limit: name.map(str::to_owned), ..itself(&scene.facts.process) };
    subject.path = limit
        .map(|limit| limit.group.clone())
        .filter(|group| !group.is_empty())
        .or_else(|| hint.call.map(|call| call.path.clone()).filter(|path| !path.is_empty()));
    let is_reached = name.is_some_and(|name| scene.reached(name, REACHED_SHARE).is_some());
    let sure = if is_reached { hint.confidence.max(0.93) } else { hint.confidence };
    let what = match name {
        Some(name) => format!("{what} (limit {name}{})", value(limit)),
        None => format!("{what}: a limit on tasks was reached, which one is not known"),
    };
    Claim::new(hint.trouble.class(), hint.tier, sure, what)
        .subject(subject)
        .proofs(hint.proofs())
        .proofs(limit.map(limited))
}
