//! # Files and rights
//!
//! **Classes** `not-found`, `permission`, `disk-full`; the subject is the file.
//!
//! **What.** A call that failed with ENOENT, EACCES, EPERM, EROFS, ENOSPC or EDQUOT, or the words for it, at best both. Where the program names
//! a file and no reason, the call that failed for that file gives the reason. A refused password is `permission`, a file
//! system that is read-only too. A port below 1024 without the right is `permission` with the address.
//!
//! **Neighbours.** Programs look for files that need not be there: such a call counts only if the last words name the file, or if it is the
//! last thing before a silent end and no search path. Watches of inotify that are used up also say “no space left on
//! device”: they are `fd-limit`. A mapped file on a full disk ends a process by SIGBUS.

use agent_common::wire::postmortem::{Blamed, CauseClass};

use crate::claim::{Claim, Tier, file, itself, kernel};
use crate::facts::Place;
use crate::hints::Hint;
use crate::scene::Scene;
use crate::trouble::Trouble;

pub(super) fn judge(scene: &Scene<'_>) -> Vec<Claim> {
    let kinds = &[
        Trouble::NotFound,
        Trouble::Permission,
        Trouble::Credentials,
        Trouble::ReadOnly,
        Trouble::DiskFull,
        Trouble::Quota,
    ];
    let mut claims: Vec<_> = scene.hints_of(kinds).map(|hint| of_hint(scene, hint)).collect();
    claims.extend(of_mapping(scene));
    claims
}

fn of_hint(scene: &Scene<'_>, hint: &Hint<'_>) -> Claim {
    let path = hint.path();
    let at = path.clone().or_else(|| hint.peer());
    let whom = at.clone().unwrap_or_else(|| "what it needs".into());
    let call = hint.call.map_or("", |call| call.call.as_str());
    let did = match call {
        "bind" => "listen on",
        "connect" => "connect to",
        "open" | "openat" | "openat2" => "open",
        "write" | "pwrite64" | "writev" | "fallocate" | "fsync" | "ftruncate" => "write to",
        "mkdir" | "mkdirat" | "creat" => "create",
        "unlink" | "unlinkat" => "remove",
        "" => "use",
        other => other,
    };
    let what = match hint.trouble {
        Trouble::NotFound => format!("did not find {whom}"),
        Trouble::Credentials => format!("was refused by {whom}: name or password is wrong"),
        Trouble::ReadOnly => format!("could not {did} {whom} (read-only file system)"),
        Trouble::DiskFull => format!("could not write{} (no space left on the device)", of(at.as_ref())),
        Trouble::Quota => format!("could not write{} (disk quota exceeded)", of(at.as_ref())),
        _ => format!("may not {did} {whom} ({})", rights(scene, hint)),
    };
    let mut subject = path.clone().map_or_else(|| itself(&scene.facts.process), file);
    let of_peer = hint.peer().filter(|_| path.is_none() || hint.trouble == Trouble::Credentials);
    if let Some(peer) = of_peer {
        subject = Blamed { peer: Some(peer), kind: "peer".into(), ..Blamed::default() };
    }
    subject.call = hint.call.map(|call| call.call.clone());
    let claim = Claim::new(hint.trouble.class(), hint.tier, hint.confidence, what)
        .subject(subject)
        .proofs(hint.proofs());
    match hint.trouble {
        Trouble::NotFound => {
            claim.not(CauseClass::Permission, "the kernel looked for it and did not find it")
        }
        Trouble::ReadOnly => claim.not(CauseClass::DiskFull, "the file system takes no writes at all"),
        _ => claim,
    }
}

fn of(at: Option<&String>) -> String {
    at.map_or_else(String::new, |at| format!(" to {at}"))
}

fn rights(scene: &Scene<'_>, hint: &Hint<'_>) -> String {
    const FIRST_FREE_PORT: u16 = 1024;
    let port = hint.peer().and_then(|peer| peer.rsplit_once(':')?.1.parse::<u16>().ok());
    match port {
        Some(port) if port < FIRST_FREE_PORT => {
            "permission denied: a port below 1024 needs CAP_NET_BIND_SERVICE".into()
        }
        _ if hint.text().to_lowercase().contains("apparmor") => "an AppArmor profile denies it".into(),
        _ if hint.text().contains("avc:") => "SELinux denies it".into(),
        _ => format!("permission denied for user {}", scene.facts.process.uid),
    }
}

/// SIGBUS within a mapped file: a page of it could not be had.
fn of_mapping(scene: &Scene<'_>) -> Option<Claim> {
    let facts = scene.facts;
    let fault = facts.fault.as_ref()?;
    let Place::Mapping { name, .. } = &fault.place else { return None };
    if !scene.lacks_page() || name.is_empty() {
        return None;
    }
    let full = facts.failed_calls.iter().any(|call| call.errno == "ENOSPC");
    if fault.write != Some(true) && !full {
        return None;
    }
    let what = format!("wrote to {name}, which is mapped, and no space was left for it");
    let claim = Claim::new(CauseClass::DiskFull, Tier::Kernel, 0.94, what).subject(file(name.clone()));
    Some(claim.proof(kernel("SIGBUS: no page could be made for a mapped file", facts.ended.at_ns)))
}
